"""What a command makes of a node's answers: which document is meant, what did not arrive, what is kept safe.

The agency here holds its answers in memory; the same commands meet real nodes in tests/mesh.
"""

from __future__ import annotations

import hashlib
import io
import json
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lienthong.cli import desk, references, sending
from lienthong.cli.exits import DONE, FINDINGS, UsageRefused
from lienthong.cli.letters import Letter
from lienthong.cli.output import Output
from lienthong.cli.session import Session
from lienthong.cli.texts import Words
from lienthong.clock import FakeClock
from lienthong.errors import DataLoss, DomainError, NotFound, Unavailable
from lienthong.reporting.v1 import reporting_pb2
from lienthong.routing.v1 import inbox_pb2, submission_pb2
from lienthong.types.v1 import document_pb2

DELIVERED, NOT_DELIVERED = (
    document_pb2.TRANSPORT_OUTCOME_DELIVERED,
    document_pb2.TRANSPORT_OUTCOME_NOT_DELIVERED,
)


class Answers:
    """The agency G22 as its node knows it: what it sent, and a download that may be refused."""

    def __init__(self, *sent: submission_pb2.Submission, refusal: DomainError | None = None) -> None:
        self.sent = sent
        self.refusal = refusal
        self.inbox = self
        self.asked: list[int] = []

    async def journey(self, *, code: reporting_pb2.DocumentCode) -> reporting_pb2.Journey:
        self.asked.append(code.year)
        for one in self.sent:
            document, issued = one.document, one.document.issued_date[:4]
            if (document.number, document.notation, issued) == (code.number, code.notation, str(code.year)):
                return reporting_pb2.Journey(document=document)
        raise NotFound("JOURNEY_UNKNOWN")

    async def submission(
        self, submission_id: str = "", *, document_id: str = ""
    ) -> submission_pb2.Submission:
        [found] = [
            s for s in self.sent if submission_id == s.submission_id or document_id == s.document.document_id
        ]
        return found

    async def submissions(self, _: str = "") -> tuple[Sequence[submission_pb2.Submission], str]:
        return self.sent, ""

    async def submit(self, *_: object, request_id: uuid.UUID) -> submission_pb2.Submission:
        return self.sent[0]

    async def fetch(self, delivery_id: str, folder: Path, *, progress: object) -> Any:
        raise self.refusal or AssertionError("nothing may be downloaded here")


class Place:
    """A connection that needs no waiting."""

    clock = FakeClock(datetime(2026, 11, 23, tzinfo=UTC))

    @staticmethod
    def new_id() -> uuid.UUID:
        return uuid.UUID(int=7)

    @staticmethod
    async def wait_until(ask: Callable[[], Awaitable[object]], _: float) -> object:
        return await ask()


class Desk(Session):
    """A session with such an agency."""

    def __init__(self, answers: Answers, *, as_json: bool = False) -> None:
        words, profile, place = Words("en"), SimpleNamespace(organization="G22"), Place()
        output = Output(words, as_json=as_json, out=io.StringIO())
        super().__init__("G22", profile, place, output, words)  # type: ignore[arg-type]
        self.answers = answers

    @property
    def agency(self) -> Any:
        return self.answers


def sent(year: int, *outcomes: int, number: int = 15) -> submission_pb2.Submission:
    found = submission_pb2.Submission(
        submission_id=f"s{year}",
        state=submission_pb2.SUBMISSION_STATE_ISSUED,
        document=document_pb2.Document(
            document_id=f"d{year}",
            organization="G22",
            number=number,
            notation="VPCP",
            issued_date=f"{year}-03-02",
        ),
    )
    for place, outcome in enumerate(outcomes):
        recipient = found.recipients.add(organization=f"H{place:02d}")
        recipient.outcome = document_pb2.TransportOutcome.ValueType(outcome)
    return found


def delivery(*files: tuple[str, bytes]) -> inbox_pb2.Delivery:
    document = document_pb2.Document(organization="H01", number=5, notation="BC")
    for name, content in files:
        document.attachments.add(name=name, sha256=hashlib.sha256(content).digest())
    return inbox_pb2.Delivery(delivery_id="0198a1b2-aaaaaa", document=document)


async def test_another_organizations_code_is_not_the_own_document_of_that_number() -> None:
    own = Desk(Answers(sent(2026)))

    assert (await references.find_submission(own, "G22:15/VPCP")).submission_id == "s2026"
    with pytest.raises(NotFound, match="REFERENCE_UNKNOWN"):
        await references.find_submission(own, "H01:15/VPCP")


