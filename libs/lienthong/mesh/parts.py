"""The processes of a node: one with all five services, or each service alone, as in production."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from lienthong.settings import SERVICES

WHOLE: Final = "node"

Mode = Literal["node", "services"]


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One process; `service` is "node" where it hosts all five."""

    node: str
    service: str = WHOLE

    @property
    def name(self) -> str:
        """H01, or H01/routing."""
        return self.node if self.service == WHOLE else f"{self.node}/{self.service}"

    @property
    def module(self) -> str:
        return f"services.{self.service}"

    @property
    def identity(self) -> str:
        """Path of its identity, and of its TLS certificate under pki/issued."""
        return f"node/{self.node}/{self.service}"


def parts_of(node: str, mode: Mode) -> tuple[Part, ...]:
    """The processes that a node consists of."""
    return (Part(node),) if mode == "node" else tuple(Part(node, service) for service in SERVICES)
