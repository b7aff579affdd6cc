"""The last look round, when all is done: inboxes, receipts, journeys, registers, each by its own client."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lienthong.client.registers import HTML, INCOMING, OUTGOING, TEXT, Registers
from lienthong.demo.seen import Book, Day, Sent
from lienthong.demo.stage import Stage
from lienthong.errors import NotFound
from lienthong.registry.v1 import register_pb2
from lienthong.reporting.v1 import reporting_pb2


async def look_round(stage: Stage, day: Day) -> None:
    """Fill in what only the end of the day can show."""
    for sent in (day.document, day.reply):
        sender = stage.desks.software(sent.sender)
        sent.submission = await sender.submission(document_id=sent.document_id)
        sent.receipts = await sender.all_receipts(sent.document_id)
        sent.journey = await _journey(stage, sent)
    organizations = sorted({day.document.sender, *day.document.recipients})
    for organization in organizations:
        await _count_items(stage, day, organization)
    books = await asyncio.gather(*(_books(stage, organization) for organization in organizations))
    day.books = [book for pair in books for book in pair]


async def export_registers(stage: Stage, organization: str) -> list[Path]:
    """Both registers as HTML to print and as text to read."""
    registers, year = stage.desks.software(organization).registers, stage.today.year
    folder = stage.folder / organization
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for direction, name in ((OUTGOING, "so-van-ban-di"), (INCOMING, "so-van-ban-den")):
        book = registers.book(direction, year)
        for form, ending in ((HTML, "html"), (TEXT, "txt")):
            written.append(await registers.export(book, form, folder / f"{name}.{ending}"))
    return written


async def _journey(stage: Stage, sent: Sent) -> reporting_pb2.Journey:
    """From the sender's own node; it follows routing's events, so it is asked until it caught up."""
    agency = stage.desks.software(sent.sender)
    wanted = {code: sent.statuses(code) for code in sent.recipients}

    async def complete() -> reporting_pb2.Journey | None:
        try:
            journey = await agency.journey(sent.document_id)
        except NotFound:
            return None
        known = {
            branch.organization: [
                fact.status for fact in sorted(branch.statuses, key=lambda fact: fact.sequence)
            ]
            for branch in journey.branches
        }
        return journey if known == wanted else None

    return await stage.until(f"{sent.sender}: journey", complete, within=20.0)


async def _count_items(stage: Stage, day: Day, organization: str) -> None:
    """What is in an inbox now: of the document, of the reply, and of anything else."""
    items = await stage.desks.software(organization).inbox.all()
    for sent in (day.document, day.reply):
        if organization in sent.arrivals:
            sent.arrivals[organization].items = [
                item for item in items if item.document.document_id == sent.document_id
            ]
    expected = {sent.document_id for sent in (day.document, day.reply) if organization in sent.recipients}
    day.strays[organization] = sum(item.document.document_id not in expected for item in items)


async def _books(stage: Stage, organization: str) -> list[Book]:
    registers = stage.desks.software(organization).registers
    return [await _book(stage, registers, organization, direction) for direction in (OUTGOING, INCOMING)]


async def _book(
    stage: Stage, registers: Registers, organization: str, direction: register_pb2.Direction.ValueType
) -> Book:
    book = registers.book(direction, stage.today.year)

    async def settled() -> register_pb2.CheckRegisterResponse | None:
        # The mark "issued" follows the issue by the outbox, a moment later.
        check = await registers.check(book)
        return None if check.reserved else check

    check = await stage.until(f"{organization}: register", settled, within=20.0)
    entries = [entry async for entry in registers.entries(book)]
    return Book(organization, direction == OUTGOING, check, entries)
