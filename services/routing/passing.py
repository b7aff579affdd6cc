"""Small contents on their way from the request that brought them to the envelope that carries them on.

Why this changes no promise. The bytes are durable in storage before anything is said about them; this is
only the copy that is in hand anyway, kept for the moments until the workflow wants it, which otherwise asks
storage for each by itself (a call of 2 to 3 ms of a processor). They are found by the SHA-256 that was made
of them, so they cannot be other bytes; where they are gone, storage is asked.
"""

from __future__ import annotations

from typing import Final

from services.routing.domain import INLINE_BYTES

# The window of a bulk stream twice over, of documents of 64 KiB.
MAX_BYTES: Final = 32 * 1024 * 1024


class Passing:
    """A bounded memory; the oldest leave first."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._contents: dict[bytes, bytes] = {}

    def put(self, sha256: bytes, content: bytes) -> None:
        """Remember, where it is small enough to ride in a batch."""
        if len(content) > INLINE_BYTES or sha256 in self._contents:
            return
        self._contents[sha256] = content
        self._bytes += len(content)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._contents)))

    def take(self, sha256: bytes) -> bytes | None:
        """The bytes, once: who wants them again asks storage."""
        return self._drop(sha256) if sha256 in self._contents else None

    def _drop(self, sha256: bytes) -> bytes:
        content = self._contents.pop(sha256)
        self._bytes -= len(content)
        return content
