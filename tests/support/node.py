"""One whole node in the test's event loop: real databases, real mutual TLS, TEST keys, its own timestamps.

Its data (a `Site`) outlives its process: `start`, `stop`, and `crash`, which ends everything at one moment as
a power cut would, and `start` again on the same data.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import yaml
from lienthong.app import App, serve
from lienthong.client import Agency, Connection, Operator
from lienthong.clock import SystemClock
from lienthong.db import Database
from lienthong.errors import DomainError
from lienthong.mesh.keys import issue_all
from lienthong.mesh.layout import Layout
from lienthong.mesh.node_settings import SettingsWriter, directory
from lienthong.mesh.ports import NodePorts, assign
from lienthong.mesh.topology import Topology
from lienthong.pki.testing import TestAuthority
from lienthong.rpc.calls import DomainChannel
from lienthong.rpc.client import channel_to
from lienthong.rpc.identity import node_dns_name
from lienthong.settings import TlsSettings

from services.node import NodeProcess, build
from tests.support.postgres import Databases

_READY_SECONDS = 30.0


@dataclass(frozen=True)
class World:
    """Keys and organizations, made once a session: making RSA keys is what takes long."""

    topology: Topology
    layout: Layout
    authority: TestAuthority
    ports: dict[str, NodePorts]

    @classmethod
    def create(cls, topology: Topology, folder: Path) -> World:
        layout = Layout(folder)
        authority = issue_all(topology, layout, SystemClock())
        ports = assign([node.node for node in topology.nodes], None, random.SystemRandom())
        return cls(topology, layout, authority, ports)

    def tls(self, who: str) -> TlsSettings:
        """How "org/G22/clerk/<name>", "node/H01/node" or "operator/<name>" connects."""
        return self.layout.tls(who)


class Fuse:
    """A checkpoint that can be armed with the name of a step: there the node dies. Remembers all steps."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.blown = asyncio.Event()
        self._armed = ""
        self._power_cut: Callable[[], None] = lambda: None

    def arm(self, step: str) -> None:
        self._armed = step
        self.blown.clear()

    def connect(self, power_cut: Callable[[], None]) -> None:
        self._power_cut = power_cut

    async def __call__(self, step: str) -> None:
        self.seen.append(step)
        if step == self._armed:
            self._armed = ""
            # No await between the two: nothing else of the node runs after this step.
            self._power_cut()
            self.blown.set()
            raise asyncio.CancelledError(step)


@dataclass
class _Process:
    """A node that runs."""

    task: asyncio.Task[None]
    stop: asyncio.Event
    databases: list[Database]

    def power_cut(self) -> None:
        """No statement reaches a database any more; what was open there is rolled back."""
        for database in self.databases:
            database._pool.terminate()


