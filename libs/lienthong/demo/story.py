"""The acts of the day, in order: issue, interruption, arrival, handling, reply, refusals."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from lienthong.advice import ADVICE
from lienthong.agency_signing import sign_letter
from lienthong.client import ANNEX, MAIN
from lienthong.client.agency import AlreadyIssued, IssueHere
from lienthong.demo import documents
from lienthong.demo.seen import Day, Refusal, Sent
from lienthong.demo.stage import Stage, receive, wait_receipts
from lienthong.errors import DomainError
from lienthong.pki.identity import Kind
from lienthong.routing.v1 import queue_pb2
from lienthong.types.v1 import document_pb2

SENDER: Final = "G22"
RECIPIENTS: Final = ("H01", "H01.03", "H01.15", "H01.15.07", "H01.15.09")
REFUSING: Final = "H01.03"
REPLYING: Final = "H01.15.07"
KILLED: Final = "H01"
REPLY_NUMBER: Final = 7
REFUSAL_REASON: Final = "Văn bản không thuộc chức năng, nhiệm vụ của Sở; đề nghị gửi đúng cơ quan (MẪU)."

_MOVING: Final = (queue_pb2.TRANSFER_STATE_LEASED, queue_pb2.TRANSFER_STATE_ACCEPTED)


@dataclass(frozen=True, slots=True)
class Signed:
    """The Government Office's files, ready for its clerk."""

    main: Path
    annexes: tuple[Path, ...]
    due_date: str


async def sign(stage: Stage) -> Signed:
    """Act 1a: a PDF with its four fields; the leader signs it with the leader's own certificate."""
    due = stage.today + timedelta(days=14)
    folder = stage.drafts(SENDER)
    draft = await asyncio.to_thread(documents.draft_dispatch, stage.topology, RECIPIENTS, due, folder)
    prepared, signed = folder / "du-thao-co-o-ky.pdf", folder / "cong-van.pdf"
    await stage.desks.software(SENDER).signing.prepare(draft.path, prepared, draft.placements)
    await stage.desks.leader(SENDER).signing.sign(prepared, signed)
    leader = stage.desks.person(SENDER, Kind.LEADER)
    stage.screen.step(
        f"{leader.position} {leader.title} ký số, có dấu thời gian (leader signed): {signed.name}"
    )
    return Signed(signed, documents.annexes(folder), due.isoformat())


async def issue(stage: Stage, signed: Signed, day: Day) -> None:
    """Acts 1b and 2: the clerk submits once; the province's node is killed as soon as its transfer moves."""
    sent, clerk = day.document, stage.desks.clerk(SENDER)
    files = [await clerk.attach(signed.main, MAIN)]
    files += [await clerk.attach(path, ANNEX) for path in signed.annexes]
    sent.sources = {file.name: file.sha256 for file in files}
    interruption = asyncio.create_task(interrupt(stage, day))
    began = stage.clock.monotonic()
    try:
        submission = await clerk.submit(
            _dispatch(stage, sent, files, signed.due_date),
            RECIPIENTS,
            IssueHere(notation=documents.NOTATION),
            request_id=stage.new_id(),
        )
        stage.screen.step("Văn thư chuyển phát hành MỘT lần: khẩn, 5 nơi nhận (submitted once)")
        sent.submission = await clerk.wait_issued(submission.submission_id)
        day.timings_ms["issue"] = _milliseconds(stage, began)
        stage.screen.step(f"Đã lấy số, ghi ngày, đóng dấu đỏ, phát hành (issued): {_code(sent)}")
        await interruption
        await arrive(stage, day)
        day.timings_ms["delivered"] = _milliseconds(stage, began)
    finally:
        interruption.cancel()
    stage.screen.step("Xác nhận 01 của cả 5 nơi nhận đã về Văn phòng Chính phủ (all receipts 01 are back)")


