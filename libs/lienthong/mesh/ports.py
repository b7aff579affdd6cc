"""Ports of a mesh: given, or found free."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lienthong.errors import Unavailable

# Below the range from which the kernel takes ports for outgoing connections (32768 on Linux): a port that a
# killed node comes back to must not have become somebody's source port meanwhile.
_LOWEST: Final = 18_000
_HIGHEST: Final = 32_000
_TRIES: Final = 500


@dataclass(frozen=True, slots=True)
class NodePorts:
    """Where one node listens: gRPC for all, RFC 3161 over HTTP."""

    grpc: int
    timestamps: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.grpc}"

    @property
    def timestamps_url(self) -> str:
        return f"http://127.0.0.1:{self.timestamps}/"


def assign(nodes: Sequence[str], base: int | None, rng: random.Random) -> dict[str, NodePorts]:
    """Two ports a node: from `base` upwards in the order of the nodes, or free ones."""
    count = 2 * len(nodes)
    ports = list(range(base, base + count)) if base is not None else _free(count, rng)
    return {node: NodePorts(ports[2 * index], ports[2 * index + 1]) for index, node in enumerate(nodes)}


def _free(count: int, rng: random.Random) -> list[int]:
    found: list[int] = []
    for _ in range(_TRIES):
        port = rng.randrange(_LOWEST, _HIGHEST)
        if port not in found and _bindable(port):
            found.append(port)
        if len(found) == count:
            return found
    raise Unavailable("PORTS_TAKEN", f"no {count} free ports between {_LOWEST} and {_HIGHEST}")


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
