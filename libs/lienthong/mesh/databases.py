"""Databases of a mesh: five a node, copied from migrated templates, on one server or on one a node.

Those of a short-lived mesh go with it (`create`, `close`); those of a mesh that stays are kept (`complete`).
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg
from lienthong import migrations
from lienthong.db import Database
from lienthong.errors import FailedPrecondition
from lienthong.postgres import URL_VARIABLE, EmbeddedPostgres, ExternalPostgres, Postgres
from lienthong.settings import SERVICES, DatabaseSettings

# One embedded server (200 connections) carries every node of a mesh: 27 a node at most, listeners included.
POOL_SIZES: Final = {"registry": 5, "signing": 2, "routing": 8, "storage": 4, "reporting": 3}
_CONNECTIONS_A_NODE: Final = sum(POOL_SIZES.values()) + 5
_RESERVED_CONNECTIONS: Final = 40
_TEMPLATES_SECONDS: Final = 120.0
_MIGRATIONS_SECONDS: Final = 1800.0
_SIZES: Final = "SELECT datname, pg_database_size(datname) FROM pg_database WHERE starts_with(datname, $1)"


class MeshDatabases:
    """The servers and databases of one mesh; `close` removes what it made."""

    def __init__(self, mesh_id: str, servers: Mapping[str, Postgres]) -> None:
        self._mesh_id = mesh_id
        self._servers = dict(servers)
        self._made: list[tuple[str, str]] = []

    @classmethod
    def start(
        cls, mesh_id: str, nodes: Sequence[str], *, per_node: bool, environ: Mapping[str, str] = os.environ
    ) -> MeshDatabases:
        """Start the servers; with LIENTHONG_POSTGRES_URL that server serves all nodes."""
        external = environ.get(URL_VARIABLE)
        if external:
            return cls(mesh_id, dict.fromkeys(nodes, ExternalPostgres(external)))
        if not per_node:
            return cls(mesh_id, dict.fromkeys(nodes, _embedded(len(nodes))))
        started: dict[str, Postgres] = {}
        try:
            for node in nodes:
                started[node] = _embedded(1)
        except BaseException:
            for server in started.values():
                server.stop()
            raise
        return cls(mesh_id, started)

    def create(self, builder: TemplateBuilder) -> None:
        """Build the templates and copy them: afterwards every node has its five databases."""
        builder.build([server.url() for server in self._distinct()])
        asyncio.run(self._create_all())

    def complete(self, lived: Collection[str] = ()) -> None:
        """Make what is missing and migrate what is there; unlike `create`, `close` leaves all of it.

        Nodes that lived are never given empty databases: DATABASE_MISSING.
        """
        missing = self._missing_but(lived)
        if missing:
            with TemplateBuilder() as templates:
                templates.build([server.url() for server in self._distinct()])
            asyncio.run(self._copy(missing))
        there = [(s, self._url(n, s)) for n in self._servers for s in SERVICES if (n, s) not in missing]
        if there:
            _migrate(there)

    def require(self, lived: Collection[str]) -> None:
        """The databases of nodes that lived are there; FailedPrecondition("DATABASE_MISSING")."""
        self._missing_but(lived)

    def drop(self) -> None:
        """Remove every database of the mesh, for ever."""
        asyncio.run(
            self._drop([(self._servers[n].url(), self.name(n, s)) for n in self._servers for s in SERVICES])
        )

    async def sizes(self) -> dict[str, int]:
        """Bytes on disk by node."""
        found = dict.fromkeys(self._servers, 0)
        for server in self._distinct():
            async with _session(server.url()) as session:
                sizes = dict(await session.fetch(_SIZES, f"lt_{self._mesh_id}_"))
            for node in found:
                found[node] += sum(sizes.get(self.name(node, service), 0) for service in SERVICES)
        return found

    def settings(self, node: str, service: str, password_file: Path) -> dict[str, Any]:
        """The `database` section of one service; its password goes into `password_file`, not in here."""
        parts = urlsplit(self._servers[node].url(self.name(node, service)))
        if parts.password is not None:
            _keep_password(password_file, unquote(parts.password) + "\n")
        user, host = parts.username or "", parts.netloc.rpartition("@")[2]
        section = DatabaseSettings(
            url=urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host)),
            password_file=password_file if parts.password is not None else None,
            pool_size=POOL_SIZES[service],
        )
        return section.model_dump(mode="json", exclude_defaults=True)

    def name(self, node: str, service: str) -> str:
        """Unique among the meshes that share a server."""
        return f"lt_{self._mesh_id}_{re.sub(r'[^a-z0-9]', '_', node.lower())}_{service}"

    async def open(self, node: str, service: str) -> Database:
        """A look into one database, for tests and inspections; the caller closes it."""
        url = self._servers[node].url(self.name(node, service))
        return await Database.open(DatabaseSettings(url=url, pool_size=1))

    def server(self, node: str) -> Postgres:
        """The server of a node, for fault tests that stop it."""
        return self._servers[node]

    def close(self) -> None:
        """Stop the servers of our own; on another's drop the databases we made."""
        external = [server for server in self._distinct() if isinstance(server, ExternalPostgres)]
        if external and self._made:
            asyncio.run(self._drop(self._made))
            self._made.clear()
        for server in self._distinct():
            server.stop()

    def _distinct(self) -> list[Postgres]:
        return list({id(server): server for server in self._servers.values()}.values())

    def _url(self, node: str, service: str) -> str:
        return self._servers[node].url(self.name(node, service))

    def _missing_but(self, lived: Collection[str]) -> set[tuple[str, str]]:
        missing = asyncio.run(self._missing())
        refuse_lost(missing, lived)
        return missing

    async def _missing(self) -> set[tuple[str, str]]:
        names: set[str] = set()
        for server in self._distinct():
            async with _session(server.url()) as session:
                names |= {row["datname"] for row in await session.fetch("SELECT datname FROM pg_database")}
        return {(n, s) for n in self._servers for s in SERVICES if self.name(n, s) not in names}

    async def _copy(self, missing: Collection[tuple[str, str]]) -> None:
        for node, service in sorted(missing):
            await migrations.create_database(
                self._servers[node].url(), self.name(node, service), _template(service)
            )

    async def _create_all(self) -> None:
        await asyncio.gather(*(self._create_service(service) for service in SERVICES))

    async def _create_service(self, service: str) -> None:
        for node, server in self._servers.items():
            name = self.name(node, service)
            # One after another: a template can be copied by one session at a time.
            if not await migrations.create_database(server.url(), name, _template(service)):
                raise FailedPrecondition("DATABASE_EXISTS", f"database {name} exists already", name=name)
            self._made.append((server.url(), name))

    async def _drop(self, databases: Sequence[tuple[str, str]]) -> None:
        for admin_url, name in databases:
            await migrations.drop_database(admin_url, name)


