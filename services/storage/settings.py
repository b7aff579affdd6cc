"""Settings of storage."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Self

from lienthong.settings import DatabaseSettings, NodeCode, NodeSettings, Section
from pydantic import Field, model_validator

_GIB = 1024**3


class BucketSettings(Section):
    """A bucket of an object store that speaks S3. The keys are files: no secret is a setting."""

    endpoint: str = Field(pattern=r"^https?://[^/\s]+/?$")
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    region: str = "us-east-1"
    # In front of every key, so that nodes may share a bucket: empty, or "H01/".
    prefix: str = Field(default="", pattern=r"^([A-Za-z0-9._-]+/)*$", max_length=200)
    access_key_file: Path
    secret_key_file: Path
    # The authority of a store's own certificate (PEM), besides those that the machine trusts.
    roots: Path | None = None
    # Needed for http://: bytes then travel in the clear, so only on the same machine or a closed network.
    allow_http: bool = False
    # A request for one part, its retries included. Up to five follow each other with a row locked, and the
    # database ends a transaction that is idle for a minute.
    request_seconds: float = Field(default=10.0, gt=0, le=11)

    @model_validator(mode="after")
    def _clear_text_is_meant(self) -> Self:
        if self.endpoint.startswith("http://") and not self.allow_http:
            raise ValueError("an endpoint with http:// needs allow_http: true")
        return self


class StorageSettings(Section):
    """`peers` are the storages that this node dials: node -> host:port.

    Blobs live in `bucket` where it is given, else in `folder`, where bytes on their way in always wait.
    """

    database: DatabaseSettings
    folder: Path
    bucket: BucketSettings | None = None
    peers: dict[NodeCode, str] = Field(default_factory=dict)
    largest_blob_bytes: int = Field(default=2 * _GIB, gt=0)
    free_floor_bytes: int = Field(default=_GIB, ge=0)
    # How long bytes that nobody holds stay: longer than routing takes from the last byte to its hold.
    grace: timedelta = timedelta(hours=24)
    upload_grant: timedelta = timedelta(days=3)
    uploads: int = Field(default=32, ge=1)
    downloads: int = Field(default=64, ge=1)
    link_streams: int = Field(default=32, ge=1)
    # Seconds without a byte after which a stream is ended.
    patience: float = Field(default=60.0, gt=0)
    # Files of a killed process: well above `patience`, within which a living upload writes.
    stale_seconds: float = Field(default=3600.0, ge=0)
    # How long the bytes of a broken upload or pull wait for its next stream.
    partial_seconds: float = Field(default=24 * 3600.0, ge=0)
    collect_interval: float = Field(default=60.0, gt=0)
    orphan_interval: float = Field(default=6 * 3600.0, gt=0)


class StorageProcess(NodeSettings):
    """The settings of a process that hosts storage alone."""

    storage: StorageSettings