async def interrupt(stage: Stage, day: Day) -> None:
    """Act 2: SIGKILL to the province's node while the transfer to it is leased or just accepted."""
    operator = stage.desks.operator(SENDER)

    async def moving() -> str | None:
        transfers, _ = await operator.transfers(next_hop=KILLED, document_id=day.document.document_id)
        states = [transfer.state for transfer in transfers if transfer.state in _MOVING]
        return queue_pb2.TransferState.Name(states[0]) if states else None

    state = await stage.until(f"a transfer to {KILLED}", moving, every=0.005)
    await asyncio.to_thread(stage.mesh.kill, KILLED)
    day.killed_node, day.killed_at = KILLED, state.removeprefix("TRANSFER_STATE_")
    stage.screen.step(f"Ngắt đột ngột nút {KILLED} khi gói tin đang {day.killed_at} (SIGKILL), khởi động lại")
    await asyncio.to_thread(stage.mesh.start_node, KILLED)
    await asyncio.to_thread(stage.mesh.wait_ready, [KILLED])
    stage.screen.step(f"Nút {KILLED} đã hoạt động trở lại (is back)")


async def arrive(stage: Stage, day: Day) -> None:
    """Act 3a: every recipient's own client fetches and judges; the receipts 01 come back."""
    arrivals = await asyncio.gather(*(receive(stage, day.document, code) for code in RECIPIENTS))
    for arrival in arrivals:
        day.document.arrivals[arrival.organization] = arrival
        verdicts = [document_pb2.Verdict.Name(report.verdict) for report in arrival.judged.values()]
        shown = ", ".join(verdict.removeprefix("VERDICT_") for verdict in verdicts)
        stage.screen.step(f"{arrival.organization} tải {len(arrival.fetched.files)} tệp và kiểm tra: {shown}")
    await wait_receipts(stage, day.document, "01", RECIPIENTS)


async def handle(stage: Stage, day: Day) -> None:
    """Act 3b: the department refuses, the others take arrival numbers, the commune sets to work."""
    accepting = tuple(code for code in RECIPIENTS if code != REFUSING)
    delivery = _delivery(day.document, REFUSING)
    await stage.desks.software(REFUSING).inbox.refuse(delivery, REFUSAL_REASON, actor=stage.actor(REFUSING))
    stage.screen.step(f"{REFUSING} từ chối tiếp nhận 02 kèm lý do, không lấy số đến (refused)")
    for code in accepting:
        inbox = stage.desks.software(code).inbox
        receipt = await inbox.accept(_delivery(day.document, code), actor=stage.actor(code))
        stage.screen.step(f"{code} tiếp nhận 03, số đến {receipt.arrival_number:02d} (accepted)")
    inbox, delivery = stage.desks.software(REPLYING).inbox, _delivery(day.document, REPLYING)
    await inbox.assign(delivery, actor=stage.actor(REPLYING))
    await inbox.process(delivery, actor=stage.actor(REPLYING))
    stage.screen.step(f"{REPLYING} phân công 04, đang xử lý 05 (assigned, working)")
    await wait_receipts(stage, day.document, "02", (REFUSING,))
    await wait_receipts(stage, day.document, "03", accepting)


async def reply(stage: Stage, day: Day) -> None:
    """Act 3c: the commune's own software numbers, dates and signs a report and sends it up to the sender."""
    path = await _signed_report(stage, day)
    agency, sent = stage.desks.software(REPLYING), day.reply
    main = await agency.attach(path, MAIN)
    sent.sources = {main.name: main.sha256}
    began = stage.clock.monotonic()
    submission = await agency.submit(
        _report(stage, day, main),
        [SENDER],
        AlreadyIssued(
            number=REPLY_NUMBER, notation=documents.REPLY_NOTATION, issued_date=stage.today.isoformat()
        ),
        request_id=stage.new_id(),
    )
    sent.submission = await agency.wait_issued(submission.submission_id)
    arrival = await receive(stage, sent, SENDER)
    sent.arrivals[SENDER] = arrival
    await wait_receipts(stage, sent, "01", (SENDER,))
    inbox = stage.desks.software(SENDER).inbox
    receipt = await inbox.accept(_delivery(sent, SENDER), actor=stage.actor(SENDER))
    await wait_receipts(stage, sent, "03", (SENDER,))
    day.timings_ms["reply"] = _milliseconds(stage, began)
    stage.screen.step(
        f"{SENDER} tiếp nhận báo cáo {_code(sent)}, số đến {receipt.arrival_number:02d} (accepted)"
    )
    delivery = _delivery(day.document, REPLYING)
    await stage.desks.software(REPLYING).inbox.complete(delivery, actor=stage.actor(REPLYING))
    await wait_receipts(stage, day.document, "06", (REPLYING,))
    stage.screen.step(f"{REPLYING} báo hoàn thành 06 (completed)")


