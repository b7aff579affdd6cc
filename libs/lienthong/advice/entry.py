"""What one piece of advice is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """What a clerk does next about one reason, in both languages of the system."""

    vi: str
    en: str
