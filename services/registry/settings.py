"""What the registry is told."""

from __future__ import annotations

from pathlib import Path

from lienthong.settings import DatabaseSettings, NodeSettings, Section
from pydantic import Field


class IssuersSettings(Section):
    """Issuing authorities, a folder with `certificate.pem` and `key.pem` each: only where the mesh's own
    authority lets this node certify its children."""

    transport: Path
    document: Path


class EnrolmentSettings(Section):
    """How nodes join under this one. `address` is where a newcomer reaches `listen`; `addresses` are where it
    will reach the services (the node's own by default)."""

    listen: str
    address: str
    addresses: dict[str, str] = Field(default_factory=dict)
    document_chain: Path | None = None
    issuers: IssuersSettings | None = None


class RegistrySettings(Section):
    """`organizations_file` is a directory in YAML, imported at every start (see examples/)."""

    database: DatabaseSettings
    organizations_file: Path | None = None
    # Absent: no node may join under this one.
    enrolment: EnrolmentSettings | None = None


class RegistryProcess(NodeSettings):
    """A process that hosts the registry alone."""

    registry: RegistrySettings
