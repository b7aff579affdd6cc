"""What became of a document, and how many there were."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from lienthong.errors import InvalidArgument, NotFound, PermissionDenied
from lienthong.types.v1 import document_pb2

from tests.services.reporting.conftest import Reporting
from tests.services.reporting.story import NOON, TRACE, Story

OTHER = "org/H01.15/clerk/an"
STORY = Story()


async def test_a_journey_with_its_branches(reporting: Reporting) -> None:
    await reporting.tell(
        STORY.issued(),
        STORY.arrived_at_sender("H01.15"),
        STORY.receipt("H01.15", 2, "03", arrival_number=7, arrival_date="2026-03-02"),
        STORY.refused_by_transport("H01.16"),
    )

    journey = await reporting.journey(STORY.document_id)

    assert journey.document == STORY.document
    assert journey.envelope_id == STORY.envelope_id
    assert journey.trace_id == TRACE
    assert journey.issue_time.ToSeconds() - journey.submit_time.ToSeconds() == 2
    good, bad = journey.branches
    assert (good.organization, good.node) == ("H01.15", "H01")
    assert good.outcome == document_pb2.TRANSPORT_OUTCOME_DELIVERED
    assert [hop.node for hop in good.hops] == ["G22", "H01"]
    assert [verdict.verdict for verdict in good.verdicts] == [document_pb2.VERDICT_VALID]
    assert (good.arrival_number, good.arrival_date) == (7, "2026-03-02")
    assert [status.status for status in good.statuses] == ["01", "03"]
    assert (bad.organization, bad.reason) == ("H01.16", "EXPIRED")
    assert bad.outcome == document_pb2.TRANSPORT_OUTCOME_NOT_DELIVERED
    assert list(bad.statuses) == []


async def test_a_document_under_way_has_open_branches(reporting: Reporting) -> None:
    await reporting.tell(STORY.issued())

    branches = (await reporting.journey(STORY.document_id)).branches

    assert [branch.organization for branch in branches] == ["H01.15", "H01.16"]
    assert {branch.outcome for branch in branches} == {document_pb2.TRANSPORT_OUTCOME_UNSPECIFIED}


async def test_statuses_follow_their_owners_number_and_no_clock(reporting: Reporting) -> None:
    backwards = [
        STORY.receipt("H01.15", number, status, act_time=NOON - timedelta(hours=number))
        for number, status in ((2, "03"), (3, "04"), (4, "05"), (5, "06"))
    ]
    events = [STORY.issued(), STORY.arrived_at_sender("H01.15"), *backwards, *backwards]
    random.Random(5).shuffle(events)  # receipts come before the issue, and twice

    await reporting.tell(*events)

    branch = (await reporting.journey(STORY.document_id)).branches[0]
    assert [status.status for status in branch.statuses] == ["01", "03", "04", "05", "06"]
    assert [status.sequence for status in branch.statuses] == [1, 2, 3, 4, 5]


async def test_a_refusal_shows_its_reason(reporting: Reporting) -> None:
    await reporting.tell(
        STORY.issued(),
        STORY.arrived_at_sender("H01.15"),
        STORY.receipt("H01.15", 2, "02", reason="Gửi nhầm cơ quan"),
    )

    assert (await reporting.journey(STORY.document_id)).branches[0].reason == "Gửi nhầm cơ quan"


async def test_a_successor_that_answers_is_shown(reporting: Reporting) -> None:
    await reporting.tell(STORY.issued(), STORY.arrived_at_sender("H01.20"))

    branches = (await reporting.journey(STORY.document_id)).branches
    assert [branch.organization for branch in branches] == ["H01.15", "H01.16", "H01.20"]


async def test_people_ask_by_number_and_notation(reporting: Reporting) -> None:
    last_year = Story("old", issued_date="2025-12-31")
    await reporting.tell(STORY.issued(), last_year.issued())
    code: dict[str, Any] = {"organization": "G22", "number": 15, "notation": "QĐ-TEST"}

    assert (await reporting.journey_by_code(year=2026, **code)).document.document_id == STORY.document_id
    assert (
        await reporting.journey_by_code("operator/an", year=2025, **code)
    ).document.document_id == last_year.document_id
    with pytest.raises(NotFound, match="JOURNEY_UNKNOWN"):
        await reporting.journey_by_code(year=2024, **code)
    with pytest.raises(InvalidArgument, match="KEY_MISSING"):
        await reporting.journey_by_code(**code)
    with pytest.raises(InvalidArgument, match="KEY_MISSING"):
        await reporting.journey("")


async def test_only_ones_own(reporting: Reporting) -> None:
    await reporting.tell(STORY.issued())

    for who in ("operator/an", "auditor/binh", "org/G22/leader/lan"):
        assert (await reporting.journey(STORY.document_id, who)).envelope_id == STORY.envelope_id
    with pytest.raises(PermissionDenied, match="ORGANIZATION_FOREIGN"):
        await reporting.journey(STORY.document_id, OTHER)
    with pytest.raises(PermissionDenied, match="ORGANIZATION_FOREIGN"):
        await reporting.journey_by_code(OTHER, organization="G22", number=99, notation="X", year=2026)
    with pytest.raises(PermissionDenied, match="ROLE_REFUSED"):
        await reporting.journey(STORY.document_id, "node/G22/routing")
    for organization in ("G22", ""):
        with pytest.raises(PermissionDenied, match="ORGANIZATION_FOREIGN"):
            await reporting.counts(organization, "2026-03-01", "2026-03-02", OTHER)
    assert await reporting.counts("H01.15", "2026-03-01", "2026-03-02", OTHER) == {}


async def test_days_are_vietnams(reporting: Reporting) -> None:
    evening = NOON.replace(hour=16, minute=59, second=59)  # 23:59:59 in Hà Nội
    midnight = evening + timedelta(seconds=1)
    late = Story("late", number=16, issue_time=midnight)
    await reporting.tell(
        Story(issue_time=evening).issued(),
        late.issued(),
        STORY.arrived_at_sender("H01.15", receive_time=evening),
        STORY.arrived_at_sender("H01.16", receive_time=midnight),
        late.refused_by_transport("H01.15"),
        late.delivered("G22.01", evening),
        STORY.delivered("G22.01", evening),
        STORY.handled("G22.01", 2, "03", evening),
        STORY.handled("G22.01", 3, "04", evening),
        STORY.handled("G22.01", 4, "06", midnight),
        late.handled("G22.01", 2, "02", midnight),
        STORY.delivered("G22.01", evening),
        STORY.handled("G22.01", 2, "03", evening),
    )

    assert await reporting.counts("", "2026-03-02", "2026-03-03") == {
        ("G22", "2026-03-02"): {"sent": 1, "addressed": 2, "delivered": 1},
        ("G22", "2026-03-03"): {"sent": 1, "addressed": 2, "delivered": 1},
        ("G22.01", "2026-03-02"): {"received": 2, "accepted": 1},
        ("G22.01", "2026-03-03"): {"completed": 1, "refused": 1},
    }
    assert list(await reporting.counts("G22.01", "2026-03-03", "2026-03-03")) == [("G22.01", "2026-03-03")]


@pytest.mark.parametrize(
    ("first", "last", "reason"),
    [
        ("2026-03-02", "2026-03-01", "DATE_INVALID"),
        ("2026-02-30", "2026-03-01", "DATE_INVALID"),
        ("", "2026-03-01", "DATE_INVALID"),
        ("2025-01-01", "2026-02-05", "PERIOD_TOO_LONG"),
    ],
)
async def test_periods_that_are_none(reporting: Reporting, first: str, last: str, reason: str) -> None:
    with pytest.raises(InvalidArgument, match=reason):
        await reporting.counts("", first, last)
    assert await reporting.counts("", "2025-01-01", "2026-02-04") == {}