def connections_for(nodes: int) -> dict[str, str]:
    """What a server that carries so many nodes must be told."""
    return {"max_connections": str(max(200, nodes * _CONNECTIONS_A_NODE + _RESERVED_CONNECTIONS))}


def refuse_lost(missing: Collection[tuple[str, str]], lived: Collection[str]) -> None:
    """DATABASE_MISSING where a node that lived is among those whose databases are not there.

    Empty ones would begin every register at number 1 again, under the same agency's name.
    """
    lost = sorted({node for node, _ in missing} & set(lived))
    if lost:
        names = ", ".join(lost)
        raise FailedPrecondition(
            "DATABASE_MISSING", f"the databases of {names} are not on this server", nodes=names
        )


def _embedded(nodes: int) -> EmbeddedPostgres:
    return EmbeddedPostgres.start(settings=connections_for(nodes))


@asynccontextmanager
async def _session(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


def _migrate(databases: Sequence[tuple[str, str]]) -> None:
    """By the code of the services, in a process of its own; FailedPrecondition("MIGRATION_FAILED")."""
    said = subprocess.run(
        [sys.executable, "-m", "services.migrate", "--databases"],
        input="\n".join(f"{service} {url}" for service, url in databases),
        capture_output=True,
        text=True,
        timeout=_MIGRATIONS_SECONDS,
        check=False,
    )
    if said.returncode:
        raise FailedPrecondition("MIGRATION_FAILED", f"not migrated: {said.stderr.strip()[-800:]}")


def _keep_password(file: Path, secret: str) -> None:
    """Written only where it differs: a process that starts just now must not read half of it."""
    if not file.exists() or file.read_text() != secret:
        file.touch(mode=0o600)
        file.write_text(secret)


def _template(service: str) -> str:
    return f"lienthong_template_{service}"


class TemplateBuilder:
    """A process of its own: migrations belong to the services, which libs do not import.

    It is started before the servers are, because importing takes it as long as the servers take to start.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.migrate", "--templates", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def build(self, urls: Sequence[str]) -> None:
        """Build the templates of these servers; FailedPrecondition("MIGRATION_FAILED") with the reason."""
        # Not as arguments, where every user of the machine could read passwords.
        said, _ = self._process.communicate("\n".join(urls), timeout=_TEMPLATES_SECONDS)
        if self._process.returncode:
            raise FailedPrecondition("MIGRATION_FAILED", f"no templates: {said.strip()[-800:]}")

    def __enter__(self) -> TemplateBuilder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
