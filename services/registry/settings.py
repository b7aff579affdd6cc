"""What the registry is told."""

from __future__ import annotations

from pathlib import Path

from lienthong.settings import DatabaseSettings, NodeSettings, Section


class RegistrySettings(Section):
    """`organizations_file` is a directory in YAML, imported at every start (see examples/)."""

    database: DatabaseSettings
    organizations_file: Path | None = None


class RegistryProcess(NodeSettings):
    """A process that hosts the registry alone."""

    registry: RegistrySettings
