"""What the organizations' own clients see at the end, compared with what was acknowledged."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from lienthong.client import Agency, Operator
from lienthong.client.agency import Submission
from lienthong.client.registers import INCOMING, OUTGOING
from lienthong.mesh import Mesh
from lienthong.registry.v1 import register_pb2
from lienthong.routing.v1 import queue_pb2, submission_pb2
from lienthong.types.v1 import document_pb2

from tests.mesh.mail import Ledger, Mission, receivers
from tests.support.mesh import agency, operator

_POLL_SECONDS = 0.5
_WAITING = (queue_pb2.TRANSFER_STATE_QUEUED, queue_pb2.TRANSFER_STATE_LEASED)


async def all_accepted(mesh: Mesh, ledger: Ledger, within: float) -> None:
    """Wait until every sender's own node shows each recipient of each submission at 03; else say which."""
    deadline = time.monotonic() + within
    lacking: dict[int, list[tuple[str, str]]] = {}
    for code in receivers(mesh):
        async with agency(mesh, code) as client:
            for submission_id, mission in ledger.of(code).items():
                while lost := await _lacking(client, submission_id):
                    if time.monotonic() > deadline:
                        lacking[mission.number] = lost
                        break
                    await asyncio.sleep(_POLL_SECONDS)
    assert not lacking, f"documents whose recipients are not at 03: {lacking}"


async def _lacking(client: Agency, submission_id: str) -> list[tuple[str, str]]:
    """Recipients that have not accepted, with what the sender knows of each."""
    submission = await client.submission(submission_id)
    assert submission.state != submission_pb2.SUBMISSION_STATE_ABANDONED, submission.reason
    return [(state.organization, state.status) for state in submission.recipients if state.status != "03"]


async def nothing_on_its_way(mesh: Mesh, within: float) -> None:
    """Wait until no node has a transfer left to pass on or to deliver."""
    async with asyncio.timeout(within):
        for node in mesh.topology.nodes:
            async with operator(mesh, node.node) as people:
                while any(transfer.state in _WAITING for transfer in await _transfers(people)):
                    await asyncio.sleep(_POLL_SECONDS)


async def check_transfers(mesh: Mesh) -> tuple[int, int]:
    """Every transfer of every node was accepted; how many there were, and how many offers were repeats."""
    count = repeats = 0
    for node in mesh.topology.nodes:
        async with operator(mesh, node.node) as people:
            transfers = await _transfers(people)
        states = Counter(queue_pb2.TransferState.Name(transfer.state) for transfer in transfers)
        assert set(states) <= {"TRANSFER_STATE_ACCEPTED"}, (node.node, states)
        count += len(transfers)
        repeats += sum(max(0, transfer.attempts - 1) for transfer in transfers)
    return count, repeats


async def _transfers(people: Operator) -> list[queue_pb2.TransferSummary]:
    found: list[queue_pb2.TransferSummary] = []
    token = ""
    while True:
        page, token = await people.transfers(page_token=token)
        found += page
        if not token:
            return found


async def check_recipients(mesh: Mesh, ledger: Ledger) -> int:
    """Each organization has exactly what was sent to it, once, and one arrival entry for each."""
    delivered = 0
    for code in receivers(mesh):
        expected = {
            mission.number: mission for mission in ledger.entries.values() if code in mission.recipients
        }
        async with agency(mesh, code) as client:
            inbox = await client.inbox.all()
            entries = [entry async for entry in client.registers.entries(book(client, INCOMING))]
            check = await client.registers.check(book(client, INCOMING))
        subjects = Counter(delivery.document.subject for delivery in inbox)
        assert subjects == Counter(subject(mission) for mission in expected.values()), code
        assert max(Counter(delivery.envelope_id for delivery in inbox).values(), default=1) == 1
        assert {delivery.status for delivery in inbox} <= {"03"}
        arrivals = Counter(entry.description.document_id for entry in entries)
        assert arrivals == Counter(delivery.document.document_id for delivery in inbox), code
        assert sorted(entry.number for entry in entries) == list(range(1, len(inbox) + 1))
        check_book(check, issued=len(inbox))
        delivered += len(inbox)
    return delivered


async def check_senders(mesh: Mesh, ledger: Ledger) -> int:
    """Each sender has one 01 and one 03 for each recipient; its numbers are explained. Counts own numbers."""
    numbers = 0
    for code in receivers(mesh):
        sent = ledger.of(code)
        async with agency(mesh, code) as client:
            submissions = [await client.submission(submission_id) for submission_id in sent]
            receipts = await client.all_receipts()
            entries = [entry async for entry in client.registers.entries(book(client, OUTGOING))]
            check = await client.registers.check(book(client, OUTGOING))
        _check_receipts(submissions, receipts)
        numbers += _check_outgoing(submissions, list(sent.values()), entries, check)
    return numbers


def _check_receipts(submissions: Sequence[Submission], receipts: Sequence[document_pb2.Receipt]) -> None:
    said = Counter((receipt.envelope_id, receipt.recipient, receipt.status) for receipt in receipts)
    owed = {
        (submission.envelope_id, state.organization, status): 1
        for submission in submissions
        for state in submission.recipients
        for status in ("01", "03")
    }
    assert said == Counter(owed)


def _check_outgoing(
    submissions: Sequence[Submission],
    missions: Sequence[Mission],
    entries: Sequence[register_pb2.Entry],
    check: register_pb2.CheckRegisterResponse,
) -> int:
    by_state: dict[int, list[register_pb2.Entry]] = {}
    for entry in entries:
        by_state.setdefault(entry.state, []).append(entry)
    issued = [entry.number for entry in by_state.get(register_pb2.ENTRY_STATE_ISSUED, [])]
    void = [entry.number for entry in by_state.get(register_pb2.ENTRY_STATE_VOID, [])]
    external = [entry.number for entry in by_state.get(register_pb2.ENTRY_STATE_EXTERNAL, [])]
    assert sorted([*issued, *void]) == list(range(1, len(issued) + len(void) + 1))
    here = [s.document.number for s, mission in zip(submissions, missions, strict=True) if mission.issue_here]
    assert sorted(issued) == sorted(here)
    assert sorted(external) == sorted(
        10_000 + mission.number for mission in missions if not mission.issue_here
    )
    assert len(entries) == len(issued) + len(void) + len(external)
    check_book(check, issued=len(issued), void=len(void))
    return len(issued)


def check_book(check: register_pb2.CheckRegisterResponse, *, issued: int, void: int = 0) -> None:
    """A register is whole: no number missing, none left reserved, its chain of records intact."""
    assert not check.missing
    assert check.chain_intact
    assert (check.issued, check.void, check.reserved, check.highest) == (issued, void, 0, issued + void)


def book(client: Agency, direction: register_pb2.Direction.ValueType) -> register_pb2.Book:
    return client.registers.book(direction, datetime.now(UTC).year)


def subject(mission: Mission) -> str:
    return f"V/v thử nghiệm MẪU số {mission.number}"
