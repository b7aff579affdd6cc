"""Runs the registry in a process of its own: `python -m services.registry`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lienthong.app import App, run
from lienthong.db import Database
from lienthong.migrations import upgrade
from lienthong.settings import load

from services.registry.app import PACKAGE, build
from services.registry.settings import RegistryProcess


async def _build(settings: RegistryProcess) -> Sequence[App]:
    await upgrade(settings.registry.database.url, PACKAGE)
    database = await Database.open(settings.registry.database, application_name="lienthong-registry")
    app = await build(settings.registry, database=database)
    return [replace(app, close=(database.close, *app.close))]


def main() -> None:
    """Serve until told to stop."""
    run(_build, load(RegistryProcess))


if __name__ == "__main__":
    main()
