"""A journey as a tree: recipients, the hops to each with their times, what was done with it there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lienthong.cli import shapes, showing
from lienthong.cli.output import tame_line
from lienthong.errors import NotFound
from rich.text import Text as Styled
from rich.tree import Tree

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp
    from lienthong.cli.session import Session
    from lienthong.cli.texts import Words
    from lienthong.reporting.v1 import reporting_pb2

_CATCHING_UP = 10.0


async def known_journey(session: Session, document_id: str) -> reporting_pb2.Journey:
    """The journey, once reporting has heard of the document: it follows routing by a moment."""

    async def ask() -> reporting_pb2.Journey | None:
        try:
            return await session.agency.journey(document_id)
        except NotFound:
            return None

    found = await session.connection.wait_until(ask, _CATCHING_UP)
    return found if found is not None else await session.agency.journey(document_id)


def tree(words: Words, journey: reporting_pb2.Journey) -> Tree:
    """The whole journey."""
    document = journey.document
    head = Styled(f"{tame_line(showing.code(document))}  ", style="bold").append(tame_line(document.subject))
    issued = (
        f"{document.organization}, {words('issued').lower()} {showing.moment(journey.issue_time, exact=True)}"
    )
    root = Tree(head.append(f"\n{issued}, {document.document_id}", style="dim"), guide_style="dim")
    for branch in journey.branches:
        _add_branch(words, root, branch)
    return root


def _add_branch(words: Words, root: Tree, branch: reporting_pb2.Branch) -> None:
    label = Styled(tame_line(branch.organization), style="bold cyan")
    if branch.node and branch.node != branch.organization:
        label.append(f" ({words('node').lower()} {tame_line(branch.node)})", style="dim")
    label.append("  ").append_text(showing.outcome(words, branch.outcome))
    if branch.arrival_number:
        label.append(f", {words('arrival_number').lower()} ")
        label.append(f"{branch.arrival_number:02d}", style="bold")
    judged = showing.worst(branch.verdicts)
    if judged is not None:
        label.append(", ").append_text(showing.verdict(words, judged.verdict, judged.level))
    recipient = root.add(label)
    _add_hops(words, recipient, branch)
    _add_statuses(words, recipient, branch)
    if branch.reason and shapes.outcome_name(branch.outcome) == "NOT_DELIVERED":
        recipient.add(Styled(tame_line(branch.reason), style="red"))


def _add_hops(words: Words, recipient: Tree, branch: reporting_pb2.Branch) -> None:
    # Nodes of other owners wrote these names into their receipts.
    names = [tame_line(hop.node) for hop in branch.hops]
    width = max(map(len, names), default=0)
    for hop, name in zip(branch.hops, names, strict=True):
        held = milliseconds(hop.in_time, hop.out_time)
        line = Styled(f"{words('node').lower()} {name:<{width}}  ")
        begin, end = showing.clock(hop.in_time), showing.clock(hop.out_time)
        line.append(f"{words('hop_in')} {begin}  {words('hop_out')} {end}")
        recipient.add(line.append(f"  {held:>9,.1f} ms", style="dim"))


def _add_statuses(words: Words, recipient: Tree, branch: reporting_pb2.Branch) -> None:
    facts = sorted(branch.statuses, key=lambda fact: fact.sequence)
    lines = [showing.status(words, fact.status) for fact in facts]
    width = max(map(len, lines), default=0)
    for fact, line in zip(facts, lines, strict=True):
        line.append(f"{'':<{width - len(line)}}  {showing.clock(fact.act_time)}", style="default")
        line.append(f"  {tame_line(fact.actor)}", style="dim")
        recipient.add(line.append(f": {tame_line(fact.reason)}" if fact.reason else ""))


def milliseconds(begin: Timestamp, end: Timestamp) -> float:
    """From one stamp to another; also out of range, which ToNanoseconds refuses: other nodes wrote them."""
    return (end.seconds - begin.seconds) * 1e3 + (end.nanos - begin.nanos) / 1e6
