"""`python -m services.storage`: storage alone in a process."""

from __future__ import annotations

from lienthong.app import run

from services.storage.app import build_process
from services.storage.settings import StorageProcess

if __name__ == "__main__":
    run(build_process, StorageProcess)
