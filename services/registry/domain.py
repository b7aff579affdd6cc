"""The nouns of the registry: organizations and nodes, books, entries and their descriptions. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import IntEnum, StrEnum
from uuid import UUID

from lienthong import notation

from services.registry.codes import CodeKey


class Tier(IntEnum):
    """Administrative level; the numbers are those of the contract."""

    CENTRAL = 1
    PROVINCE = 2
    DISTRICT = 3
    COMMUNE = 4
    OUTSIDE = 5


@dataclass(frozen=True, slots=True)
class Node:
    """One deployment of the five services; `parent` is empty at the root."""

    node: str
    parent: str
    name: str
    tier: Tier


@dataclass(frozen=True, slots=True)
class Organization:
    """An agency. `valid_to` is the first day on which it is closed. Aliases are sorted."""

    code: str
    name: str
    superior: str
    tier: Tier
    node: str
    valid_from: date
    valid_to: date | None
    aliases: tuple[CodeKey, ...]

    def unreachable(self, today: date) -> str:
        """Why it cannot receive today, as a stable reason; empty when it can."""
        if today < self.valid_from:
            return "ORGANIZATION_NOT_YET_OPEN"
        if self.valid_to is not None and today >= self.valid_to:
            return "ORGANIZATION_CLOSED"
        return "" if self.node else "ORGANIZATION_NOT_SERVED"


class Direction(IntEnum):
    """Which of the two registers; the numbers are those of the contract."""

    OUTGOING = 1
    INCOMING = 2


class EntryState(IntEnum):
    """The state of an entry; the numbers are those of the contract."""

    RESERVED = 1
    ISSUED = 2
    VOID = 3
    EXTERNAL = 4


class RecordKind(StrEnum):
    """What a record of a book tells."""

    RESERVE = "RESERVE"
    ISSUE = "ISSUE"
    VOID = "VOID"
    ARRIVE = "ARRIVE"
    EXTERNAL = "EXTERNAL"


@dataclass(frozen=True, slots=True, order=True)
class Register:
    """What the law calls one register: an organization, a direction, a year, a series."""

    organization: str
    direction: Direction
    year: int
    series: str


@dataclass(frozen=True, slots=True, order=True)
class BookKey:
    """One chain of records. A register has two: our own numbers, which must be 1..max without a gap, and
    `external` ones, given by the organization's own software, where a gap is not ours to explain."""

    register: Register
    external: bool = False


@dataclass(frozen=True, slots=True)
class Description:
    """What the columns of a register say of a document."""

    document_id: str = ""
    type_name: str = ""
    subject: str = ""
    signer: str = ""
    recipients: tuple[str, ...] = ()
    author: str = ""
    code: str = ""
    issued_date: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a register as it stands now; `last_seq` is the record that made it so."""

    entry_id: UUID
    book: BookKey
    number: int
    state: EntryState
    entry_date: date
    notation: str
    description: Description
    void_reason: str
    envelope_id: UUID | None
    last_seq: int
    change_time: datetime

    @property
    def printed_code(self) -> str:
        """Number and notation as printed; arrivals have no notation."""
        number = notation.printed_number(self.number)
        return notation.printed_code(self.number, self.notation) if self.notation else number
