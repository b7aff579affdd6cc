"""What every refusal must be: its class, a stable reason, advice in both languages, and nothing half done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from lienthong.errors import DomainError
from lienthong.rpc.errors import CODES, TRAILER

from tests.support.node import Site

# Everything that a submission or a status writes, of all services.
_TABLES = {
    "routing": (
        "submission",
        "request",
        "queue_item",
        "envelope",
        "transfer",
        "delivery",
        "handling",
        "receipt",
        "recipient",
        "event",
        "inbound",
    ),
    "registry": ("entry", "record"),
    "storage": ("hold",),
    "signing": ("signature",),
}


async def written(site: Site) -> dict[str, int]:
    """How many rows each table has."""
    return {
        f"{service}.{table}": await site.count(service, table)
        for service, tables in _TABLES.items()
        for table in tables
    }


@asynccontextmanager
async def nothing_written(site: Site) -> AsyncIterator[None]:
    """What happens inside leaves no row anywhere. Receipts that are still on their way are waited for."""
    for _ in range(250):
        if not await site.count("routing", "queue_item"):
            break
        await asyncio.sleep(0.02)
    before = await written(site)
    yield
    assert await written(site) == before


async def refused(call: Awaitable[Any], kind: type[DomainError], reason: str, field: str = "") -> DomainError:
    """The call fails as told, and the caller is told what to do in Vietnamese and English."""
    with pytest.raises(DomainError) as caught:
        await call
    error = caught.value
    assert (type(error), error.reason) == (kind, reason), str(error)
    if field:
        assert field in [violation.field for violation in error.violations]
    cause = error.__cause__
    assert isinstance(cause, grpc.aio.AioRpcError), "it came over the wire"
    assert cause.code() is CODES[kind]
    status = status_of(cause)
    advice = {text.locale: text.message for text in _details(status, error_details_pb2.LocalizedMessage)}
    assert set(advice) == {"vi", "en"}
    assert advice["vi"] != advice["en"]
    told = str(cause.details()) + status.message + " ".join(advice.values())
    assert "Traceback" not in told
    assert "services/" not in told
    return error


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status:
    trailers = dict(error.trailing_metadata() or ())
    return status_pb2.Status.FromString(trailers[TRAILER])


def _details(status: status_pb2.Status, kind: Any) -> list[Any]:
    found = []
    for detail in status.details:
        if detail.Is(kind.DESCRIPTOR):
            message = kind()
            detail.Unpack(message)
            found.append(message)
    return found
