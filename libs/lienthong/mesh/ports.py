"""Ports of a mesh: given, or found free."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lienthong.errors import Unavailable
from lienthong.mesh.parts import Mode
from lienthong.settings import SERVICES

HOST: Final = "127.0.0.1"

# Below the range from which the kernel takes ports for outgoing connections (32768 on Linux): a port that a
# killed node comes back to must not have become somebody's source port meanwhile.
_LOWEST: Final = 18_000
_HIGHEST: Final = 32_000
_TRIES: Final = 500


@dataclass(frozen=True, slots=True)
class NodePorts:
    """Where one node listens: gRPC a service (one port means one process), RFC 3161 over HTTP, newcomers."""

    services: Mapping[str, int]
    timestamps: int
    enrolment: int

    @property
    def grpc(self) -> int:
        """Routing's port; the node's where one process has them all."""
        return self.services["routing"]

    @property
    def address(self) -> str:
        return self.of("routing")

    @property
    def addresses(self) -> dict[str, str]:
        """Each service's address."""
        return {service: self.of(service) for service in SERVICES}

    @property
    def timestamps_url(self) -> str:
        return f"http://{self.timestamps_address}/"

    @property
    def timestamps_address(self) -> str:
        return f"{HOST}:{self.timestamps}"

    @property
    def enrolment_address(self) -> str:
        return f"{HOST}:{self.enrolment}"

    def of(self, service: str) -> str:
        """Where a service answers; "node" is the process with all of them."""
        return f"{HOST}:{self.services.get(service, self.grpc)}"

    def numbers(self) -> frozenset[int]:
        """All ports of the node."""
        return frozenset({*self.services.values(), self.timestamps, self.enrolment})


def assign(
    nodes: Sequence[str],
    base: int | None,
    rng: random.Random,
    *,
    mode: Mode = "node",
    taken: Collection[int] = (),
) -> dict[str, NodePorts]:
    """Ports for each node: from `base` upwards in the order of the nodes, or free ones; none of `taken`."""
    each = 3 if mode == "node" else len(SERVICES) + 2
    count = each * len(nodes)
    chosen = iter(_upwards(base, count, taken) if base is not None else free_ports(count, rng, taken))
    return {node: _of_node(chosen, mode) for node in nodes}


def free_ports(count: int, rng: random.Random, taken: Collection[int] = ()) -> list[int]:
    """So many ports on which nobody listens, or Unavailable("PORTS_TAKEN")."""
    found: list[int] = []
    for _ in range(_TRIES):
        if len(found) == count:
            return found
        port = rng.randrange(_LOWEST, _HIGHEST)
        if port not in found and port not in taken and is_free(port):
            found.append(port)
    raise Unavailable("PORTS_TAKEN", f"no {count} free ports between {_LOWEST} and {_HIGHEST}")


def is_free(port: int) -> bool:
    """Whether nobody listens on it."""
    with socket.socket() as probe:
        # As the servers do: old connections of a node that was killed (TIME_WAIT) do not take the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _of_node(ports: Iterator[int], mode: Mode) -> NodePorts:
    first = next(ports)
    if mode == "node":
        services = dict.fromkeys(SERVICES, first)
    else:
        services = {SERVICES[0]: first, **{service: next(ports) for service in SERVICES[1:]}}
    return NodePorts(services, timestamps=next(ports), enrolment=next(ports))


def _upwards(base: int, count: int, taken: Collection[int]) -> list[int]:
    """From the base on, behind what earlier nodes were given."""
    start = max([base, *(port + 1 for port in taken if port >= base)])
    return list(range(start, start + count))
