"""`python -m services.signing`: signing alone in a process."""

from __future__ import annotations

from lienthong.app import run

from services.signing.app import build_process
from services.signing.settings import SigningProcess

if __name__ == "__main__":
    run(build_process, SigningProcess)
