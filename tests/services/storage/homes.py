"""Where the blobs of a test live, a folder or a bucket, and what is done to them behind storage's back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore

from services.storage.blobs import BlobFolder, Blobs
from services.storage.bucket import Bucket
from services.storage.settings import BucketSettings
from tests.support.seaweed import Seaweed


class Home(ABC):
    """The blobs of one node."""

    settings: dict[str, Any]

    @abstractmethod
    def blobs(self) -> Blobs:
        """The same blobs once more, as another process sees them."""

    @abstractmethod
    def names(self) -> list[str]:
        """The names of all that is there."""

    @abstractmethod
    def bytes_of(self, sha256: bytes) -> bytes: ...

    @abstractmethod
    def write(self, sha256: bytes, data: bytes) -> None:
        """Put these bytes under that name, whatever they are."""

    @abstractmethod
    def remove(self, sha256: bytes) -> None: ...


def _path(sha256: bytes) -> str:
    name = sha256.hex()
    return f"{name[:2]}/{name[2:4]}/{name}"


@dataclass
class FolderHome(Home):
    folder: Path

    def __post_init__(self) -> None:
        self.settings = {}

    def blobs(self) -> Blobs:
        return BlobFolder(self.folder, threads=2)

    def names(self) -> list[str]:
        return [path.name for path in self.folder.glob("??/??/*")]

    def bytes_of(self, sha256: bytes) -> bytes:
        return (self.folder / _path(sha256)).read_bytes()

    def write(self, sha256: bytes, data: bytes) -> None:
        path = self.folder / _path(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def remove(self, sha256: bytes) -> None:
        (self.folder / _path(sha256)).unlink()


@dataclass
class BucketHome(Home):
    seaweed: Seaweed
    prefix: str

    def __post_init__(self) -> None:
        self.settings = {"bucket": self.bucket}
        self._objects = self.seaweed.objects()

    @property
    def bucket(self) -> BucketSettings:
        return self.seaweed.settings(self.prefix)

    def blobs(self) -> Blobs:
        return Bucket.open(self.bucket)

    def names(self) -> list[str]:
        found = obstore.list(self._objects, self.prefix).collect()
        return [each["path"].rpartition("/")[2] for each in found]

    def bytes_of(self, sha256: bytes) -> bytes:
        return obstore.get(self._objects, self.prefix + _path(sha256)).bytes().to_bytes()

    def write(self, sha256: bytes, data: bytes) -> None:
        obstore.put(self._objects, self.prefix + _path(sha256), data)

    def remove(self, sha256: bytes) -> None:
        obstore.delete(self._objects, self.prefix + _path(sha256))
