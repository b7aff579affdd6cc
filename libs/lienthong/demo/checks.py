"""What must hold when the day is over, each by its name. Pure: judges what the clients saw, asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from lienthong.demo.seen import Arrival, Day, Sent, count
from lienthong.mesh import Topology
from lienthong.types.v1 import document_pb2

_MOVING: Final = ("LEASED", "ACCEPTED")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold; `faults` says where it does not."""

    name: str
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.faults


def verify(day: Day, topology: Topology) -> list[Check]:
    """Every check, in the order of the day."""
    rules: dict[str, Callable[[], Iterator[str]]] = {
        "nút tỉnh bị ngắt khi gói tin đang chuyển (killed while a transfer moved)": lambda: _killed(day),
        "mỗi cơ quan nhận đúng một lần (one inbox item each)": lambda: _once(day),
        "tệp nhận được đúng là tệp đã ký (files as signed)": lambda: _files(day),
        "chữ ký hợp lệ, có dấu thời gian (valid, B-T)": lambda: _signatures(day),
        "xác nhận 01 về nơi gửi (receipts 01)": lambda: _acknowledged(day),
        "tiếp nhận và từ chối (accepted, refused)": lambda: _handled(day),
        "văn bản trả lời được tiếp nhận (reply accepted)": lambda: _replied(day),
        "văn bản sai bị từ chối (refusals)": lambda: _refused(day),
        "hành trình qua đúng các nút (journey)": lambda: _travelled(day, topology),
        "một vết qua mọi nút (one trace)": lambda: _traced(day, topology),
        "sổ đăng ký không trùng, không khoảng trống (registers)": lambda: _registers(day),
        "không mất, không trùng (nothing lost or doubled)": lambda: _totals(day),
    }
    return [Check(name, tuple(rule())) for name, rule in rules.items()]


def path_between(topology: Topology, start: str, end: str) -> list[str]:
    """The nodes from one to another along the tree."""
    up, down = _to_root(topology, start), _to_root(topology, end)
    while len(up) > 1 and len(down) > 1 and up[-2] == down[-2]:
        up.pop()
        down.pop()
    if up[-1] == down[-1]:
        down.pop()
    return [*up, *reversed(down)]


def _to_root(topology: Topology, node: str) -> list[str]:
    path = [node]
    while (parent := topology.node(path[-1]).parent) is not None:
        path.append(parent)
    return path


def _both(day: Day) -> Iterator[tuple[Sent, str]]:
    for sent in (day.document, day.reply):
        for recipient in sent.recipients:
            yield sent, recipient


def _arrivals(day: Day) -> Iterator[tuple[Sent, Arrival]]:
    for sent in (day.document, day.reply):
        for arrival in sent.arrivals.values():
            yield sent, arrival


def _killed(day: Day) -> Iterator[str]:
    if day.killed_at not in _MOVING:
        yield f"{day.killed_node}: {day.killed_at or 'chưa ngắt'}"


def _once(day: Day) -> Iterator[str]:
    for sent, recipient in _both(day):
        arrival = sent.arrivals.get(recipient)
        if arrival is None or len(arrival.items) != 1:
            yield f"{recipient}: {len(arrival.items) if arrival else 0}"
    for organization, number in day.strays.items():
        if number:
            yield f"{organization}: +{number}"


def _files(day: Day) -> Iterator[str]:
    for sent, arrival in _arrivals(day):
        issued = {attachment.sha256 for attachment in sent.document.attachments}
        arrived = {attachment.sha256 for attachment in arrival.fetched.document.attachments}
        judged = {report.sha256 for report in arrival.judged.values()}
        if not issued == arrived == judged == set(arrival.fetched.files):
            yield f"{arrival.organization}: khác bản đã phát hành"
        if arrival.fetched.signer.identity.organization != sent.sender:
            yield f"{arrival.organization}: gói tin không do {sent.sender} ký"


def _signatures(day: Day) -> Iterator[str]:
    for sent, arrival in _arrivals(day):
        for attachment in arrival.fetched.document.attachments:
            report = arrival.judged.get(attachment.sha256)
            where = f"{arrival.organization}/{attachment.name}"
            if report is None or report.verdict != document_pb2.VERDICT_VALID or report.level != "B-T":
                verdict = document_pb2.Verdict.Name(report.verdict) if report else "?"
                yield f"{where}: {verdict} {report.level if report else ''}"
                continue
            wanted = (
                ["PERSONAL", "AGENCY"] if attachment.role == document_pb2.ATTACHMENT_ROLE_MAIN else ["AGENCY"]
            )
            if [signature.role for signature in report.signatures] != wanted:
                yield f"{where}: không đủ chữ ký {wanted}"
            if any(signature.organization != sent.sender for signature in report.signatures):
                yield f"{where}: chữ ký không phải của {sent.sender}"


