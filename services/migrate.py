"""Brings databases to the schema of this code.

    python -m services.migrate                       the five databases that the settings of a node name
    python -m services.migrate --templates URL...    lienthong_template_<service> on each of these servers
                                                     (URLs hold passwords: "-" reads them from standard input)
    python -m services.migrate --databases           those on standard input, each line a service and a URL

A template is what the mesh launcher copies databases from: 30 ms each instead of a migration. It carries the
digest of the migrations it was made by, and is made anew when they changed.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from lienthong import migrations
from lienthong.advice import explain
from lienthong.errors import DomainError, InvalidArgument
from lienthong.settings import SERVICES, DatabaseSettings, load


def package_of(service: str) -> str:
    """The package whose migrations belong to a service."""
    return f"services.{service}"


def template_of(service: str) -> str:
    """The name of a service's template database."""
    return f"lienthong_template_{service}"


async def migrate_node() -> None:
    """Migrate the databases of the node that LIENTHONG_SETTINGS and the environment describe."""
    from services.node import NodeProcess  # the sections of all services: only this command needs them

    settings = load(NodeProcess)
    for service in SERVICES:
        database: DatabaseSettings = getattr(settings, service).database
        await migrations.upgrade(_complete(database), package_of(service))


async def migrate_databases(lines: Sequence[str]) -> None:
    """Migrate databases, each given as "<service> <URL>". One after another: a mesh has few processors."""
    for line in lines:
        service, _, url = line.strip().partition(" ")
        if service not in SERVICES:
            raise InvalidArgument("SETTINGS_INVALID", f"{service!r} is no service", service=service)
        await migrations.upgrade(url, package_of(service))


async def build_templates(admin_url: str) -> None:
    """Make or refresh the template of each service on one server."""
    await asyncio.gather(*(_build_template(admin_url, service) for service in SERVICES))


async def _build_template(admin_url: str, service: str) -> None:
    name, digest = template_of(service), _digest(package_of(service))
    connection = await asyncpg.connect(admin_url)
    try:
        if await _description(connection, name) == digest:
            return
        await migrations.drop_database(admin_url, name)
        await migrations.create_database(admin_url, name)
        await migrations.upgrade(_beside(admin_url, name), package_of(service))
        # Written last: a template without its digest is one that was interrupted.
        await connection.execute(f"COMMENT ON DATABASE {name} IS '{digest}'")
    finally:
        await connection.close()


async def _description(connection: Any, name: str) -> str | None:
    found: str | None = await connection.fetchval(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1", name
    )
    return found


def _digest(package: str) -> str:
    """SHA-256 over the migrations of a package, their names and what shared code they may quote."""
    folder = Path(next(iter(importlib.import_module(package).__path__))) / "migrations" / "versions"
    shared = Path(migrations.__file__).parent
    digest = hashlib.sha256()
    for file in (*sorted(folder.glob("*.py")), *sorted(shared.glob("*.py")), *sorted(shared.glob("*/*.py"))):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _complete(database: DatabaseSettings) -> str:
    """The URL with the password of its file, which the settings leave out."""
    if database.password_file is None:
        return database.url
    parts = urlsplit(database.url)
    user, _, host = parts.netloc.rpartition("@")
    password = quote(database.password_file.read_text().strip(), safe="")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{password}@{host}"))


def _beside(url: str, database: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


async def _templates(urls: Sequence[str]) -> None:
    await asyncio.gather(*(build_templates(url) for url in urls))


def _urls(named: Sequence[str]) -> list[str]:
    if list(named) != ["-"]:
        return list(named)
    # Alembic is long to import: done while the servers of the URLs that we wait for start.
    importlib.import_module("lienthong.migration_scripts")
    return sys.stdin.read().split()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the commands; a refusal is one line on standard error and exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m services.migrate", description="Migrate databases.")
    parser.add_argument(
        "--templates",
        nargs="+",
        metavar="ADMIN_URL",
        help="make or refresh the template databases on these servers; - reads URLs from standard input",
    )
    parser.add_argument(
        "--databases",
        action="store_true",
        help="migrate the databases that standard input names, each line a service and a URL",
    )
    chosen = parser.parse_args(arguments)
    try:
        if chosen.databases:
            asyncio.run(migrate_databases(sys.stdin.read().splitlines()))
        else:
            asyncio.run(_templates(_urls(chosen.templates)) if chosen.templates else migrate_node())
    except DomainError as error:
        sys.exit(f"lienthong: {explain(error)}")


if __name__ == "__main__":
    main()
