"""Waiting until a node says SERVING over mTLS, in plain blocking calls: a launcher needs no event loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from lienthong.errors import DeadlineExceeded, FailedPrecondition
from lienthong.rpc.credentials import client_credentials
from lienthong.rpc.identity import node_dns_name
from lienthong.settings import TlsSettings

_POLL_SECONDS: Final = 0.1
_CALL_SECONDS: Final = 2.0
_LOG_END: Final = 1200


def is_serving(tls: TlsSettings, address: str, node: str) -> bool:
    """Whether the node answers SERVING right now."""
    name = node_dns_name(node)
    options = [("grpc.ssl_target_name_override", name), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(address, client_credentials(tls), options) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # the type stubs only know the asynchronous form
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_CALL_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def wait_serving(
    node: str, serving: Callable[[], bool], alive: Callable[[], bool], log: Path, timeout: float
) -> None:
    """Return when `serving` says so; raise with the end of the node's log when it ends or is too slow."""
    deadline = time.monotonic() + timeout
    while not serving():
        if not alive():
            raise FailedPrecondition("NODE_ENDED", f"node {node} ended: {log_end(log)}", node=node)
        if time.monotonic() > deadline:
            raise DeadlineExceeded("NODE_NOT_READY", f"node {node} is not ready: {log_end(log)}", node=node)
        time.sleep(_POLL_SECONDS)


def log_end(log: Path) -> str:
    """The last lines of a node's log, for people."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _LOG_END))
            return file.read().decode(errors="replace").strip() or "it wrote no log"
    except OSError:
        return "it wrote no log"
