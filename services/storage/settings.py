"""Settings of storage."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from lienthong.settings import DatabaseSettings, NodeCode, NodeSettings, Section
from pydantic import Field

_GIB = 1024**3


class StorageSettings(Section):
    """`peers` are the storages that this node dials: node -> host:port."""

    database: DatabaseSettings
    folder: Path
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
    collect_interval: float = Field(default=60.0, gt=0)
    orphan_interval: float = Field(default=6 * 3600.0, gt=0)


class StorageProcess(NodeSettings):
    """The settings of a process that hosts storage alone."""

    storage: StorageSettings