async def refuse(stage: Stage, signed: Signed, day: Day) -> None:
    """Act 4: what is declared secret, and what was changed after its signature, is refused at submit."""
    changed = documents.tampered(signed.main, stage.drafts(SENDER) / "cong-van-bi-sua.pdf")
    for case, expected, secrecy, path in (
        ("DECLARED_SECRET", "SECRET_REFUSED", document_pb2.SECRECY_CONFIDENTIAL, signed.main),
        ("CHANGED_AFTER_SIGNING", "ATTACHMENT_CHANGED", document_pb2.SECRECY_NONE, changed),
    ):
        refusal = await _submit_wrong(stage, case, expected, secrecy, path)
        day.refusals.append(refusal)
        causes = f" ({refusal.causes})" if refusal.causes else ""
        stage.screen.step(f"Bị từ chối khi gửi: {case} -> {refusal.reason or 'ĐÃ ĐƯỢC NHẬN!'}{causes}")
        if refusal.reason in ADVICE:
            stage.screen.note(ADVICE[refusal.reason].vi)


async def _submit_wrong(
    stage: Stage, case: str, expected: str, secrecy: document_pb2.Secrecy.ValueType, path: Path
) -> Refusal:
    clerk = stage.desks.clerk(SENDER)
    wrong = Sent(SENDER, str(stage.new_id()), RECIPIENTS, {})
    document = _dispatch(stage, wrong, [await clerk.attach(path, MAIN)], "")
    document.secrecy = secrecy
    try:
        await clerk.submit(document, RECIPIENTS, IssueHere(notation=documents.NOTATION))
    except DomainError as error:
        return Refusal(case, expected, error.reason, error.metadata.get("causes", ""))
    return Refusal(case, expected, "")


def _dispatch(
    stage: Stage, sent: Sent, files: list[document_pb2.Attachment], due_date: str
) -> document_pb2.Document:
    leader = stage.desks.person(SENDER, Kind.LEADER)
    return document_pb2.Document(
        document_id=sent.document_id,
        organization=SENDER,
        type_name="Công văn",
        subject=documents.SUBJECT,
        urgency=document_pb2.URGENCY_URGENT,
        secrecy=document_pb2.SECRECY_NONE,
        signer_name=leader.title,
        signer_position=leader.position,
        due_date=due_date,
        attachments=files,
    )


async def _signed_report(stage: Stage, day: Day) -> Path:
    """By the commune's own software and key files, stamped over HTTP: nothing of the node signs here."""
    folder, leader = stage.drafts(REPLYING), stage.desks.person(REPLYING, Kind.LEADER)
    source = await asyncio.to_thread(
        documents.draft_reply, stage.topology, REPLY_NUMBER, stage.today, _code(day.document), folder
    )
    target = await sign_letter(
        source,
        folder / "bao-cao.pdf",
        leader=stage.mesh.layout.issued(f"org/{REPLYING}/leader/{leader.name}", "signing"),
        agency=stage.mesh.layout.issued(f"org/{REPLYING}", "seal"),
        signer=leader.title,
        timestamps_url=stage.mesh.timestamps_url(stage.topology.organization(REPLYING).node),
    )
    stage.screen.step(f"{REPLYING} tự lấy số, ký số báo cáo trả lời bằng phần mềm của mình (own software)")
    return target


def _report(stage: Stage, day: Day, main: document_pb2.Attachment) -> document_pb2.Document:
    leader = stage.desks.person(REPLYING, Kind.LEADER)
    answered = document_pb2.AnsweredDocument(
        document_id=day.document.document_id, organization=SENDER, code=_code(day.document)
    )
    return document_pb2.Document(
        document_id=day.reply.document_id,
        organization=REPLYING,
        type_name="Báo cáo",
        subject=documents.REPLY_SUBJECT,
        urgency=document_pb2.URGENCY_URGENT,
        secrecy=document_pb2.SECRECY_NONE,
        signer_name=leader.title,
        signer_position=leader.position,
        answers=[answered],
        attachments=[main],
    )


def _delivery(sent: Sent, organization: str) -> str:
    return sent.arrivals[organization].fetched.delivery.delivery_id


def _code(sent: Sent) -> str:
    return f"{sent.document.number:02d}/{sent.document.notation}"


def _milliseconds(stage: Stage, began: float) -> int:
    return round((stage.clock.monotonic() - began) * 1000)
