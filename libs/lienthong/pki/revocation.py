"""Keeps the revocation lists fresh: whoever fetches them replaces the files, here they are read again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography import x509
from lienthong.clock import Clock
from lienthong.pki.trust import TrustStore

_log: Final = logging.getLogger(__name__)

_INTERVAL: Final = 30.0

Stamps = tuple[tuple[int, int], ...]


class RevocationFiles:
    """Looks at the files now and then; a file that cannot be read leaves the old lists in force."""

    def __init__(self, paths: Sequence[Path], trust: TrustStore, clock: Clock) -> None:
        self._paths, self._trust, self._clock = tuple(paths), trust, clock
        self._stamps = self._look()

    def refresh(self) -> bool:
        """Take the lists over if a file changed; returns whether."""
        stamps = self._look()
        if stamps == self._stamps:
            return False
        self._trust.replace_crls([x509.load_der_x509_crl(path.read_bytes()) for path in self._paths])
        self._stamps = stamps
        return True

    async def run(self) -> None:
        """Refresh for ever."""
        while True:
            await self._clock.sleep(_INTERVAL)
            try:
                if await asyncio.to_thread(self.refresh):
                    _log.info("revocation lists replaced")
            except (OSError, ValueError):
                _log.exception("revocation lists cannot be read, the old ones stay")

    def _look(self) -> Stamps:
        states = (path.stat() for path in self._paths)
        return tuple((state.st_mtime_ns, state.st_ino) for state in states)