@dataclass
class Site:
    """The data of one node, and the node while it runs."""

    world: World
    node: str
    settings: NodeProcess
    urls: dict[str, str]
    fuse: Fuse = field(default_factory=Fuse)
    _process: _Process | None = None
    _connections: list[Connection] = field(default_factory=list)
    _channels: list[DomainChannel] = field(default_factory=list)

    @classmethod
    async def create(
        cls,
        world: World,
        node: str,
        databases: Databases,
        folder: Path,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Site:
        """New databases and folders for a node; nothing runs yet."""
        services = [name for name in NodeProcess.model_fields if name in _POOLS]
        urls = {name: await databases.create(f"services.{name}") for name in services}
        written = SettingsWriter(world.topology, world.layout, world.ports, _no_database, {}).of_node(node)
        content = {key: value for key, value in written.items() if key in NodeProcess.model_fields}
        for name in services:
            section = {**content.get(name, {}), **(overrides or {}).get(name, {})}
            content[name] = {**section, "database": {"url": urls[name], "pool_size": _POOLS[name]}}
        (folder / "spool").mkdir(parents=True)
        (folder / "storage").mkdir()
        content["signing"]["spool"] = str(folder / "spool")
        content["storage"]["folder"] = str(folder / "storage")
        organizations = folder / "organizations.yaml"
        _write_yaml(organizations, directory(world.topology))
        content["registry"]["organizations_file"] = str(organizations)
        content["addresses"] = dict.fromkeys((*services, "reporting"), world.ports[node].address)
        content["telemetry"], content["grace"] = {}, 0.2
        return cls(world, node, NodeProcess(**content), urls)

    @property
    def address(self) -> str:
        return self.world.ports[self.node].address

    @property
    def timestamps_url(self) -> str:
        return self.world.ports[self.node].timestamps_url

    @property
    def is_running(self) -> bool:
        return self._process is not None and not self._process.task.done()

    # -- run -------------------------------------------------------------------------------------------------

    async def start(self) -> Site:
        """Build and serve; returns when every check of health passes."""
        apps = await build(self.settings, checkpoint=self.fuse)
        stop, started = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(serve(apps, self.settings, stop, on_started=lambda _: started.set()))
        self._process = _Process(task, stop, _databases_of(apps))
        self.fuse.connect(self._process.power_cut)
        async with asyncio.timeout(_READY_SECONDS):
            waiting = asyncio.create_task(started.wait())
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                waiting.cancel()
                await task
            for check in (check for app in apps for check in app.checks.values()):
                await _passes(check)
        return self

    async def stop(self) -> None:
        """End in good order."""
        process, self._process = self._process, None
        if process is not None:
            process.stop.set()
            await process.task

    async def crash(self) -> None:
        """End at once: nothing is given back, closed or told to anybody."""
        assert self._process is not None
        self._process.power_cut()
        await self.stop()

    async def close(self) -> None:
        """Stop, and close every client."""
        await asyncio.gather(*(connection.close() for connection in self._connections))
        await asyncio.gather(*(channel.close() for channel in self._channels))
        await self.stop()

    # -- clients ---------------------------------------------------------------------------------------------

    def connection(self, who: str, patience: float = 30.0) -> Connection:
        """A connection with that certificate; closed with the site."""
        made = Connection(self.world.tls(who), self.address, self.node, trust=None, patience=patience)
        self._connections.append(made)
        return made

    def agency(self, who: str, patience: float = 30.0) -> Agency:
        """The client of "org/G22/clerk/<name>"."""
        return Agency(self.connection(who, patience), who.split("/")[1])

    def operator(self) -> Operator:
        return Operator(self.connection(f"operator/{self.world.topology.operators[0]}"))

    def channel(self, who: str, tls: TlsSettings | None = None) -> DomainChannel:
        """A bare channel; closed with the site."""
        made = channel_to(tls or self.world.tls(who), self.address, node_dns_name(self.node))
        self._channels.append(made)
        return made

    # -- what lies in the tables -----------------------------------------------------------------------------

    async def rows(self, service: str, query: str, *args: object) -> list[Any]:
        """Rows of a service's database, past the service."""
        connection = await asyncpg.connect(self.urls[service])
        try:
            return list(await connection.fetch(query, *args))
        finally:
            await connection.close()

    async def count(self, service: str, table: str) -> int:
        [row] = await self.rows(service, f"SELECT count(*) AS n FROM {table}")
        return int(row["n"])


_POOLS = {"registry": 6, "signing": 3, "storage": 4, "routing": 8, "reporting": 3}


def _no_database(_node: str, _service: str, _password: Path) -> dict[str, Any]:
    return {}


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(yaml.safe_dump(dict(content), allow_unicode=True), encoding="utf-8")


def _databases_of(apps: Any) -> list[Database]:
    """The databases that `build` opened: it closes them, so they are what its apps close."""
    closing: list[App] = [app for app in apps if app.name.endswith("-database")]
    return [close.__self__ for app in closing for close in app.close]  # type: ignore[attr-defined]


async def _passes(check: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await check()
        except DomainError:
            await asyncio.sleep(0.02)
        else:
            return
