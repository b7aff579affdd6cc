"""The listener for nodes that hold no certificate yet: TLS one way, and nothing on it but enrolment.

Kept apart from the node's port, so that no mistake of authorisation there can ever meet a caller without a
certificate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import grpc
from lienthong.rpc.access import AccessTable
from lienthong.rpc.calls import DomainChannel
from lienthong.rpc.identity import Newcomers, node_dns_name
from lienthong.rpc.interceptors import CallInterceptor
from lienthong.rpc.ports import refused_port
from lienthong.rpc.server import Servicer
from lienthong.settings import TlsSettings

# A directory snapshot of 100,000 organizations with long names takes some 30 MB.
MESSAGE_LIMIT: Final = 64 * 1024 * 1024
_CALLS: Final = 16
_SECONDS: Final = 60.0


class NewcomerListener:
    """Bound when made, serving while `run` runs."""

    def __init__(self, server: grpc.aio.Server, port: int) -> None:
        self._server = server
        self.port = port

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._server.start()
        # Not wait_for_termination: cancelled there, the server could not be stopped any more.
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Refuse new calls and give those in flight a second."""
        await self._server.stop(1.0)


def listen_for_newcomers(
    tls: TlsSettings,
    listen: str,
    servicers: Mapping[str, Servicer],
    *,
    node: str,
    trust_domain: str,
) -> NewcomerListener:
    """Bind `listen` ("host:port"); `servicers` by the full names of their services."""
    interceptor = CallInterceptor(
        Newcomers(trust_domain), AccessTable.of_services(node, servicers), asyncio.Event()
    )
    server = grpc.aio.server(
        interceptors=[interceptor],
        maximum_concurrent_rpcs=_CALLS,
        options=[
            ("grpc.max_receive_message_length", 1024 * 1024),
            ("grpc.max_send_message_length", MESSAGE_LIMIT),
            ("grpc.so_reuseport", 0),
            # Strangers: whoever connects and says nothing gives the place back.
            ("grpc.max_concurrent_streams", 2),
            ("grpc.max_connection_age_ms", 30_000),
            ("grpc.max_connection_age_grace_ms", 30_000),
        ],
    )
    for add, servicer in servicers.values():
        add(servicer, server)
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    try:
        port = server.add_secure_port(listen, grpc.ssl_server_credentials([pair]))
    except RuntimeError:
        port = 0
    if not port:
        raise refused_port(listen, "registry.enrolment.listen")
    return NewcomerListener(server, port)


def newcomer_channel(address: str, roots: bytes, node: str) -> DomainChannel:
    """A channel of somebody without a certificate to the listener of a node that `roots` speak for."""
    name = node_dns_name(node)
    options: Sequence[tuple[str, Any]] = [
        ("grpc.ssl_target_name_override", name),
        ("grpc.default_authority", name),
        ("grpc.max_receive_message_length", MESSAGE_LIMIT),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    credentials = grpc.ssl_channel_credentials(roots)
    return DomainChannel(grpc.aio.secure_channel(address, credentials, options=options), _SECONDS)
