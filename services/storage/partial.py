"""Files that outlive the stream which wrote them: their names, and who may write to one at a time.

A partial is known by who sends it (an organization, or this node's links) and by what it is announced to be.
Who sends is part of the name on disk: nobody can go on with somebody else's bytes, for then the last tenth
of a file would earn the right to all of it (a digest is no bearer token, design R5).

Each stream writes to a file of its own, `<owner and digest, hashed>.<length>.<id>.part`; the next one goes on
in the longest that is free. Whoever writes holds the file's lock (flock): it excludes other streams, other
processes on the same folder and the sweep alike, and the kernel ends it with the process, so that what a
killed one left is free at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final, Self

from lienthong.ids import new_id

from services.storage.domain import Content

SUFFIX: Final = ".part"
_LINKS: Final = "links of this node"


@dataclass(frozen=True, slots=True)
class Partial:
    """An upload that can be taken up again: whose it is, and what it will be."""

    owner: str
    content: Content

    @classmethod
    def of_organization(cls, organization: str, content: Content) -> Self:
        """Bytes that one organization, and only that one, can go on with."""
        return cls(f"organization {organization}", content)

    @classmethod
    def of_links(cls, content: Content) -> Self:
        """Bytes that this node fetches from peers."""
        return cls(_LINKS, content)

    def fresh(self, folder: Path) -> Path:
        """A name for a stream that begins; of a fixed length, whatever the owner is called."""
        return folder / f"{self._stem}.{new_id().hex}{SUFFIX}"

    def free(self, folder: Path) -> Free:
        """The longest of its files that no stream has, ours until it is closed; shorter ones are removed."""
        longest: Taken | None = None
        busy = False
        for path in folder.glob(f"{self._stem}.*{SUFFIX}"):
            file = locked(path)
            if file is None:
                busy |= path.exists()
                continue
            found: Taken | None = Taken(path, file)
            if longest is None or length(file) > length(longest.file):
                found, longest = longest, found
            if found is not None:
                found.remove()
        return Free(longest, busy)

    @property
    def _stem(self) -> str:
        return f"{_hashed(self.owner, self.content.sha256)}.{self.content.size}"


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that is locked by us, and the name that it had then."""

    path: Path
    file: FileIO

    def remove(self) -> None:
        """Close and remove it, unless it was published and its name stands for nothing any more.

        While we hold the lock of the file that a name stands for, nobody else changes that.
        """
        if is_at(self.file, self.path):
            self.path.unlink()
        self.file.close()


@dataclass(frozen=True, slots=True)
class Free:
    """What can be gone on from, and whether other streams are at work on the same."""

    taken: Taken | None
    busy: bool


def kept_of_links(folder: Path, sha256: bytes) -> Partial | None:
    """What is kept of a blob that links bring; its length is in the name, since only the peer knows it."""
    for path in folder.glob(f"{_hashed(_LINKS, sha256)}.*{SUFFIX}"):
        size = path.name.split(".")[1]
        if size.isdecimal():
            return Partial.of_links(Content(sha256, int(size)))
    return None


def locked(path: Path, *, create: bool = False) -> FileIO | None:
    """The file of that name, ours alone until closed; None where there is none or somebody else has it."""
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
    try:
        file = FileIO(os.open(path, flags, 0o666), "r+b")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    if not is_at(file, path):
        file.close()  # published or removed between opening and locking
        return None
    return file


def is_at(file: FileIO, path: Path) -> bool:
    """Whether the name still stands for this file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def length(file: FileIO) -> int:
    """Bytes in the file."""
    return os.fstat(file.fileno()).st_size


def _hashed(owner: str, sha256: bytes) -> str:
    return hashlib.sha256(sha256 + owner.encode()).hexdigest()
