"""Arrivals, external numbers, reading, printing, and what happens to who tampers."""

from __future__ import annotations

import asyncpg
import pytest
from lienthong.errors import AlreadyExists, InvalidArgument, PermissionDenied
from lienthong.registry.v1 import register_pb2 as pb

from services.registry.domain import Direction
from services.registry.export import MAX_CHUNK, columns_of
from tests.services.registry.asking import (
    Registry,
    check,
    incoming,
    issue,
    new_id,
    outgoing,
    reservation,
    reserve,
    void,
)

OPERATOR, CLERK, STRANGER = "operator/an", "org/H01/clerk/mau", "org/H01.03/client/mau"

TAMPER = """UPDATE record SET canonical =
    convert_to(replace(convert_from(canonical, 'UTF8'), 'MAU', 'MAO'), 'UTF8') WHERE seq = 2"""


def external(number: int = 15, document: str = "doc-1", notation: str = "QĐ-MAU") -> pb.IssueEntriesRequest:
    entry = pb.ExternalEntry(organization="H01", number=number, notation=notation, issued_date="2026-02-28")
    described = pb.Description(document_id=document, subject="Về việc MẪU", recipients=["H01.15"])
    return pb.IssueEntriesRequest(
        issues=[pb.Issue(request_id=new_id(), external=entry, description=described)]
    )


def arrival(**fields: object) -> pb.RecordArrivalsRequest:
    facts: dict[str, object] = {"request_id": new_id(), "organization": "H01", "envelope_id": new_id()}
    described = pb.Description(author="G22", code="15/QĐ-VPCP", issued_date="2026-02-27", subject="MẪU")
    return pb.RecordArrivalsRequest(arrivals=[pb.Arrival(description=described, **{**facts, **fields})])  # type: ignore[arg-type]


async def test_external_numbers_stand_outside_our_series(registry: Registry) -> None:
    stub = registry.register()
    request = external()
    first = await stub.IssueEntries(request)
    assert first == await stub.IssueEntries(request)
    assert first == await stub.IssueEntries(external())  # the same document under another request id
    with pytest.raises(AlreadyExists) as caught:
        await stub.IssueEntries(external(document="doc-2"))
    assert caught.value.reason == "NUMBER_TAKEN"
    assert caught.value.violations[0].field == "issues[0].external.number"
    await stub.IssueEntries(external(document="doc-2", notation="TB-MAU"))
    assert (await reserve(stub))[0].number == 1
    found = await check(registry.register(OPERATOR), outgoing())
    assert (found.highest, list(found.missing), found.chain_intact) == (1, [], True)
    listed = await registry.register(CLERK).ListEntries(pb.ListEntriesRequest(book=outgoing()))
    assert [entry.number for entry in listed.entries] == [1, 15, 15]
    assert listed.entries[1].state == pb.ENTRY_STATE_EXTERNAL


async def test_one_refused_item_leaves_nothing_of_its_call(registry: Registry) -> None:
    stub = registry.register()
    [number] = await reserve(stub)
    mixed = external()
    mixed.issues.append(pb.Issue(request_id=new_id(), entry_id=number.entry_id))
    mixed.issues.append(pb.Issue(request_id=new_id(), entry_id=new_id()))
    with pytest.raises(Exception, match="ENTRY_UNKNOWN"):
        await stub.IssueEntries(mixed)
    listed = await registry.register(CLERK).ListEntries(pb.ListEntriesRequest(book=outgoing()))
    assert [entry.state for entry in listed.entries] == [pb.ENTRY_STATE_RESERVED]


async def test_arrivals_take_one_number_for_an_envelope(registry: Registry) -> None:
    stub = registry.register()
    request = arrival()
    first = (await stub.RecordArrivals(request)).arrivals[0]
    assert (first.number, first.arrival_date) == (1, "2026-03-02")
    assert (await stub.RecordArrivals(request)).arrivals[0] == first
    again = arrival(envelope_id=request.arrivals[0].envelope_id)
    assert (await stub.RecordArrivals(again)).arrivals[0] == first
    assert (await stub.RecordArrivals(arrival())).arrivals[0].number == 2
    changed = arrival(request_id=request.arrivals[0].request_id)
    with pytest.raises(AlreadyExists, match="REQUEST_ID_REUSED"):
        await stub.RecordArrivals(changed)
    found = await check(registry.register(CLERK), incoming())
    assert (found.highest, found.issued, found.chain_intact) == (2, 2, True)


