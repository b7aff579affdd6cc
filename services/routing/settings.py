"""Settings of routing."""

from __future__ import annotations

from pathlib import Path

from lienthong.settings import DatabaseSettings, NodeCode, NodeSettings, Section
from pydantic import Field


class LinkSettings(Section):
    """A neighbour that this node dials."""

    node: NodeCode
    address: str


class RoutingSettings(Section):
    """`links` are dialled by this node; `peers` may dial it beside its neighbours in the tree.

    `document_roots` are the certificates (PEM) that envelope signatures must chain to.
    """

    database: DatabaseSettings
    document_roots: Path
    document_intermediates: Path | None = None
    # Revocation lists (DER) of the authorities; read again when a file changes.
    crls: tuple[Path, ...] = ()
    links: list[LinkSettings] = Field(default_factory=list, max_length=64)
    peers: list[NodeCode] = Field(default_factory=list, max_length=1000)
    # Documents whose seals and timestamps are made at the same time.
    submissions: int = Field(default=4, ge=1, le=64)
    arrivals: int = Field(default=2, ge=1, le=16)
    arrival_batch: int = Field(default=32, ge=1, le=256)
    # Files above this are signed beside them: keep it at or below signing's `max_document_bytes`.
    max_parse_bytes: int = Field(default=512 * 1024**2, gt=0)
    # Keep it at or below storage's `largest_blob_bytes`.
    max_attachment_bytes: int = Field(default=2 * 1024**3, gt=0)
    lease_seconds: float = Field(default=30.0, gt=0)


class RoutingProcess(NodeSettings):
    """The settings of a process that hosts routing alone."""

    routing: RoutingSettings
