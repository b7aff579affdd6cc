"""`python -m services.routing`: routing alone in a process."""

from __future__ import annotations

from lienthong.app import run

from services.routing.app import build_process
from services.routing.settings import RoutingProcess

if __name__ == "__main__":
    run(build_process, RoutingProcess)
