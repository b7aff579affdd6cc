"""Words in both languages, exit codes, and the shapes of the JSON."""

from __future__ import annotations

import ast
import io
import json
from pathlib import Path
from string import Formatter

import pytest
from lienthong import cli
from lienthong.advice import ADVICE
from lienthong.cli import bookkeeping, desk, exits, operating, shapes, showing, texts, travelling
from lienthong.cli.output import Output, size_words
from lienthong.cli.texts import Text, Words
from lienthong.errors import DeadlineExceeded, DomainError, FailedPrecondition, NotFound, Unavailable
from lienthong.reporting.v1 import reporting_pb2
from lienthong.routing.v1 import inbox_pb2, queue_pb2, submission_pb2
from lienthong.storage.v1 import storage_pb2
from lienthong.types.v1 import document_pb2
from rich.text import Text as Styled

FOLDER = Path(cli.__file__).parent
TABLES = [table for name, table in vars(texts).items() if name.isupper() and isinstance(table, dict)]
EVERY_TEXT = [(key, text) for table in TABLES for key, text in table.items()]


@pytest.mark.parametrize(("key", "text"), EVERY_TEXT)
def test_everything_is_said_in_both_languages_with_the_same_parts(key: str, text: Text) -> None:
    assert text.vi.strip()
    assert text.en.strip()
    parts = [{name for _, name, _, _ in Formatter().parse(said) if name} for said in text]
    assert parts[0] == parts[1], key


def test_every_text_that_is_asked_for_is_there_and_none_is_left_over() -> None:
    literals = {
        node.value
        for file in FOLDER.glob("*.py")
        if file.name != "texts.py"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert texts.TEXTS.keys() <= literals


def test_every_reason_of_the_command_line_has_advice() -> None:
    reasons = {
        node.args[0].value
        for file in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == "UsageRefused"
        and isinstance(node.args[0], ast.Constant)
    }
    assert "REFERENCE_AMBIGUOUS" in reasons
    assert reasons <= ADVICE.keys()


def test_the_tables_of_names_know_every_value_of_the_contract() -> None:
    for table, enum, prefix in (
        (texts.URGENCIES, document_pb2.Urgency, "URGENCY_"),
        (texts.VERDICTS, document_pb2.Verdict, "VERDICT_"),
        (texts.OUTCOMES, document_pb2.TransportOutcome, "TRANSPORT_OUTCOME_"),
        (texts.ROLES, document_pb2.AttachmentRole, "ATTACHMENT_ROLE_"),
        (texts.STATES, submission_pb2.SubmissionState, "SUBMISSION_STATE_"),
        (texts.FAULTS, storage_pb2.BlobFault, "BLOB_FAULT_"),
    ):
        names = {name.removeprefix(prefix) for name in list(enum.keys())} - {"UNSPECIFIED"}
        assert names == table.keys() - {""}


def test_a_status_that_is_new_is_shown_as_it_came() -> None:
    assert Words("vi").status("03") == "03 Đã tiếp nhận"
    assert Words("en").status("03") == "03 Accepted"
    assert Words("vi").status("99") == "99"
    assert Words("vi").status("") == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (exits.UsageRefused("FILE_MISSING"), 2),
        (NotFound("PROFILE_UNKNOWN"), 2),
        (NotFound("SUBMISSION_UNKNOWN"), 1),
        (FailedPrecondition("LEADER_SIGNATURE_MISSING"), 1),
        (DeadlineExceeded("NOT_ISSUED_YET"), 3),
        (Unavailable("PEER_UNAVAILABLE"), 4),
    ],
)
def test_exit_codes(error: DomainError, code: int) -> None:
    assert exits.code_of(error) == code
    assert f"\n  {code}  " in exits.MEANINGS


