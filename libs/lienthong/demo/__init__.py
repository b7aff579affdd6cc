"""`lienthong demo`: a real day over four nodes, from the Government Office to a commune and back.

Every service is real, every file is signed, and what is claimed at the end was seen by the clients.
"""

from __future__ import annotations

from pathlib import Path

from lienthong.demo.play import run as _run

__all__ = ["run"]


def run(folder: Path = Path("build/demo"), json_path: Path | None = None) -> int:
    """Play the day into `folder`; 0 only if all of it was verified from the clients' side."""
    return _run(folder, json_path)
