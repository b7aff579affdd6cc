"""Pure rules of reporting: facts out of events, branches out of receipts, counts out of facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum

from lienthong.errors import InvalidArgument, PermissionDenied

MAX_DAYS = 400
ARRIVED, REFUSED, ACCEPTED, COMPLETED = "01", "02", "03", "06"


class Outcome(Enum):
    """How the transport to one recipient ended."""

    NONE = 0
    DELIVERED = 1
    NOT_DELIVERED = 2


class Measure(Enum):
    """What is counted by organization and day; the values are the columns."""

    SENT = "sent"
    ADDRESSED = "addressed"
    DELIVERED = "delivered"
    RECEIVED = "received"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    COMPLETED = "completed"


HANDLED_MEASURES = {
    ACCEPTED: Measure.ACCEPTED,
    REFUSED: Measure.REFUSED,
    COMPLETED: Measure.COMPLETED,
}

Tally = Counter[tuple[str, date, Measure]]


@dataclass(frozen=True, slots=True)
class Code:
    """A document as people name it."""

    organization: str
    number: int
    notation: str
    year: int


@dataclass(frozen=True, slots=True)
class Issue:
    """A document left its organization; `document` is the message as sent."""

    document_id: str
    envelope_id: str
    code: Code
    document: bytes
    recipients: tuple[str, ...]
    submit_time: datetime
    issue_time: datetime
    trace_id: str
    day: date


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt that came back to the sender; `message` is all of it."""

    receipt_id: str
    document_id: str
    sender: str
    recipient: str
    sequence: int
    status: str
    outcome: Outcome
    receive_time: datetime
    day: date
    message: bytes


@dataclass(frozen=True, slots=True)
class Arrival:
    """A document reached an organization of this node."""

    delivery_id: str
    organization: str
    day: date


@dataclass(frozen=True, slots=True)
class Handling:
    """An organization of this node reported a status."""

    receipt_id: str
    organization: str
    status: str
    day: date


@dataclass(frozen=True, slots=True)
class Facts:
    """What a batch of events says. Order plays no part: each fact stands for itself."""

    issues: Sequence[Issue] = ()
    receipts: Sequence[Receipt] = ()
    arrivals: Sequence[Arrival] = ()
    handlings: Sequence[Handling] = ()


def tally(facts: Facts) -> Tally:
    """What new facts add to the counts."""
    counts: Tally = Counter()
    for issue in facts.issues:
        counts[issue.code.organization, issue.day, Measure.SENT] += 1
        counts[issue.code.organization, issue.day, Measure.ADDRESSED] += len(issue.recipients)
    for receipt in facts.receipts:
        if receipt.outcome is Outcome.DELIVERED:
            counts[receipt.sender, receipt.day, Measure.DELIVERED] += 1
    for arrival in facts.arrivals:
        counts[arrival.organization, arrival.day, Measure.RECEIVED] += 1
    for handling in facts.handlings:
        if handling.status in HANDLED_MEASURES:
            counts[handling.organization, handling.day, HANDLED_MEASURES[handling.status]] += 1
    return counts


@dataclass(frozen=True, slots=True)
class Journey:
    """An issued document and the receipts about it."""

    issue: Issue
    branches: tuple[Branch, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    """The journey to one recipient: how the transport ended, and the statuses since."""

    organization: str
    transport: Receipt | None = None
    statuses: tuple[Receipt, ...] = field(default=())

    @property
    def acceptance(self) -> Receipt | None:
        """The receipt that gave the arrival number."""
        return self._last(ACCEPTED)

    @property
    def refusal(self) -> Receipt | None:
        """The receipt that refused the document."""
        return self._last(REFUSED)

    def _last(self, status: str) -> Receipt | None:
        return next((receipt for receipt in reversed(self.statuses) if receipt.status == status), None)


def branches(recipients: Iterable[str], receipts: Iterable[Receipt]) -> tuple[Branch, ...]:
    """One for each recipient, also for one (a successor) that only a receipt names; by code.

    Statuses follow the number that their owner gave them. Clocks of other nodes order nothing.
    """
    known: dict[str, dict[str, Receipt]] = {recipient: {} for recipient in recipients}
    for receipt in receipts:
        known.setdefault(receipt.recipient, {}).setdefault(receipt.receipt_id, receipt)
    return tuple(_branch(organization, list(known[organization].values())) for organization in sorted(known))


def _branch(organization: str, receipts: Sequence[Receipt]) -> Branch:
    ordered = sorted(receipts, key=lambda receipt: (receipt.sequence, receipt.receipt_id))
    ends = [receipt for receipt in ordered if receipt.outcome is not Outcome.NONE]
    # Both cannot be (design R3); if they are, having the document is the fact that can be shown.
    ends.sort(key=lambda receipt: receipt.outcome is not Outcome.DELIVERED)
    return Branch(
        organization, ends[0] if ends else None, tuple(receipt for receipt in ordered if receipt.status)
    )


@dataclass(frozen=True, slots=True)
class Period:
    """Days, both included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        if self.last < self.first:
            raise InvalidArgument("DATE_INVALID", "the last day is before the first", field="to_date")
        if (self.last - self.first).days >= MAX_DAYS:
            raise InvalidArgument(
                "PERIOD_TOO_LONG", f"at most {MAX_DAYS} days", field="to_date", limit=MAX_DAYS
            )


@dataclass(frozen=True, slots=True)
class DailyCount:
    """One organization's day."""

    organization: str
    day: date
    counts: dict[Measure, int]


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks; an empty organization reads all (operators, auditors)."""

    organization: str = ""

    def check(self, organization: str) -> None:
        """PermissionDenied("ORGANIZATION_FOREIGN") for what belongs to another organization."""
        if self.organization and self.organization != organization:
            raise PermissionDenied(
                "ORGANIZATION_FOREIGN",
                "an organization reads its own figures only",
                organization=organization,
                caller=self.organization,
            )
