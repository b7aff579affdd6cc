"""Settings of reporting. It finds routing in the node's `addresses`."""

from __future__ import annotations

from lienthong.settings import DatabaseSettings, NodeSettings, Section


class ReportingSettings(Section):
    """Reporting's own part."""

    database: DatabaseSettings


class ReportingProcess(NodeSettings):
    """The settings of a process that hosts reporting alone."""

    reporting: ReportingSettings