async def test_a_number_of_both_years_is_ambiguous_and_both_are_listed() -> None:
    answers = Answers(sent(2026), sent(2025))
    with pytest.raises(UsageRefused, match="REFERENCE_AMBIGUOUS") as raised:
        await references.find_submission(Desk(answers), "15/VPCP")

    assert answers.asked == [2026, 2025]
    assert "d2026 (G22 15/VPCP 2026-03-02)" in raised.value.message
    assert "d2025 (G22 15/VPCP 2025-03-02)" in raised.value.message


async def test_last_years_number_alone_is_found() -> None:
    found = await references.find_submission(Desk(Answers(sent(2025))), "15/VPCP")

    assert found.submission_id == "s2025"


@pytest.mark.parametrize(
    ("outcomes", "delivered", "code", "named"),
    [
        ((DELIVERED, DELIVERED), True, DONE, ""),
        ((DELIVERED, NOT_DELIVERED), True, FINDINGS, "Not delivered to 1 recipients: H01"),
        ((DELIVERED, NOT_DELIVERED), False, DONE, ""),
        ((NOT_DELIVERED,) * 21, True, FINDINGS, "Not delivered to 21 recipients: H00, "),
    ],
)
async def test_delivered_is_only_what_everybody_has(
    outcomes: tuple[int, ...], delivered: bool, code: int, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    letter = Letter((), "x", "", "thường", "", "", "", "QĐ", "", "", "", None, True, delivered, 9)
    own = Desk(Answers(sent(2026, *outcomes)), as_json=True)

    ended = await sending.dispatch(own, letter, letter.document("G22"), ["H00"])

    assert ended == code
    said = capsys.readouterr().err
    assert json.loads(said)["warning"].startswith(named) if named else said == "", said
    assert ("H20" in said, "…" in said) == (False, len(outcomes) > 20)


def test_files_that_were_edited_are_not_written_over(tmp_path: Path) -> None:
    document = delivery(("a.pdf", b"one"), ("a.pdf", b"two")).document
    desk.require_unedited(tmp_path / "none", document)
    (tmp_path / "a.pdf").write_bytes(b"one")
    (tmp_path / "a-2.pdf").write_bytes(b"two")
    desk.require_unedited(tmp_path, document)

    (tmp_path / "a-2.pdf").write_bytes(b"two, with remarks")
    with pytest.raises(UsageRefused, match="FILE_EXISTS") as raised:
        desk.require_unedited(tmp_path, document)
    assert raised.value.violations[0].field == str(tmp_path / "a-2.pdf")


async def test_edited_files_are_refused_before_anything_is_downloaded(tmp_path: Path) -> None:
    one, kept = delivery(("a.pdf", b"one")), list[dict[str, object]]()
    file = tmp_path / desk.folder_name(one) / "a.pdf"
    file.parent.mkdir()
    file.write_bytes(b"one, with remarks")

    with pytest.raises(UsageRefused, match="FILE_EXISTS"):
        await desk._fetch(Desk(Answers()), one, tmp_path, kept, force=False, go_on=False)
    answers = Answers(refusal=DataLoss("DIGEST_MISMATCH"))
    with pytest.raises(DataLoss):  # --force gets as far as the download
        await desk._fetch(Desk(answers), one, tmp_path, kept, force=True, go_on=False)
    assert kept == []


async def test_one_that_cannot_be_fetched_does_not_stop_all_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[dict[str, object]] = []
    harmed = Desk(Answers(refusal=DataLoss("DIGEST_MISMATCH", "not what was promised")))

    code = await desk._fetch(harmed, delivery(), tmp_path, kept, force=False, go_on=True)

    assert (code, kept) == (FINDINGS, [])
    said = capsys.readouterr().err
    assert "Could not download H01:05/BC (0198a1b2-aaaaaa)" in said
    assert "lienthong: DIGEST_MISMATCH: not what was promised" in said


async def test_a_node_that_is_away_stops_all_new(tmp_path: Path) -> None:
    away = Desk(Answers(refusal=Unavailable("PEER_UNAVAILABLE")))

    with pytest.raises(Unavailable):
        await desk._fetch(away, delivery(), tmp_path, [], force=False, go_on=True)
