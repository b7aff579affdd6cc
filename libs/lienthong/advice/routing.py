"""What a clerk does next about the reasons that the routing service gives."""

from __future__ import annotations

from lienthong.advice.entry import Advice

ADVICE: dict[str, Advice] = {}
