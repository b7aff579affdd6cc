"""`python -m services.reporting [rebuild]`: reporting alone in a process, or its tables made anew."""

from __future__ import annotations

import asyncio
import sys

from lienthong.app import run
from lienthong.settings import load

from services.reporting.app import build_process, rebuild
from services.reporting.settings import ReportingProcess

if __name__ == "__main__":
    if sys.argv[1:] == ["rebuild"]:
        asyncio.run(rebuild(load(ReportingProcess)))
    else:
        run(build_process, ReportingProcess)