async def test_the_recipients_own_number_is_used_once(registry: Registry) -> None:
    stub = registry.register()
    taken = (await stub.RecordArrivals(arrival(own_number=120))).arrivals[0]
    assert taken.number == 120
    with pytest.raises(AlreadyExists) as caught:
        await stub.RecordArrivals(arrival(own_number=120))
    assert caught.value.reason == "NUMBER_TAKEN"
    assert (await stub.RecordArrivals(arrival())).arrivals[0].number == 1


async def test_pages_lead_through_a_whole_register(registry: Registry) -> None:
    await reserve(registry.register(), *(reservation() for _ in range(25)))
    stub, numbers, token = registry.register(CLERK), [], ""
    while True:
        request = pb.ListEntriesRequest(book=outgoing(), page_size=10, page_token=token)
        page = await stub.ListEntries(request)
        numbers += [entry.number for entry in page.entries]
        token = page.next_page_token
        if not token:
            break
    assert numbers == list(range(1, 26))
    with pytest.raises(InvalidArgument, match="PAGE_TOKEN_INVALID"):
        await stub.ListEntries(pb.ListEntriesRequest(book=outgoing(), page_token="AAAA"))
    with pytest.raises(InvalidArgument, match="PAGE_SIZE_INVALID"):
        await stub.ListEntries(pb.ListEntriesRequest(book=outgoing(), page_size=-1))


async def test_a_page_of_long_entries_stays_below_the_largest_message(registry: Registry) -> None:
    recipients = [f"Cơ quan MẪU {n:03d} " + "x" * 180 for n in range(500)]
    described = pb.Description(recipients=recipients)
    for _ in range(30):
        await reserve(registry.register(), reservation(description=described))
    stub, seen, token = registry.register(CLERK), 0, ""
    while True:
        page = await stub.ListEntries(
            pb.ListEntriesRequest(book=outgoing(), page_size=1000, page_token=token)
        )
        seen += len(page.entries)
        token = page.next_page_token
        if not token:
            break
    assert seen == 30


async def printed(
    registry: Registry, book: pb.Book, form: pb.ExportFormat.ValueType, who: str = CLERK
) -> str:
    request = pb.ExportRegisterRequest(book=book, format=form)
    chunks = [answer.chunk async for answer in registry.register(who).ExportRegister(request)]
    assert all(len(chunk) <= MAX_CHUNK for chunk in chunks)
    return b"".join(chunks).decode()


@pytest.mark.parametrize("form", [pb.EXPORT_FORMAT_HTML, pb.EXPORT_FORMAT_TEXT])
async def test_exports_carry_all_columns_and_all_lines(
    registry: Registry, form: pb.ExportFormat.ValueType
) -> None:
    stub = registry.register()
    numbers = await reserve(stub, *(reservation() for _ in range(3)))
    await issue(stub, numbers[0].entry_id, type_name="Quyết định", subject="<b>MẪU</b>", signer="Ng. Mẫu")
    await void(stub, numbers[1].entry_id, "trùng")
    await stub.RecordArrivals(arrival())
    sent, received = await printed(registry, outgoing(), form), await printed(registry, incoming(), form)
    if form == pb.EXPORT_FORMAT_HTML:
        for direction, text in ((Direction.OUTGOING, sent), (Direction.INCOMING, received)):
            places = [text.index(f"<th>{column.heading}</th>") for column in columns_of(direction)]
            assert len(places) == 10
            assert places == sorted(places)
        assert "size:A4 landscape" in sent
        assert "<b>" not in sent
    assert "SỔ ĐĂNG KÝ VĂN BẢN ĐI" in sent
    assert "SỔ ĐĂNG KÝ VĂN BẢN ĐẾN" in received
    assert "UBND tỉnh MẪU" in sent
    assert "2026" in sent
    assert "HỦY: trùng" in sent
    assert all(f"{number:02d}/QĐ-MAU" in sent for number in (1, 2, 3))
    assert "15/QĐ-VPCP" in received


