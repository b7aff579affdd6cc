"""How much anonymous memory processes take: what nobody can take back from them, unlike pages of files.

Linux only: `RssAnon` in /proc/<pid>/status.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil  # type: ignore[import-untyped]

_KIB: Final = 1024
_SECONDS: Final = 0.2


def anonymous_bytes(pid: int | None = None) -> int:
    """What a process (this one, where none is named) holds now; 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid or os.getpid()}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    for line in status.splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * _KIB
    return 0  # a zombie has none


class Peaks:
    """Watches processes and all below them, in a thread, while its block runs.

    `peaks` names each process "<name>" or "<name>/<pid>" for a child, with the most that it ever held.
    """

    def __init__(self, roots: Mapping[str, int], seconds: float = _SECONDS) -> None:
        self._roots, self._seconds = dict(roots), seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory peaks", daemon=True)
        self.peaks: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._look()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds):
            self._look()

    def _look(self) -> None:
        for name, root in self._roots.items():
            self._note(name, root)
            for child in _below(root):
                self._note(f"{name}/{child}", child)

    def _note(self, name: str, pid: int) -> None:
        self.peaks[name] = max(self.peaks.get(name, 0), anonymous_bytes(pid))


def _below(root: int) -> Iterable[int]:
    try:
        return [child.pid for child in psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
