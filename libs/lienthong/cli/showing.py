"""How submissions, deliveries, receipts and verdicts look, as facts and tables or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from lienthong.cli import shapes
from lienthong.cli.output import Cell, tame_line
from lienthong.cli.references import short_ids
from lienthong.cli.texts import OUTCOMES, STATES, URGENCIES, VERDICTS
from lienthong.times import VIETNAM, from_timestamp
from rich.text import Text as Styled

if TYPE_CHECKING:
    from lienthong.cli.session import Session
    from lienthong.cli.texts import Words
    from lienthong.routing.v1 import inbox_pb2, submission_pb2
    from lienthong.types.v1 import document_pb2

_URGENCY_STYLES: Final = {"URGENT": "yellow", "VERY_URGENT": "bold yellow", "FLASH": "bold red"}
_VERDICT_STYLES: Final = {"VALID": "green", "PARTIAL": "yellow", "INVALID": "bold red"}
_STATUS_STYLES: Final = {"02": "red", "03": "green", "04": "green", "05": "green", "06": "bold green"}
# What a whole document's verdict is, when its files differ: the worst stands for all.
_WORST: Final = ("INVALID", "PARTIAL", "VALID", "UNSIGNED", "")


def moment(stamp: Timestamp, *, exact: bool = False) -> str:
    """`23/11/2026 09:15`, in Vietnam; to the millisecond where it is `exact`."""
    local = _local(stamp)
    if local is None:
        return ""
    return (
        f"{local:%d/%m/%Y %H:%M:%S}.{local.microsecond // 1000:03d}" if exact else f"{local:%d/%m/%Y %H:%M}"
    )


def _local(stamp: Timestamp) -> datetime | None:
    """None for what is not set, or cannot be a time: nodes of other owners stamp receipts and hops."""
    if not (stamp.seconds or stamp.nanos):
        return None
    try:
        return from_timestamp(stamp).astimezone(VIETNAM)
    except (ValueError, OverflowError):
        return None


def lately(session: Session, stamp: Timestamp) -> str:
    """As short as tells it: `09:15` today, `23/11 09:15` this year, `23/11/2025` before."""
    local = _local(stamp)
    if local is None:
        return ""
    now = session.connection.clock.now().astimezone(VIETNAM)
    if local.date() == now.date():
        return f"{local:%H:%M}"
    return f"{local:%d/%m %H:%M}" if local.year == now.year else f"{local:%d/%m/%Y}"


def day_lately(session: Session, text: str) -> str:
    """`07/12` this year, `07/01/2027` else."""
    this_year = session.connection.clock.now().astimezone(VIETNAM).year
    return day(text).removesuffix(f"/{this_year}")


def clock(stamp: Timestamp) -> str:
    """The time of day to the millisecond."""
    return moment(stamp, exact=True)[11:]


def day(text: str) -> str:
    """`23/11/2026`; what is no day stays as it came."""
    try:
        return f"{date.fromisoformat(text):%d/%m/%Y}"
    except ValueError:
        return text


def urgency(words: Words, value: int, *, only_urgent: bool = False) -> Styled:
    """The grade; in tables an ordinary one is not worth a word."""
    name = shapes.urgency_name(value)
    if only_urgent and name == "ORDINARY":
        return Styled("")
    return Styled(words.name(URGENCIES, name), style=_URGENCY_STYLES.get(name, ""))


def status(words: Words, code: str) -> Styled:
    return Styled(tame_line(words.status(code)), style=_STATUS_STYLES.get(code, ""))


def outcome(words: Words, value: int) -> Styled:
    name = shapes.outcome_name(value)
    return Styled(
        words.name(OUTCOMES, name), style={"DELIVERED": "green", "NOT_DELIVERED": "red"}.get(name, "dim")
    )


def verdict(words: Words, value: int, level: str = "") -> Styled:
    name = shapes.verdict_name(value)
    said = f"{words.name(VERDICTS, name)} {level}".rstrip()
    return Styled(tame_line(said), style=_VERDICT_STYLES.get(name, "dim"))


def worst(verdicts: Iterable[document_pb2.AttachmentVerdict]) -> document_pb2.AttachmentVerdict | None:
    """The verdict that counts for the whole document: its worst. An unsigned annex is no fault."""
    ranked = sorted(verdicts, key=lambda one: _WORST.index(shapes.verdict_name(one.verdict)))
    return ranked[0] if ranked else None


def code(document: document_pb2.Document) -> str:
    return shapes.code_shape(document) or ""


def arrival(number: int) -> str:
    """As it is written into a register; empty for none."""
    return f"{number:02d}" if number else ""


def submission(session: Session, found: submission_pb2.Submission, *, request_id: str = "") -> None:
    """One submission with its recipients."""
    if session.output.as_json:
        shape = shapes.submission_shape(found)
        session.output.json(shape | {"request_id": request_id} if request_id else shape)
        return
    words, document = session.words, found.document
    issued = shapes.state_name(found.state) == "ISSUED"
    head = (
        words("sent", code=code(document)) if issued else words.name(STATES, shapes.state_name(found.state))
    )
    session.output.line(head, style="bold green" if issued else "bold yellow")
    session.output.facts(
        [
            ("subject", document.subject),
            ("date", day(document.issued_date)),
            ("urgency", urgency(words, document.urgency)),
            ("due", day(document.due_date)),
            ("document_id", document.document_id),
            ("submission", found.submission_id),
            ("trace_id", found.trace_id),
            ("reason", found.reason),
            ("request_id", request_id),
        ]
    )
    rows = [
        (
            one.organization,
            outcome(words, one.outcome),
            status(words, one.status),
            arrival(one.arrival_number),
            one.reason,
        )
        for one in found.recipients
    ]
    session.output.line("")
    columns = ["recipient", "outcome", "status", "arrival_number", "reason"]
    without_empty(session, columns, rows, whole=("recipient", "outcome", "status"))


def submissions(session: Session, found: Sequence[submission_pb2.Submission]) -> None:
    """Many, newest first."""
    if session.output.as_json:
        session.output.json([shapes.submission_shape(one) for one in found])
        return
    words = session.words
    short = short_ids(one.submission_id for one in found)
    rows = [
        (
            short[one.submission_id],
            lately(session, one.create_time),
            code(one.document),
            one.document.subject,
            urgency(words, one.document.urgency, only_urgent=True),
            words.name(STATES, shapes.state_name(one.state)),
            _counted(one),
        )
        for one in found
    ]
    columns = ["submission", "act_time", "code", "subject", "urgency", "state", "recipients"]
    without_empty(session, columns, rows, whole=[name for name in columns if name != "subject"])


def deliveries(session: Session, found: Sequence[inbox_pb2.Delivery]) -> None:
    """An inbox, in the order of arrival."""
    words = session.words
    short = short_ids(one.delivery_id for one in found)
    rows = []
    for one in found:
        judged = worst(one.verdicts)
        rows.append(
            (
                short[one.delivery_id],
                lately(session, one.arrive_time),
                one.document.organization,
                code(one.document),
                one.document.subject,
                urgency(words, one.document.urgency, only_urgent=True),
                day_lately(session, one.document.due_date),
                verdict(words, judged.verdict) if judged else "",
                status(words, one.status),
            )
        )
    columns = ["delivery", "arrived", "from", "code", "subject", "urgency", "due", "verdict", "state"]
    whole = [name for name in columns if name not in ("subject", "state")]
    without_empty(session, columns, rows, whole=whole)


def receipts(session: Session, found: Sequence[document_pb2.Receipt], codes: Mapping[str, str]) -> None:
    """Receipts in the order in which they came."""
    if session.output.as_json:
        session.output.json([shapes.receipt_shape(one) for one in found])
        return
    rows = [receipt_row(session, one, codes) for one in found]
    columns = ["act_time", "document", "recipient", "status", "actor", "arrival_number", "reason"]
    without_empty(session, columns, rows, whole=columns[:5])


def receipt_row(session: Session, one: document_pb2.Receipt, codes: Mapping[str, str]) -> tuple[Cell, ...]:
    said = status(session.words, one.status) if one.status else outcome(session.words, one.outcome)
    return (
        lately(session, one.act_time),
        codes.get(one.document_id) or one.document_id,
        one.recipient,
        said,
        one.actor,
        arrival(one.arrival_number),
        one.reason or one.reason_code,
    )


def without_empty(
    session: Session, columns: list[str], rows: list[tuple[Any, ...]], *, whole: Sequence[str]
) -> None:
    """A table without the columns in which nothing stands: reasons are rare and take room."""
    kept = [place for place in range(len(columns)) if any(str(row[place]) for row in rows)]
    session.output.table(
        [columns[place] for place in kept], [[row[place] for place in kept] for row in rows], whole=whole
    )


def _counted(one: submission_pb2.Submission) -> str:
    """`2/5`: recipients who have it, of all."""
    return (
        f"{sum(shapes.outcome_name(r.outcome) == 'DELIVERED' for r in one.recipients)}/{len(one.recipients)}"
    )
