"""What the clients of the demo saw, as they saw it: the only source of checks, journal and screen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from lienthong.client import Fetched
from lienthong.registry.v1 import register_pb2
from lienthong.reporting.v1 import reporting_pb2
from lienthong.routing.v1 import inbox_pb2, submission_pb2
from lienthong.signing.v1 import signing_pb2
from lienthong.types.v1 import document_pb2
from lienthong.waterfall import Span

Report = signing_pb2.ValidateDocumentResponse

_SERVICE: Final = re.compile(r"lienthong\.([a-z]+)\.v\d+\.")


@dataclass(slots=True)
class Arrival:
    """One document at one recipient, by the recipient's own client."""

    organization: str
    node: str
    fetched: Fetched
    # By digest: what the recipient's own node said when its client asked for a judgement.
    judged: Mapping[bytes, Report]
    # Everything the inbox held of this document when the day was over.
    items: Sequence[inbox_pb2.Delivery] = ()


@dataclass(slots=True)
class Sent:
    """One document, from its sender's side and from its recipients'."""

    sender: str
    document_id: str
    recipients: tuple[str, ...]
    # Digest of each uploaded file, by name.
    sources: Mapping[str, bytes]
    submission: submission_pb2.Submission = field(default_factory=submission_pb2.Submission)
    arrivals: dict[str, Arrival] = field(default_factory=dict)
    receipts: Sequence[document_pb2.Receipt] = ()
    journey: reporting_pb2.Journey = field(default_factory=reporting_pb2.Journey)

    @property
    def document(self) -> document_pb2.Document:
        """As it was issued."""
        return self.submission.document

    def statuses(self, recipient: str) -> list[str]:
        """The status codes that reached the sender from one recipient, in the recipient's order."""
        found = [receipt for receipt in self.receipts if receipt.recipient == recipient]
        return [receipt.status for receipt in sorted(found, key=lambda receipt: receipt.sequence)]

    def receipt(self, recipient: str, status: str) -> document_pb2.Receipt | None:
        found = (r for r in self.receipts if r.recipient == recipient and r.status == status)
        return next(found, None)

    def branch(self, recipient: str) -> reporting_pb2.Branch:
        """The journey to one recipient; empty where the sender's node knows none."""
        found = (branch for branch in self.journey.branches if branch.organization == recipient)
        return next(found, reporting_pb2.Branch())


@dataclass(frozen=True, slots=True)
class Refusal:
    """What should be refused, and the stable reason; an empty one means that it was not."""

    case: str
    expected: str
    reason: str
    causes: str = ""


@dataclass(frozen=True, slots=True)
class Book:
    """One register as its own organization sees it."""

    organization: str
    outgoing: bool
    check: register_pb2.CheckRegisterResponse
    entries: Sequence[register_pb2.Entry]


@dataclass(slots=True)
class Day:
    """The whole day."""

    document: Sent
    reply: Sent
    killed_node: str = ""
    killed_at: str = ""
    refusals: list[Refusal] = field(default_factory=list)
    # Inbox items, by organization, that belong to neither document.
    strays: dict[str, int] = field(default_factory=dict)
    books: list[Book] = field(default_factory=list)
    spans: Sequence[Span] = ()
    timings_ms: dict[str, int] = field(default_factory=dict)

    @property
    def trace_id(self) -> str:
        return self.document.submission.trace_id

    @property
    def trace_nodes(self) -> list[str]:
        return sorted({span.node for span in self.spans})

    @property
    def trace_services(self) -> list[str]:
        """By the calls in the trace: one process hosts all services of a node here."""
        return sorted({found[1] for span in self.spans if (found := _SERVICE.search(span.name))})


@dataclass(frozen=True, slots=True)
class Totals:
    """The line at the end; every number is counted, none is known beforehand."""

    recipients: int
    delivered: int
    refused: int
    lost: int
    duplicated: int
    gaps: int


def count(day: Day) -> Totals:
    """Count what arrived where: by inboxes, receipts and registers."""
    document = day.document
    both = [(sent, code) for sent in (document, day.reply) for code in sent.recipients]
    items = [len(sent.arrivals[code].items) if code in sent.arrivals else 0 for sent, code in both]
    return Totals(
        recipients=len(document.recipients),
        delivered=sum(_delivered(document, code) for code in document.recipients),
        refused=sum("02" in document.statuses(code) for code in document.recipients),
        lost=items.count(0),
        duplicated=sum(max(0, number - 1) for number in items)
        + sum(day.strays.values())
        + sum(_doubled(book) for book in day.books),
        gaps=sum(len(book.check.missing) + book.check.reserved for book in day.books),
    )


def _delivered(sent: Sent, recipient: str) -> bool:
    """The client has the files, and the sender has the receipt."""
    receipt = sent.receipt(recipient, "01")
    return (
        recipient in sent.arrivals
        and receipt is not None
        and receipt.outcome == document_pb2.TRANSPORT_OUTCOME_DELIVERED
    )


def _doubled(book: Book) -> int:
    documents = [entry.description.document_id for entry in book.entries]
    return len(documents) - len(set(documents))
