"""The one way to call: one mutual TLS channel per target, stubs that raise domain errors.

channels = Channels(tls, {"registry": "127.0.0.1:7000"}, node="H01")
directory = channels.stub(DirectoryServiceStub, "registry")
await directory.GetOrganization(request)   # raises NotFound("ORGANIZATION_UNKNOWN"), not a status
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import grpc
from lienthong.errors import InvalidArgument
from lienthong.rpc.calls import DomainChannel
from lienthong.rpc.credentials import client_credentials
from lienthong.rpc.identity import node_dns_name
from lienthong.rpc.server import KEEPALIVE_MS, MESSAGE_LIMIT
from lienthong.settings import TlsSettings

DEFAULT_TIMEOUT: Final = 30.0

StubT = TypeVar("StubT")


def channel_to(
    tls: TlsSettings,
    target: str,
    server_name: str,
    *,
    default_timeout: float = DEFAULT_TIMEOUT,
    message_limit: int = MESSAGE_LIMIT,
) -> DomainChannel:
    """A channel to "host:port" whose certificate must carry `server_name` (see identity.node_dns_name)."""
    channel = grpc.aio.secure_channel(
        target, client_credentials(tls), options=_options(server_name, message_limit)
    )
    return DomainChannel(channel, default_timeout)


def _options(server_name: str, message_limit: int) -> list[tuple[str, int | str]]:
    return [
        ("grpc.ssl_target_name_override", server_name),
        ("grpc.default_authority", server_name),
        ("grpc.max_receive_message_length", message_limit),
        ("grpc.max_send_message_length", message_limit),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # gRPC's own back-off grows to two minutes; a restarted neighbour is back in seconds.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 2_000),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # A shared subchannel would carry one certificate's calls over another's connection.
        ("grpc.use_local_subchannel_pool", 1),
    ]


class Channels:
    """The address book of a node's own services, with one channel per address."""

    def __init__(
        self,
        tls: TlsSettings,
        addresses: Mapping[str, str],
        *,
        node: str,
        default_timeout: float = DEFAULT_TIMEOUT,
    ) -> None:
        self._tls = tls
        self._addresses = dict(addresses)
        self._server_name = node_dns_name(node)
        self._default_timeout = default_timeout
        self._channels: dict[str, DomainChannel] = {}

    def channel(self, name: str) -> DomainChannel:
        """The channel to a service by its name; services at one address share a channel."""
        target = self._addresses.get(name)
        if target is None:
            raise InvalidArgument("SETTINGS_INVALID", f"addresses.{name}: no address is set", name=name)
        if target not in self._channels:
            self._channels[target] = channel_to(
                self._tls, target, self._server_name, default_timeout=self._default_timeout
            )
        return self._channels[target]

    def stub(self, stub: Callable[[grpc.aio.Channel], StubT], name: str) -> StubT:
        """A stub of the named service."""
        return stub(self.channel(name))

    async def close(self, grace: float | None = None) -> None:
        """Close all channels."""
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close(grace)
