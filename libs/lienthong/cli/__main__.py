"""`python -m lienthong.cli`."""

from __future__ import annotations

from lienthong.cli import main

main()