def test_a_refusal_of_several_fields(capsys: pytest.CaptureFixture[str]) -> None:
    error = NotFound("RECIPIENT_UNKNOWN", "no\x1b[31mway", field="recipients[0]", retry_after=3, cause="X99")
    exits.print_refusal(error, "en", as_json=False)
    said = capsys.readouterr().err.splitlines()

    assert said[0] == "lienthong: RECIPIENT_UNKNOWN: no [31mway"
    assert said[1:4] == ["  Field: recipients[0]", "  Details: cause=X99", "  Try again after: 3 s"]
    assert said[4] == f"  Next: {ADVICE['RECIPIENT_UNKNOWN'].en}"


def test_the_error_object() -> None:
    shape = exits.error_shape(NotFound("RECIPIENT_UNKNOWN", "gone", field="recipients[0]", code="X99"))

    assert shape.keys() == {"reason", "message", "fields", "metadata", "retry_after", "advice", "exit_code"}
    assert shape["fields"] == [{"field": "recipients[0]", "description": "gone"}]


def test_the_shape_of_a_delivery() -> None:
    document = document_pb2.Document(
        document_id="d", organization="G22", number=5, notation="QĐ", subject="x"
    )
    document.attachments.add(
        name="a.pdf", role=document_pb2.ATTACHMENT_ROLE_MAIN, size_bytes=3, sha256=b"\1" * 32
    )
    document.answers.add(organization="H01", code="7/BC")
    delivery = inbox_pb2.Delivery(delivery_id="e", recipient="H01", document=document, status="01")
    delivery.arrive_time.FromJsonString("2026-11-23T02:03:04.5Z")
    delivery.verdicts.add(sha256=b"\1" * 32, verdict=document_pb2.VERDICT_VALID, level="B-T", signers=["A"])

    shape = json.loads(json.dumps(shapes.delivery_shape(delivery)))

    assert shape["arrive_time"] == "2026-11-23T02:03:04.500000+00:00"
    assert shape["arrival_number"] is None
    assert shape["document"]["code"] == "05/QĐ"
    assert shape["document"]["urgency"] == "ORDINARY"
    assert shape["document"]["answers"] == [{"document_id": None, "organization": "H01", "code": "7/BC"}]
    assert shape["document"]["attachments"][0]["sha256"] == "01" * 32
    assert shape["verdicts"][0]["verdict"] == "VALID"


@pytest.mark.parametrize(
    ("shape", "keys"),
    [
        (
            shapes.submission_shape(submission_pb2.Submission()),
            "submission_id state reason envelope_id trace_id create_time issue_time document recipients",
        ),
        (
            shapes.receipt_shape(document_pb2.Receipt()),
            """receipt_id document_id recipient status outcome sequence act_time actor reason reason_code
            arrival_number arrival_date node verdicts hops""",
        ),
        (
            shapes.journey_shape(reporting_pb2.Journey()),
            "document envelope_id trace_id submit_time issue_time recipients",
        ),
        (
            shapes.branch_shape(reporting_pb2.Branch()),
            "organization node outcome reason arrival_number arrival_date hops verdicts statuses",
        ),
        (shapes.hop_shape(document_pb2.HopFact()), "node in_time out_time span_id"),
    ],
)
def test_names_that_are_promised(shape: dict[str, object], keys: str) -> None:
    assert list(shape) == keys.split()


def test_the_worst_verdict_counts_and_an_unsigned_annex_is_no_fault() -> None:
    def worst(*values: document_pb2.Verdict.ValueType) -> str:
        found = showing.worst([document_pb2.AttachmentVerdict(verdict=value) for value in values])
        return shapes.verdict_name(found.verdict) if found else "none"

    valid, unsigned = document_pb2.VERDICT_VALID, document_pb2.VERDICT_UNSIGNED
    assert worst() == "none"
    assert worst(unsigned, valid) == "VALID"
    assert worst(valid, document_pb2.VERDICT_PARTIAL, unsigned) == "PARTIAL"
    assert worst(document_pb2.VERDICT_PARTIAL, document_pb2.VERDICT_INVALID) == "INVALID"


