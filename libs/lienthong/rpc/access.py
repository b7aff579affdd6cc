"""Who may call what: the method option `lienthong.types.v1.access`, read from the contract and enforced here.

A method without the option refuses everyone; health and reflection are open to any authenticated caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from google.protobuf import descriptor_pool
from lienthong.errors import PermissionDenied
from lienthong.rpc.identity import Caller, CallerKind
from lienthong.types.v1 import access_pb2

_OPEN_SERVICES: Final = frozenset(
    {
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    }
)
_ORGANIZATION_ROLES: Final = {
    "client": access_pb2.ROLE_ORGANIZATION,
    "leader": access_pb2.ROLE_LEADER,
    "clerk": access_pb2.ROLE_CLERK,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call one method; `services` narrows the callers of the own node, where it is not empty."""

    roles: frozenset[access_pb2.Role.ValueType]
    services: frozenset[str] = frozenset()


class AccessTable:
    """The rules of the methods that one server offers, for one node."""

    def __init__(self, node: str, rules: Mapping[str, Rule]) -> None:
        self._node = node
        self._rules = dict(rules)

    @classmethod
    def of_services(cls, node: str, services: Iterable[str]) -> AccessTable:
        """Read the rules of these services (full names) from their descriptors."""
        rules: dict[str, Rule] = {}
        for service in services:
            rules.update(_rules_of(service))
        return cls(node, rules)

    def check(self, method: str, caller: Caller) -> None:
        """Let the caller pass, or raise PermissionDenied. `method` is "/package.Service/Method"."""
        if is_open(method):
            return
        rule = self._rules.get(method)
        if rule is None or not rule.roles:
            raise PermissionDenied("METHOD_CLOSED", "the method is open to nobody", method=method)
        role = role_of(caller, self._node)
        if role not in rule.roles or not self._service_passes(rule, role, caller):
            raise PermissionDenied(
                "ROLE_REFUSED",
                "the caller's role may not call this method",
                role=access_pb2.Role.Name(role),
                method=method,
            )

    def _service_passes(self, rule: Rule, role: access_pb2.Role.ValueType, caller: Caller) -> bool:
        if role != access_pb2.ROLE_NODE_SERVICE or not rule.services:
            return True
        # "node" is one process with all five: it is every service.
        return caller.service == "node" or caller.service in rule.services


def is_open(method: str) -> bool:
    """Whether any authenticated caller may call the method."""
    return method.rpartition("/")[0].removeprefix("/") in _OPEN_SERVICES


def role_of(caller: Caller, node: str) -> access_pb2.Role.ValueType:
    """The caller's role at this node; what is a colleague at home is a peer elsewhere."""
    if caller.kind is CallerKind.NODE:
        return access_pb2.ROLE_NODE_SERVICE if caller.node == node else access_pb2.ROLE_PEER_NODE
    if caller.kind is CallerKind.ORGANIZATION:
        return _ORGANIZATION_ROLES.get(caller.role, access_pb2.ROLE_UNSPECIFIED)
    if caller.kind is CallerKind.OPERATOR:
        return access_pb2.ROLE_OPERATOR
    if caller.kind is CallerKind.NEWCOMER:
        return access_pb2.ROLE_NEWCOMER
    return access_pb2.ROLE_AUDITOR


def _rules_of(service: str) -> dict[str, Rule]:
    try:
        descriptor = descriptor_pool.Default().FindServiceByName(service)
    except KeyError:
        return {}  # without a descriptor there is no option: closed
    rules: dict[str, Rule] = {}
    for method in descriptor.methods:
        access = method.GetOptions().Extensions[access_pb2.access]
        roles = frozenset(access.roles) - {access_pb2.ROLE_UNSPECIFIED}
        rules[f"/{service}/{method.name}"] = Rule(roles, frozenset(access.services))
    return rules
