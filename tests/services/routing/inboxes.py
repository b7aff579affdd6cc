"""Waiting for what comes: deliveries at recipients, receipts at senders."""

from __future__ import annotations

from lienthong.client import Agency
from lienthong.types.v1 import document_pb2

from tests.services.routing.papers import client_of
from tests.support.node import Site


async def delivery_of(site: Site, organization: str, document_id: str) -> tuple[Agency, str]:
    """The recipient's client and its delivery of a document, waited for."""
    agency = site.agency(client_of(organization))

    async def ask() -> str | None:
        found = [d for d in await agency.inbox.all() if d.document.document_id == document_id]
        assert len(found) <= 1, "one inbox item for a recipient"
        return found[0].delivery_id if found else None

    delivery_id = await agency.inbox._connection.wait_until(ask, 20.0)
    assert delivery_id, f"{organization} got nothing"
    return agency, delivery_id


async def receipts_of(agency: Agency, document_id: str, count: int) -> list[document_pb2.Receipt]:
    async def ask() -> list[document_pb2.Receipt] | None:
        found = list(await agency.all_receipts(document_id))
        return found if len(found) >= count else None

    found = await agency._connection.wait_until(ask, 20.0)
    assert found is not None, f"fewer than {count} receipts"
    assert len(found) == count
    return found
