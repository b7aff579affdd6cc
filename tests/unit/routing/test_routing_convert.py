"""Rows and values of routing as messages."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from lienthong.events import Cursor
from lienthong.times import from_timestamp
from lienthong.types.v1 import document_pb2 as pb

from services.routing.convert import listed_delivery, submission_to_proto
from services.routing.domain import State
from services.routing.submission_store import Submission

NOW = datetime(2026, 2, 5, 8, 30, tzinfo=UTC)


def submission(**changes: Any) -> Submission:
    facts: dict[str, Any] = {
        "submission_id": uuid.uuid4(),
        "organization": "G22",
        "caller": "van-thu",
        "document": pb.Document(subject="MẪU"),
        "recipients": ("H02", "H01"),
        "is_external": False,
        "series": "",
        "notation": "QĐ-MAU",
        "number": 0,
        "issued_date": "",
        "state": State.SUBMISSION_STATE_RECEIVED,
        "reason": "",
        "envelope_id": None,
        "expire_time": NOW,
        "traceparent": "",
        "create_time": NOW,
        "issue_time": None,
        **changes,
    }
    return Submission(**facts)


def test_before_the_issue_the_recipients_are_known_and_nothing_of_them() -> None:
    shown = submission_to_proto(submission(), [])
    assert [r.organization for r in shown.recipients] == ["H01", "H02"]
    assert not any(r.outcome or r.status for r in shown.recipients)
    assert (shown.envelope_id, shown.HasField("issue_time")) == ("", False)
    assert from_timestamp(shown.create_time) == NOW


def test_afterwards_what_is_known_of_each() -> None:
    row: Any = {
        "organization": "H01",
        "outcome": pb.TRANSPORT_OUTCOME_DELIVERED,
        "status": "03",
        "reason": "",
        "arrival_number": 9,
    }
    envelope_id = uuid.uuid4()
    shown = submission_to_proto(submission(envelope_id=envelope_id, issue_time=NOW), [row])
    [known] = shown.recipients
    assert (known.organization, known.status, known.arrival_number) == ("H01", "03", 9)
    assert (shown.envelope_id, from_timestamp(shown.issue_time)) == (str(envelope_id), NOW)


def test_a_listed_delivery_carries_the_cursor_behind_it() -> None:
    row: Any = {
        "delivery_id": uuid.uuid4(),
        "envelope_id": uuid.uuid4(),
        "recipient": "H01",
        "document": pb.Document(subject="MẪU").SerializeToString(),
        "arrive_time": NOW,
        "status": "01",
        "arrival_number": 0,
        "verdicts": [pb.AttachmentVerdict(level="B-T").SerializeToString()],
        "fetch_time": None,
        "xid_text": "77",
        "seq": 5,
    }
    shown = listed_delivery(row)
    assert (shown.document.subject, shown.verdicts[0].level, shown.fetched) == ("MẪU", "B-T", False)
    assert Cursor.decode(shown.cursor) == Cursor(77, 5)
    row["fetch_time"] = NOW
    assert listed_delivery(row).fetched