def test_tables_hold_their_place_and_no_colours_in_a_file() -> None:
    file = io.StringIO()
    output = Output(Words("vi"), as_json=False, out=file)
    output.table(["recipient", "reason"], [["H01", Styled("[red]a[/red]", style="red")], ["H02", "b\x1b[2J"]])

    head, rule, first, second = file.getvalue().splitlines()
    assert head.split("  ")[0] == "Nơi nhận"
    assert set(rule) == {"─"}
    assert first.split() == ["H01", "[red]a[/red]"]
    assert second.split() == ["H02", "b", "[2J"]


def test_links_are_the_differences_of_neighbours() -> None:
    hops = [queue_pb2.PingHop(node=node) for node in ("G22", "H01", "H01.15")]
    hops[0].onward.FromMilliseconds(30)
    hops[1].onward.FromMilliseconds(12)

    assert operating.links(hops) == [18, 12, None]
    assert operating.links([]) == []


def test_a_journey_says_what_happened_and_where() -> None:
    journey = reporting_pb2.Journey(document=document_pb2.Document(number=5, notation="QĐ", subject="x"))
    branch = journey.branches.add(organization="H01.03", node="H01", outcome=1, arrival_number=7)
    hop = branch.hops.add(node="G22")
    hop.in_time.FromJsonString("2026-11-23T02:00:00Z")
    hop.out_time.FromJsonString("2026-11-23T02:00:00.25Z")
    branch.statuses.add(status="03", sequence=2, actor="clerk")
    branch.statuses.add(status="01", sequence=1, actor="H01")
    file = io.StringIO()

    Output(Words("vi"), as_json=False, out=file).show(travelling.tree(Words("vi"), journey))

    said = file.getvalue()
    assert "05/QĐ  x" in said
    assert "H01.03 (nút H01)  Đã giao, số đến 07" in said
    assert "nút G22  vào 09:00:00.000  ra 09:00:00.250      250.0 ms" in said
    assert said.index("01 Đã đến") < said.index("03 Đã tiếp nhận")


def test_a_journey_does_not_let_other_nodes_drive_the_terminal() -> None:
    evil = "x\x1b[2J\n└── H99"
    journey = reporting_pb2.Journey(document=document_pb2.Document(number=5, notation="QĐ", subject=evil))
    branch = journey.branches.add(organization="H01", node=evil, outcome=2, reason=evil)
    branch.verdicts.add(verdict=document_pb2.VERDICT_VALID, level=evil)
    hop = branch.hops.add(node=evil)
    hop.in_time.seconds = 2**62  # no time at all: shown as none
    branch.statuses.add(status=evil, sequence=1, actor=evil, reason=evil)
    file = io.StringIO()

    Output(Words("vi"), as_json=False, out=file).show(travelling.tree(Words("vi"), journey))

    said = file.getvalue()
    assert "\x1b" not in said
    assert said.count("H99") == 8
    assert not [line for line in said.splitlines() if line.startswith("└── H99")]
    assert shapes.hop_shape(hop)["in_time"] is None


def test_a_status_in_a_table_does_not_drive_the_terminal() -> None:
    assert str(showing.status(Words("vi"), "\x1b[31m99")) == " [31m99"
    assert str(showing.verdict(Words("vi"), document_pb2.VERDICT_VALID, "B\x1bT")) == "Hợp lệ B T"


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (10**16, "10000.0 TB")],
)
def test_sizes(count: int, words: str) -> None:
    assert size_words(count) == words


def test_both_registers_by_every_name() -> None:
    assert {bookkeeping.direction_of(name).heading for name in ("outgoing", "đi", "OUT")} == {
        "register_outgoing"
    }
    assert {bookkeeping.direction_of(name).heading for name in ("incoming", "Đến")} == {"register_incoming"}


def test_what_is_finished_is_no_longer_on_the_desk() -> None:
    assert {"02", "06"} == desk._FINISHED
    assert {"", "01"} >= desk._UNTOUCHED
