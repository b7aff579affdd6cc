"""The one way to build a gRPC server: mutual TLS, limits, keepalive, health, reflection, interceptors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from lienthong.rpc.access import AccessTable
from lienthong.rpc.credentials import server_credentials
from lienthong.rpc.health import Health
from lienthong.rpc.identity import Identities
from lienthong.rpc.interceptors import server_interceptors
from lienthong.rpc.ports import refused_port
from lienthong.settings import TlsSettings

# (add_XServicer_to_server, servicer)
Servicer = tuple[Callable[[Any, grpc.aio.Server], None], Any]

MESSAGE_LIMIT: Final = 2 * 1024 * 1024
KEEPALIVE_MS: Final = 30_000


class Server:
    """A built server: its port is bound, it serves after `start`."""

    def __init__(
        self, server: grpc.aio.Server, host: str, port: int, health: Health, stopping: asyncio.Event
    ) -> None:
        self._server = server
        self._stopping = stopping
        self.address = f"{host}:{port}"
        self.port = port
        self.health = health

    async def start(self) -> None:
        """Serve; health stays NOT_SERVING until its first probe."""
        await self._server.start()

    async def stop(self, grace: float | None) -> None:
        """Say NOT_SERVING, end endless calls, refuse new ones, and give those in flight so many seconds."""
        await self.health.stop()
        self._stopping.set()
        await self._server.stop(grace)

    async def wait(self) -> None:
        """Return when the server has stopped."""
        await self._server.wait_for_termination()


async def build_server(
    tls: TlsSettings,
    listen: str,
    servicers: Sequence[Servicer],
    *,
    node: str,
    trust_domain: str,
    health: Health | None = None,
    bindings: Mapping[str, str] | None = None,
    message_limit: int = MESSAGE_LIMIT,
) -> Server:
    """Build a server for one node's services on `listen` ("host:port"; port 0 takes a free one).

    `bindings` tells callers by the fingerprint of a certificate without a URI (see identity.Identities).
    """
    health = health or Health()
    offered = _service_names(servicers)
    stopping = asyncio.Event()
    server = grpc.aio.server(
        interceptors=server_interceptors(
            Identities(trust_domain, bindings), AccessTable.of_services(node, offered), stopping
        ),
        options=_options(message_limit),
    )
    for add, servicer in servicers:
        add(servicer, server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    names = (*offered, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    await health.offer(offered)
    host, _, _ = listen.rpartition(":")
    return Server(server, host, _bound(server, tls, listen), health, stopping)


def _bound(server: grpc.aio.Server, tls: TlsSettings, listen: str) -> int:
    credentials = server_credentials(tls)
    try:
        port = server.add_secure_port(listen, credentials)
    except RuntimeError:
        port = 0
    if port == 0:
        raise refused_port(listen, "listen")
    return port


def _options(message_limit: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", message_limit),
        ("grpc.max_send_message_length", message_limit),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Must be less than the client's interval, or idle links die of too_many_pings in 40 s.
        ("grpc.http2.min_ping_interval_without_data_ms", KEEPALIVE_MS // 3),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.http2.max_pings_without_data", 0),
        # Two processes on one port would each get half of the calls, silently.
        ("grpc.so_reuseport", 0),
    ]


class _Names:
    """Stands in for a server to learn the names of the services that would be added to it."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Iterable[Any]) -> None:
        self.names.extend(handler.service_name() for handler in handlers)

    def add_registered_method_handlers(self, service: str, methods: Mapping[str, Any]) -> None:
        """Repeats what the generic handlers said."""


def _service_names(servicers: Sequence[Servicer]) -> list[str]:
    recorder: Any = _Names()
    for add, servicer in servicers:
        add(servicer, recorder)
    names: list[str] = recorder.names
    return names
