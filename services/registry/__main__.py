"""`python -m services.registry`: the registry alone in a process."""

from __future__ import annotations

from lienthong.app import run

from services.registry.app import build_process
from services.registry.settings import RegistryProcess

if __name__ == "__main__":
    run(build_process, RegistryProcess)