async def test_an_export_longer_than_a_page_is_whole(registry: Registry) -> None:
    described = pb.Description(subject="nội dung " * 50)
    for _ in range(2):
        await reserve(registry.register(), *(reservation(description=described) for _ in range(700)))
    text = await printed(registry, outgoing(), pb.EXPORT_FORMAT_HTML)
    assert len(text.encode()) > MAX_CHUNK
    assert all(f"<td>{number:02d}/QĐ-MAU</td>" in text for number in range(1, 1401))


async def test_a_register_is_its_own_organizations(registry: Registry) -> None:
    await reserve(registry.register())
    stranger = registry.register(STRANGER)
    for call in (
        stranger.ListEntries(pb.ListEntriesRequest(book=outgoing())),
        stranger.CheckRegister(pb.CheckRegisterRequest(book=outgoing())),
    ):
        with pytest.raises(PermissionDenied, match="ORGANIZATION_FOREIGN"):
            await call
    with pytest.raises(PermissionDenied, match="ORGANIZATION_FOREIGN"):
        await printed(registry, outgoing(), pb.EXPORT_FORMAT_TEXT, STRANGER)
    for reader in (OPERATOR, "auditor/binh", CLERK, "org/H01/leader/mau", "org/H01/client/mau"):
        assert (await check(registry.register(reader), outgoing())).highest == 1


async def test_only_routing_of_the_same_node_writes(registry: Registry) -> None:
    for who in (CLERK, OPERATOR, "node/H01/storage", "node/G22/routing"):
        with pytest.raises(PermissionDenied, match="ROLE_REFUSED"):
            await reserve(registry.register(who))


FORBIDDEN = (
    "UPDATE record SET canonical = 'x'",
    "DELETE FROM record",
    "TRUNCATE record",
    "DELETE FROM entry",
    "UPDATE entry SET number = 9",
    "UPDATE entry SET entry_date = '2020-01-01'",
)


async def test_the_database_refuses_to_change_the_past(registry: Registry) -> None:
    await reserve(registry.register())
    for harm in FORBIDDEN:
        with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
            await registry.database.execute(harm)


@pytest.mark.parametrize(
    "harm",
    [
        TAMPER,
        "DELETE FROM record WHERE seq = 3",
        "UPDATE entry SET description = jsonb_set(description, '{subject}', '\"khác\"') WHERE number = 1",
        "UPDATE entry SET state = 3, void_reason = 'x' WHERE number = 1",
        "DELETE FROM entry WHERE number = 3",
        "UPDATE book SET head = decode(repeat('00', 32), 'hex')",
        "UPDATE book SET highest = 2",
    ],
)
async def test_who_switches_the_triggers_off_is_found_out(registry: Registry, harm: str) -> None:
    await reserve(registry.register(), *(reservation() for _ in range(3)))
    before = await check(registry.register(OPERATOR), outgoing())
    assert before.chain_intact
    for table in ("record", "entry"):
        await registry.database.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await registry.database.execute(harm)
    assert not (await check(registry.register(OPERATOR), outgoing())).chain_intact


async def test_a_lost_entry_is_reported_missing(registry: Registry) -> None:
    await reserve(registry.register(), *(reservation() for _ in range(3)))
    await registry.database.execute("ALTER TABLE entry DISABLE TRIGGER USER")
    await registry.database.execute("DELETE FROM entry WHERE number = 2")
    assert list((await check(registry.register(OPERATOR), outgoing())).missing) == [2]


async def test_a_book_that_cannot_be_is_refused(registry: Registry) -> None:
    sent = pb.DIRECTION_OUTGOING
    for book, reason in (
        (pb.Book(organization="H01", year=2026), "DIRECTION_INVALID"),
        (pb.Book(organization="H01", year=0, direction=sent), "YEAR_INVALID"),
        (pb.Book(organization="?", year=2026, direction=sent), "ORGANIZATION_CODE_INVALID"),
    ):
        with pytest.raises(InvalidArgument, match=reason):
            await check(registry.register(OPERATOR), book)


async def test_an_export_needs_a_form(registry: Registry) -> None:
    with pytest.raises(InvalidArgument, match="FORMAT_UNSPECIFIED"):
        await printed(registry, outgoing(), pb.EXPORT_FORMAT_UNSPECIFIED)
