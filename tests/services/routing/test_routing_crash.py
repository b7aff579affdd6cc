"""The node dies between any two steps of submission, arrival and handling: the outcome is the same.

One node's data lives through all of it: each case kills the node at one step, starts it again, and finds one
document, one number, one inbox item a recipient, one register entry, each receipt once.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from lienthong.client import MAIN
from lienthong.client.agency import Submission
from lienthong.client.registers import INCOMING, OUTGOING
from lienthong.errors import FailedPrecondition, Internal
from lienthong.registry.v1 import register_pb2
from lienthong.routing.v1 import submission_pb2
from lienthong.types.v1 import document_pb2

import services.routing
from tests.services.routing.inboxes import delivery_of, receipts_of
from tests.services.routing.papers import (
    CLERK,
    FIFTH,
    HERE,
    OWN_SOFTWARE,
    SENDER,
    SIXTH,
    Papers,
    document,
    issued,
    send,
    this_year,
)
from tests.support.node import Site

pytestmark = pytest.mark.asyncio(loop_scope="module")

T = TypeVar("T")

# Every step of a document that the node numbers and seals, on its way to the sender's receipts.
STEPS_HERE = (
    "submission.received.before",
    "submission.number.taken",
    "submission.received.after",
    "submission.numbered.before",
    "submission.sealed.stored",
    "submission.numbered.after",
    "submission.sealed.before",
    "submission.stamped.stored",
    "submission.sealed.after",
    "submission.stamped.before",
    "submission.issue.signed",
    "submission.stamped.after",
    "submission.register.marked",
    "arrival.before",
    "arrival.stored",
    "arrival.validated",
    "arrival.signed",
    "arrival.after",
    "arrival.receipts.before",
    "arrival.receipts.after",
)
# What a document that was issued elsewhere does differently: the register entry is made at once.
STEPS_ISSUED = (
    "submission.received.before",
    "submission.number.taken",
    "submission.received.after",
    "submission.stamped.before",
    "submission.issue.signed",
    "submission.stamped.after",
)
STEPS_HANDLING = ("handling.before", "handling.numbered", "handling.signed", "handling.after")
STEPS_VOID = ("submission.register.voided",)
TABLE = {*STEPS_HERE, *STEPS_ISSUED, *STEPS_HANDLING, *STEPS_VOID}


async def dying_at(
    site: Site, step: str, act: Callable[[], Awaitable[T]], change: Callable[[], None] = lambda: None
) -> T:
    """Act, die at the step, start again. The client only repeats its request, as clients do.

    `change`: what is done to the dead node's settings.
    """
    if not site.is_running:
        await site.start()  # an earlier case failed to
    site.fuse.arm(step)
    acting = asyncio.ensure_future(act())
    async with asyncio.timeout(30):
        await site.fuse.blown.wait()
    await site.crash()
    change()
    await site.start()
    async with asyncio.timeout(60):
        try:
            return await acting
        except Internal:
            # A process that is dead says nothing; here its server may still stumble over the pools that were
            # torn out from under it, and say so. The client repeats, as after no answer at all.
            return await act()


async def quiet(site: Site) -> None:
    """Everything that was to be done is done."""
    async with asyncio.timeout(30):
        while await site.count("routing", "queue_item"):
            await asyncio.sleep(0.05)


async def assert_delivered_once(site: Site, sent: Submission, recipients: list[str]) -> None:
    document_id = sent.document.document_id
    for recipient in recipients:
        await delivery_of(site, recipient, document_id)
    await receipts_of(
        site.agency(f"org/{sent.document.organization}/client/qlvb"), document_id, len(recipients)
    )
    await quiet(site)
    envelopes = await site.rows(
        "routing", "SELECT envelope_id FROM envelope WHERE document_id = $1", document_id
    )
    assert [str(row["envelope_id"]) for row in envelopes] == [sent.envelope_id]
    arrived = await site.rows(
        "routing", "SELECT recipient FROM delivery WHERE envelope_id = $1", envelopes[0]["envelope_id"]
    )
    assert sorted(row["recipient"] for row in arrived) == sorted(recipients)
    events = await site.rows(
        "routing", "SELECT kind FROM event WHERE kind = 'routing.issued' AND subject = $1", document_id
    )
    assert len(events) == 1


async def assert_register_explains_all(site: Site) -> None:
    registers = site.agency(CLERK).registers
    checked = await registers.check(registers.book(OUTGOING, this_year()))
    assert (list(checked.missing), checked.reserved, checked.chain_intact) == ([], 0, True)
    issued_here = await site.rows(
        "routing", "SELECT number FROM submission WHERE NOT is_external AND state = 5 ORDER BY number"
    )
    assert checked.issued == len(issued_here) == len({row["number"] for row in issued_here})


async def entries_of(
    site: Site, who: str, direction: register_pb2.Direction.ValueType, year: int, subject: str
) -> list[register_pb2.Entry]:
    registers = site.agency(who).registers
    found = [e async for e in registers.entries(registers.book(direction, year))]
    return [entry for entry in found if entry.description.subject == subject]


@pytest.mark.parametrize("step", STEPS_HERE)
async def test_issued_here(site: Site, papers: Papers, step: str) -> None:
    clerk = site.agency(CLERK)
    main = await clerk.attach(await papers.signed(site), MAIN)
    wanted, request_id = document(main, subject=f"Chết ở {step}"), uuid4()

    async def act() -> Submission:
        taken = await clerk.submit(wanted, [FIFTH, SIXTH], HERE, request_id=request_id)
        return await clerk.wait_issued(taken.submission_id)

    sent = await dying_at(site, step, act)
    await assert_delivered_once(site, sent, [FIFTH, SIXTH])
    [entry] = await entries_of(site, CLERK, OUTGOING, this_year(), f"Chết ở {step}")
    assert (entry.number, entry.state) == (sent.document.number, register_pb2.ENTRY_STATE_ISSUED)
    await assert_register_explains_all(site)


@pytest.mark.parametrize("step", STEPS_ISSUED)
async def test_already_issued(site: Site, papers: Papers, step: str) -> None:
    own = site.agency(OWN_SOFTWARE)
    main = await own.attach(await papers.sealed(site), MAIN)
    wanted = document(main, organization=FIFTH, subject=f"Chết ở {step}")
    number, request_id = STEPS_ISSUED.index(step) + 1, uuid4()

    async def act() -> Submission:
        taken = await own.submit(wanted, [SENDER], issued(number), request_id=request_id)
        return await own.wait_issued(taken.submission_id)

    sent = await dying_at(site, step, act)
    await assert_delivered_once(site, sent, [SENDER])
    [entry] = await entries_of(site, OWN_SOFTWARE, OUTGOING, 2026, f"Chết ở {step}")
    assert (entry.number, entry.state) == (number, register_pb2.ENTRY_STATE_EXTERNAL)


@pytest.mark.parametrize("step", STEPS_HANDLING)
async def test_accepted(site: Site, papers: Papers, step: str) -> None:
    sent = await send(site, papers, [FIFTH], subject=f"Chết ở {step}")
    agency, delivery_id = await delivery_of(site, FIFTH, sent.document.document_id)
    request_id = uuid4()

    async def act() -> document_pb2.Receipt:
        return await agency.inbox.report(delivery_id, "03", request_id=request_id)

    receipt = await dying_at(site, step, act)
    found = await receipts_of(site.agency(CLERK), sent.document.document_id, 2)
    assert [r for r in found if r.status == "03"] == [receipt]
    await quiet(site)
    [entry] = await entries_of(site, OWN_SOFTWARE, INCOMING, this_year(), f"Chết ở {step}")
    assert entry.number == receipt.arrival_number
    registers = agency.registers
    checked = await registers.check(registers.book(INCOMING, this_year()))
    assert (list(checked.missing), checked.chain_intact) == ([], True)


@pytest.mark.parametrize("step", STEPS_VOID)
async def test_abandoned(site: Site, papers: Papers, step: str, folder: Path) -> None:
    clerk = site.agency(CLERK)
    main, request_id = await clerk.attach(await papers.signed(site), MAIN), uuid4()

    async def act() -> Submission:
        return await clerk.submit(document(main), [SIXTH], HERE, request_id=request_id)

    async with papers.expired_seal(site):
        given_up = await dying_at(site, step, act)
        with pytest.raises(FailedPrecondition):
            await clerk.wait_issued(given_up.submission_id)
        await quiet(site)
    found = await clerk.submission(given_up.submission_id)
    assert found.state == submission_pb2.SUBMISSION_STATE_ABANDONED
    await assert_register_explains_all(site)


async def test_the_table_has_every_step_there_is(site: Site) -> None:
    """Steps that were passed in all these lives, and every place in the code that has one."""
    assert set(site.fuse.seen) == TABLE
    assert {pattern for pattern in patterns() if not any(re.fullmatch(pattern, s) for s in TABLE)} == set()


def patterns() -> set[str]:
    """The names of checkpoints in the source; what is filled in later matches one word."""
    folder = Path(next(iter(services.routing.__path__)))
    names = {
        name
        for path in folder.glob("*.py")
        for name in re.findall(r'_checkpoint\(\s*f?"([^"]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(names) >= 15
    return {re.sub(r"\\\{\w+\\\}", r"\\w+", re.escape(name)) for name in names}
