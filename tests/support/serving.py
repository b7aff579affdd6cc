"""One service's App behind real mutual TLS with TEST certificates, and channels for callers of any role."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from lienthong.app import App, serve
from lienthong.clock import Clock, SystemClock
from lienthong.mesh.ports import free_ports
from lienthong.pki.issuing import Issued
from lienthong.pki.keys import FileKey, load_signing_key
from lienthong.pki.testing import TestAuthority
from lienthong.rpc.client import channel_to
from lienthong.rpc.identity import node_dns_name
from lienthong.rpc.server import Server
from lienthong.settings import NodeSettings, TlsSettings

TRUST_DOMAIN = "lienthong.test"


@dataclass
class Pki:
    """TEST certificates, each issued once. Callers are named as in their identity: "node/H01/routing",
    "org/G22/client/app", "operator/an"."""

    authority: TestAuthority
    _issued: dict[str, Issued] = field(default_factory=dict)

    @classmethod
    def create(cls, folder: Path) -> Pki:
        """A hierarchy of its own."""
        return cls(TestAuthority.create(folder, SystemClock(), TRUST_DOMAIN))

    def issued(self, who: str) -> Issued:
        """The TLS certificate of a caller."""
        if who not in self._issued:
            match who.split("/"):
                case ["node", node, service]:
                    self._issued[who] = self.authority.tls_node(node, service)
                case ["org", organization, role, name]:
                    self._issued[who] = self.authority.tls_client(organization, role, name)
                case [kind, name]:
                    self._issued[who] = self.authority.tls_client("", kind, name)
                case _:
                    raise ValueError(who)
        return self._issued[who]

    def tls(self, who: str) -> TlsSettings:
        """What a TLS endpoint needs to be that caller."""
        issued = self.issued(who)
        return TlsSettings(
            certificate=issued.chain_path, key=issued.key_path, roots=self.authority.roots_path
        )

    def key(self, who: str) -> FileKey:
        """The TLS key of a caller, to sign grants with."""
        issued = self.issued(who)
        return load_signing_key(issued.key_path, issued.chain_path)

    def settings(self, node: str, service: str = "node", **more: Any) -> NodeSettings:
        """The settings of a process of a node, on a free port unless `listen` says which."""
        return NodeSettings(
            node=node,
            trust_domain=TRUST_DOMAIN,
            service=service,
            tls=self.tls(f"node/{node}/{service}"),
            grace=0.5,
            **more,
        )

    def channel(self, who: str, node: str, address: str) -> grpc.aio.Channel:
        """A channel of that caller to a node; the test closes it."""
        return channel_to(self.tls(who), address, node_dns_name(node))


@asynccontextmanager
async def serving(
    apps: Sequence[App], settings: NodeSettings, clock: Clock | None = None
) -> AsyncIterator[str]:
    """Serve the apps as a process would, and give the address; everything is closed at the end."""
    stop = asyncio.Event()
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_started(server: Server) -> None:
        started.set_result(server.address)

    process = asyncio.create_task(serve(apps, settings, stop, on_started=on_started, clock=clock))
    waiting: list[asyncio.Future[Any]] = [process, started]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if process.done():
        await process
    try:
        yield await started
    finally:
        stop.set()
        await process


def free_port() -> int:
    """A port of the loopback that nobody listens on, below those that the kernel gives to clients."""
    [port] = free_ports(1, random.SystemRandom())
    return port