def _acknowledged(day: Day) -> Iterator[str]:
    for sent, recipient in _both(day):
        receipt = sent.receipt(recipient, "01")
        if receipt is None or receipt.outcome != document_pb2.TRANSPORT_OUTCOME_DELIVERED:
            yield f"{recipient}: chưa có 01"


def _handled(day: Day) -> Iterator[str]:
    refusers = [code for code in day.document.recipients if "02" in day.document.statuses(code)]
    if len(refusers) != 1:
        yield f"02: {refusers}"
    for recipient in day.document.recipients:
        refusal = day.document.receipt(recipient, "02")
        acceptance = day.document.receipt(recipient, "03")
        if refusal is not None:
            if not refusal.reason or refusal.arrival_number or acceptance is not None:
                yield f"{recipient}: 02 phải có lý do và không có số đến"
        elif acceptance is None or acceptance.arrival_number < 1:
            yield f"{recipient}: chưa có 03 kèm số đến"


def _replied(day: Day) -> Iterator[str]:
    if day.document.statuses(day.reply.sender) != ["01", "03", "04", "05", "06"]:
        yield f"{day.reply.sender}: {day.document.statuses(day.reply.sender)}"
    acceptance = day.reply.receipt(day.document.sender, "03")
    if acceptance is None or acceptance.arrival_number < 1:
        yield f"{day.document.sender}: chưa tiếp nhận văn bản trả lời"
    for arrival in day.reply.arrivals.values():
        arrived = {attachment.sha256 for attachment in arrival.fetched.document.attachments}
        if arrived != set(day.reply.sources.values()):
            yield f"{arrival.organization}: bản trả lời đã bị thay đổi"
        if day.document.document_id not in {a.document_id for a in arrival.fetched.document.answers}:
            yield f"{arrival.organization}: không nêu văn bản được trả lời"


def _refused(day: Day) -> Iterator[str]:
    if len(day.refusals) != 2:
        yield f"{len(day.refusals)} trường hợp"
    for refusal in day.refusals:
        if refusal.reason != refusal.expected:
            yield f"{refusal.case}: {refusal.reason or 'đã được nhận'}"


def _travelled(day: Day, topology: Topology) -> Iterator[str]:
    for sent, recipient in _both(day):
        start, end = topology.organization(sent.sender).node, topology.organization(recipient).node
        branch = sent.branch(recipient)
        hops = [hop.node for hop in branch.hops]
        if hops != path_between(topology, start, end):
            yield f"{recipient}: {' > '.join(hops) or 'không có chặng'}"
        known = [fact.status for fact in sorted(branch.statuses, key=lambda fact: fact.sequence)]
        if known != sent.statuses(recipient):
            yield f"{recipient}: {known} khác {sent.statuses(recipient)}"


def _traced(day: Day, topology: Topology) -> Iterator[str]:
    missing = {node.node for node in topology.nodes} - set(day.trace_nodes)
    if missing:
        yield f"không thấy {', '.join(sorted(missing))}"


def _registers(day: Day) -> Iterator[str]:
    for book in day.books:
        if book.check.missing or book.check.reserved or not book.check.chain_intact:
            yield f"{book.organization}: thiếu {list(book.check.missing)}, treo {book.check.reserved}"
    issued = [
        entry.number
        for book in day.books
        if book.organization == day.document.sender and book.outgoing
        for entry in book.entries
    ]
    if issued != [day.document.document.number]:
        yield f"{day.document.sender}: sổ đi có {issued}"
    for sent, recipient in _both(day):
        acceptance = sent.receipt(recipient, "03")
        arrived = [
            entry.number
            for book in day.books
            if book.organization == recipient and not book.outgoing
            for entry in book.entries
            if entry.description.document_id == sent.document_id
        ]
        if arrived != ([acceptance.arrival_number] if acceptance else []):
            yield f"{recipient}: sổ đến có {arrived}"


def _totals(day: Day) -> Iterator[str]:
    totals = count(day)
    if totals.delivered != totals.recipients:
        yield f"{totals.delivered}/{totals.recipients}"
    for name in ("lost", "duplicated", "gaps"):
        if getattr(totals, name):
            yield f"{name} {getattr(totals, name)}"
