"""send, reply: files become a document on its way, and the person sees how far it got."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from lienthong.cli import letters
from lienthong.cli.choosing import CLERKS
from lienthong.cli.exits import DONE, FINDINGS, WAITING
from lienthong.cli.helping import documented
from lienthong.cli.letters import (
    Copies,
    Delivered,
    Due,
    Editables,
    Files,
    Issued,
    Kind,
    Letter,
    Notation,
    Number,
    Position,
    RequestId,
    Series,
    Signer,
    Subject,
    Urgency,
    Wait,
    Within,
)
from lienthong.cli.session import Session, run
from lienthong.errors import DeadlineExceeded, DomainError, FailedPrecondition, Unavailable

if TYPE_CHECKING:
    from lienthong.client.agency import Submission
    from lienthong.types.v1 import document_pb2


_ATTACHMENT: Final = re.compile(r"document\.attachments\[(\d{1,4})\].*")
_NAMED: Final = 20  # of those who did not get it: the table above names them all


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    documented(
        app,
        "send",
        "Gửi văn bản: lấy số, đóng dấu, phát hành đến các nơi nhận",
        "Send a document: number, seal and issue it to its recipients",
        (
            'lienthong send cong-van.pdf phu-luc.docx --to H01,H01.15 --subject "rà soát" --notation VPCP-TH',
            "Nút cấp số, ghi ngày, đóng dấu; tệp đầu là văn bản chính, tệp sau là phụ lục",
            "The node numbers and seals; the first file is the document, the others are annexes",
        ),
        (
            'lienthong send bc.pdf --to G22 --subject "báo cáo" --number 7/BC-UBND --date 23/11/2026',
            "Phần mềm của cơ quan đã lấy số và ký đủ",
            "Numbered and signed already by the agency's own software",
        ),
        (
            "lienthong send cd.pdf --to-file ds.txt --subject lũ --notation CĐ --urgency hỏa-tốc --delivered",
            "Hỏa tốc, nơi nhận từ tệp, chờ đủ xác nhận 01",
            "Flash, recipients from a file, wait for every receipt 01",
        ),
    )(send)
    documented(
        app,
        "reply",
        "Trả lời một văn bản đến: gửi về nơi gửi, ghi rõ trả lời văn bản nào",
        "Answer a document that came: to its sender, naming what is answered",
        (
            'lienthong reply 15/VPCP-TH bao-cao.pdf --subject "kết quả rà soát" --notation BC-UBND',
            "Nơi nhận và văn bản được trả lời lấy từ văn bản đến",
            "Recipient and answered document are taken from the delivery",
        ),
        (
            'lienthong reply 0198a1b2 bc.pdf --subject "kết quả" --number 7/BC-UBND --date 23/11/2026',
            "Theo mã lượt nhận; văn bản đã có số",
            "By the id of the delivery; numbered already",
        ),
    )(reply)


def send(
    context: typer.Context,
    files: Files,
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="CODES", help="Nơi nhận / recipients: H01,H01.15.")
    ] = None,
    to_file: Annotated[
        Path | None, typer.Option("--to-file", metavar="FILE", help="Mỗi dòng một mã / a code a line.")
    ] = None,
    subject: Subject = "",
    kind: Kind = "Công văn",
    notation: Notation = "",
    sender: Annotated[
        str, typer.Option("--from", metavar="CODE", help="Cơ quan gửi / the sending organization.")
    ] = "",
    urgency: Urgency = "thường",
    due: Due = "",
    series: Series = "",
    number: Number = "",
    issued: Issued = "",
    signer: Signer = "",
    position: Position = "",
    answers: Annotated[
        list[str] | None,
        typer.Option(
            "--answers", metavar="DOCUMENT", help="Trả lời văn bản / answers: 15/QĐ-BNV, G22:15/QĐ-BNV."
        ),
    ] = None,
    copy: Copies = None,
    editable: Editables = None,
    request_id: RequestId = "",
    wait: Wait = True,
    delivered: Delivered = False,
    within: Within = 120,
) -> None:
    from lienthong.cli import reading

    letter = Letter(
        files=letters.files_of(files, copy, editable),
        subject=subject,
        type_name=kind,
        urgency=urgency,
        due=due,
        signer=signer,
        position=position,
        notation=notation,
        series=series,
        number=number,
        issued=issued,
        request_id=letters.request_id_of(request_id),
        wait=wait,
        delivered=delivered,
        within=within,
    )
    recipients = reading.recipients(to or (), to_file)

    async def work(session: Session) -> int:
        from lienthong.cli import references

        document = letter.document(session.organization)
        document.answers.extend([await references.answered(session, text) for text in answers or ()])
        return await dispatch(session, letter, document, recipients)

    letters.check(letter)
    run(context, CLERKS, work, organization=sender.upper())


def reply(
    context: typer.Context,
    delivery: Annotated[
        str, typer.Argument(metavar="DELIVERY", help="Văn bản đến / the delivery: 15/QĐ-BNV, 0198a1b2.")
    ],
    files: Files,
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="CODES", help="Nơi nhận thêm / further recipients.")
    ] = None,
    subject: Subject = "",
    kind: Kind = "Báo cáo",
    notation: Notation = "",
    urgency: Urgency = "thường",
    due: Due = "",
    series: Series = "",
    number: Number = "",
    issued: Issued = "",
    signer: Signer = "",
    position: Position = "",
    copy: Copies = None,
    editable: Editables = None,
    request_id: RequestId = "",
    wait: Wait = True,
    delivered: Delivered = False,
    within: Within = 120,
) -> None:
    letter = Letter(
        files=letters.files_of(files, copy, editable),
        subject=subject,
        type_name=kind,
        urgency=urgency,
        due=due,
        signer=signer,
        position=position,
        notation=notation,
        series=series,
        number=number,
        issued=issued,
        request_id=letters.request_id_of(request_id),
        wait=wait,
        delivered=delivered,
        within=within,
    )

    async def work(session: Session) -> int:
        from lienthong.cli import reading, references

        found = await references.find_delivery(session, delivery)
        document = letter.document(session.organization)
        document.answers.append(references.answering(found.document))
        recipients = reading.recipients([found.document.organization, *(to or ())], None)
        return await dispatch(session, letter, document, recipients)

    letters.check(letter)
    run(context, CLERKS, work)


async def dispatch(
    session: Session, letter: Letter, document: document_pb2.Document, recipients: list[str]
) -> int:
    """Upload, submit, and wait as long as was wished."""
    from lienthong.cli import showing

    request_id = letter.request_id or session.connection.new_id()
    document.attachments.extend([await _attach(session, path, role) for path, role in letter.files])
    try:
        taken = await session.agency.submit(document, recipients, letter.issue(), request_id=request_id)
    except BaseException as error:
        _name_the_file(session, error, letter)
        _say_how_to_repeat(session, error, request_id)
        raise
    try:
        submission, ended = await _wait(session, letter, taken)
    except FailedPrecondition:
        raise
    except BaseException:  # the node went away, or Ctrl-C: it has the document all the same
        session.output.warn(session.words("goes_on", id=taken.submission_id))
        raise
    showing.submission(session, submission, request_id=str(request_id))
    if ended:
        return _arrived(session, submission) if letter.delivered else DONE
    key = "not_delivered_yet" if submission.issue_time.seconds else "not_issued_yet"
    seconds, name = f"{letter.within:.0f}", submission.submission_id
    session.output.note(session.words(key, seconds=seconds, id=name))
    return WAITING


def _arrived(session: Session, submission: Submission) -> int:
    """--delivered asked for every receipt 01: an outcome is known of all, but it may be that it failed."""
    missed = undelivered(submission)
    if not missed:
        return DONE
    names = ", ".join(missed[:_NAMED]) + (", …" if len(missed) > _NAMED else "")
    session.output.warn(session.words("not_delivered", count=len(missed), names=names))
    return FINDINGS


def undelivered(submission: Submission) -> list[str]:
    """The recipients of whom no receipt 01 is here."""
    from lienthong.types.v1 import document_pb2

    delivered = document_pb2.TRANSPORT_OUTCOME_DELIVERED
    return [one.organization for one in submission.recipients if one.outcome != delivered]


async def _attach(session: Session, path: Path, role: str) -> document_pb2.Attachment:
    from lienthong.cli.documents import beside
    from lienthong.types.v1 import document_pb2

    kind = document_pb2.AttachmentRole.Value(f"ATTACHMENT_ROLE_{role}")
    signature = beside(path)
    signatures = [signature.read_bytes()] if signature.is_file() else []
    with session.output.doing("uploading", path.name) as doing:
        return await session.agency.attach(path, kind, progress=doing, detached_signatures=signatures)


async def _wait(session: Session, letter: Letter, taken: Submission) -> tuple[Submission, bool]:
    """The submission as far as it got, and whether that is as far as was wished."""
    from lienthong.cli import shapes
    from lienthong.cli.texts import STATES

    wished = "delivered" if letter.delivered else "issued"
    seen = taken

    async def ask() -> Submission | None:
        nonlocal seen
        seen = await session.agency.submission(taken.submission_id)
        state = shapes.state_name(seen.state)
        doing.say(session.words.name(STATES, state))
        if state == "ABANDONED":
            name = taken.submission_id
            raise FailedPrecondition(seen.reason, "the submission was given up", submission_id=name)
        arrived = all(recipient.outcome for recipient in seen.recipients)
        return seen if state == "ISSUED" and (arrived or wished == "issued") else None

    if not letter.wait:
        return taken, True
    with session.output.doing("delivering" if letter.delivered else "issuing", unit="") as doing:
        found = await session.connection.wait_until(ask, letter.within)
    return (found, True) if found is not None else (seen, False)


def _name_the_file(session: Session, error: BaseException, letter: Letter) -> None:
    """`document.attachments[1]` is a place in a request; people know the file."""
    if isinstance(error, DomainError):
        places = (_ATTACHMENT.fullmatch(violation.field) for violation in error.violations)
        for place in places:
            if place is not None and int(place[1]) < len(letter.files):
                path, _ = letter.files[int(place[1])]
                session.output.note(f"{place[0]}: {path}")


def _say_how_to_repeat(session: Session, error: BaseException, request_id: uuid.UUID) -> None:
    """Where the effect is unknown the same request id makes a repeat safe; a refusal changed nothing."""
    if isinstance(error, DomainError) and not isinstance(error, (Unavailable, DeadlineExceeded)):
        return
    session.output.warn(session.words("repeat_with", id=request_id))
