"""Tells a node that runs what is new in the directory, in the name of its own services."""

from __future__ import annotations

from typing import Any, Final

import grpc
from lienthong.ids import IdFactory
from lienthong.mesh.directory_news import Rows
from lienthong.registry.v1 import directory_pb2, directory_pb2_grpc
from lienthong.rpc.credentials import client_credentials
from lienthong.rpc.identity import node_dns_name
from lienthong.settings import TlsSettings

_CALL_SECONDS: Final = 10.0


def import_rows(tls: TlsSettings, address: str, node: str, rows: Rows, new_id: IdFactory) -> str | None:
    """Import rows into the registry at `address`; None, or why it did not take them."""
    request = directory_pb2.ImportOrganizationsRequest(
        request_id=str(new_id()),
        nodes=[_node(row) for row in rows["nodes"]],
        organizations=[_organization(row) for row in rows["organizations"]],
    )
    options = [("grpc.ssl_target_name_override", node_dns_name(node)), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address, client_credentials(tls), options) as channel:
        stub: Any = directory_pb2_grpc.DirectoryServiceStub(
            channel
        )  # the stubs only know the asynchronous form
        try:
            stub.ImportOrganizations(request, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            return " ".join(str(error).split())[:400]
    return None


def _node(row: dict[str, Any]) -> directory_pb2.Node:
    return directory_pb2.Node(
        node=row["node"], parent=row.get("parent", ""), name=row["name"], tier=tier_of(row["tier"])
    )


def _organization(row: dict[str, Any]) -> directory_pb2.Organization:
    return directory_pb2.Organization(
        code=row["code"],
        name=row["name"],
        superior=row.get("superior", ""),
        tier=tier_of(row["tier"]),
        node=row["node"],
        valid_from=row["valid_from"],
        valid_to=row.get("valid_to", ""),
    )


def tier_of(name: str) -> directory_pb2.Tier.ValueType:
    """A tier of a topology as the contract has it."""
    return directory_pb2.Tier.Value(f"TIER_{name}")
