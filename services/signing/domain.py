"""Words and pure rules of signing: verdicts, levels, places on a page, and how number and date are printed.

Shared by the PDF half and the Office Open XML half. No I/O, no grpc, no SQL.
"""

import datetime as dt
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Protocol

from lienthong.errors import InvalidArgument
from lienthong.notation import check_notation, printed_code
from lienthong.pki.identity import Identity, Kind
from lienthong.times import VIETNAM

SEAL_DIAMETER = 102.0  # 36 mm: the seal is shown in its real size

# Names of the four fields that PrepareDocument places; permanent, they are in documents that outlive us.
NUMBER_FIELD = "lt_number"
DATE_FIELD = "lt_date"
LEADER_FIELD = "lt_leader"
AGENCY_FIELD = "lt_agency"


class Verdict(StrEnum):
    """What a document, or one signature of it, is worth."""

    VALID = "VALID"
    PARTIAL = "PARTIAL"
    INVALID = "INVALID"
    UNSIGNED = "UNSIGNED"


class SignatureRole(StrEnum):
    """Whom a signing certificate speaks for."""

    PERSONAL = "PERSONAL"
    AGENCY = "AGENCY"
    OTHER = "OTHER"


class Level(IntEnum):
    """Baseline level of ETSI EN 319 142 (PAdES) and 319 132 (XAdES); ordered, so `level >= Level.B_T`."""

    NONE = 0
    B_B = 1
    B_T = 2
    B_LT = 3
    B_LTA = 4


class Reason(StrEnum):
    """Why a verdict is not VALID. Stable: reports carry them, clients and the advice key on them."""

    # one signature, any format
    SIGNATURE_MALFORMED = "SIGNATURE_MALFORMED"
    SIGNATURE_BROKEN = "SIGNATURE_BROKEN"
    DIGEST_MISMATCH = "DIGEST_MISMATCH"
    ALGORITHM_WEAK = "ALGORITHM_WEAK"
    CERTIFICATE_UNTRUSTED = "CERTIFICATE_UNTRUSTED"
    CERTIFICATE_EXPIRED = "CERTIFICATE_EXPIRED"
    CERTIFICATE_NOT_YET_VALID = "CERTIFICATE_NOT_YET_VALID"
    CERTIFICATE_REVOKED = "CERTIFICATE_REVOKED"
    CERTIFICATE_USAGE = "CERTIFICATE_USAGE"
    TIMESTAMP_INVALID = "TIMESTAMP_INVALID"
    # the document, any format
    CHANGED_AFTER_SIGNING = "CHANGED_AFTER_SIGNING"
    CHANGED_AFTER_SEAL = "CHANGED_AFTER_SEAL"
    CONTENT_NOT_COVERED = "CONTENT_NOT_COVERED"
    SIGNATURE_ORDER = "SIGNATURE_ORDER"
    DOCUMENT_FORMAT = "DOCUMENT_FORMAT"
    DOCUMENT_BROKEN = "DOCUMENT_BROKEN"
    DOCUMENT_ENCRYPTED = "DOCUMENT_ENCRYPTED"
    DOCUMENT_TOO_COMPLEX = "DOCUMENT_TOO_COMPLEX"
    DOCUMENT_ACTIVE_CONTENT = "DOCUMENT_ACTIVE_CONTENT"
    VALIDATION_TIME_LIMIT = "VALIDATION_TIME_LIMIT"
    # PDF
    DATA_AFTER_END = "DATA_AFTER_END"
    BYTE_RANGE_INVALID = "BYTE_RANGE_INVALID"
    # Office Open XML
    PART_NOT_SIGNED = "PART_NOT_SIGNED"
    RELATIONSHIP_NOT_SIGNED = "RELATIONSHIP_NOT_SIGNED"
    MAIN_PART_AMBIGUOUS = "MAIN_PART_AMBIGUOUS"
    TEMPLATE_ATTACHED = "TEMPLATE_ATTACHED"
    CONTENT_TYPE_CHANGED = "CONTENT_TYPE_CHANGED"
    DUPLICATE_ID = "DUPLICATE_ID"
    DUPLICATE_ENTRY = "DUPLICATE_ENTRY"
    DOCTYPE_PRESENT = "DOCTYPE_PRESENT"
    COMPRESSION_RATIO = "COMPRESSION_RATIO"


@dataclass(frozen=True, slots=True)
class SignatureReport:
    """Everything that was found about one signature."""

    field_or_part: str
    role: SignatureRole
    signer_name: str
    organization: str
    certificate_fingerprint: str
    level: Level
    signing_time: dt.datetime | None
    timestamp_time: dt.datetime | None
    verdict: Verdict
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """The judgement on a whole document; level is the lowest of its signatures."""

    verdict: Verdict
    level: Level = Level.NONE
    signatures: tuple[SignatureReport, ...] = ()
    reasons: tuple[Reason, ...] = ()
    number: str | None = None
    notation: str | None = None
    date: dt.date | None = None


def lowest_level(signatures: Iterable[SignatureReport]) -> Level:
    """The level a document as a whole may claim: a chain is as strong as its weakest signature."""
    return min((signature.level for signature in signatures), default=Level.NONE)


def level_of(stamped: dt.datetime | None, *, sound: bool) -> Level:
    """B-LT and above are for archives; a document on its way is judged as B-B or B-T."""
    if not sound:
        return Level.NONE
    return Level.B_T if stamped is not None else Level.B_B


def unreadable_signature(
    place: str, reasons: tuple[Reason, ...] = (Reason.SIGNATURE_MALFORMED,)
) -> SignatureReport:
    """The report on a signature that cannot be parsed."""
    return SignatureReport(
        place, SignatureRole.OTHER, "", "", "", Level.NONE, None, None, Verdict.INVALID, reasons
    )


class Timestamper(Protocol):
    """Gives RFC 3161 tokens; may take minutes in production, so it is never called under a lock."""

    async def timestamp(self, digest: bytes, algorithm: str) -> bytes:
        """Return a DER TimeStampToken over `digest` made by `algorithm` (`sha256`)."""
        ...


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A place on a page in PDF points; the origin is the lower left corner of the page as it is displayed."""

    page: int
    left: float
    bottom: float
    width: float
    height: float

    def __post_init__(self) -> None:
        edges = (self.left, self.bottom, self.width, self.height)
        if self.page < 0 or not all(math.isfinite(edge) for edge in edges) or min(edges) < 0:
            raise InvalidArgument("PLACEMENT_OUTSIDE_PAGE", "a placement has a negative or infinite edge")
        if self.width < 1 or self.height < 1:
            raise InvalidArgument("PLACEMENT_TOO_SMALL", "a placement is smaller than one point")

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def top(self) -> float:
        return self.bottom + self.height


@dataclass(frozen=True, slots=True)
class FieldPlacements:
    """Where the four fields of an issued document go; the layout of ND 30/2020 annex I decides, not we."""

    number: Rectangle
    date: Rectangle
    leader: Rectangle
    agency: Rectangle

    def by_name(self) -> dict[str, Rectangle]:
        return {
            NUMBER_FIELD: self.number,
            DATE_FIELD: self.date,
            LEADER_FIELD: self.leader,
            AGENCY_FIELD: self.agency,
        }


@dataclass(frozen=True, slots=True)
class PreparedFields:
    """What a prepared document carries: places by field name."""

    places: dict[str, Rectangle]


@dataclass(frozen=True, slots=True)
class Appearance:
    """What is seen of a signature: an image of the owner's, or a drawing of ours with these words."""

    name: str
    image: Path | None = None
    specimen: bool = False


@dataclass(frozen=True, slots=True)
class IssueMark:
    """Number, notation and date of an issue, as the register gave them."""

    number: int
    notation: str
    date: dt.date


def printed_notation(number: int, notation: str) -> str:
    """`15/QĐ-BNV`, of a notation that is one."""
    return printed_code(number, check_notation(notation, "notation"))


def printed_day(day: int) -> str:
    """ND 30/2020 annex I, II.4: days below 10 take a leading 0."""
    return f"{day:02d}"


def printed_month(month: int) -> str:
    """ND 30/2020 annex I, II.4: only months 1 and 2 take a leading 0 (`tháng 3`, never `tháng 03`)."""
    return f"{month:02d}" if month <= 2 else str(month)


def printed_date(date: dt.date) -> str:
    """ND 30/2020 annex I, II.4: `ngày 05 tháng 02 năm 2026`."""
    return f"ngày {printed_day(date.day)} tháng {printed_month(date.month)} năm {date.year}"


def printed_time(moment: dt.datetime) -> str:
    """ND 30/2020 annex I: time of signing, in Vietnam's zone by ISO 8601, the offset shown."""
    return moment.astimezone(VIETNAM).replace(microsecond=0).isoformat()


_DATE = re.compile(r"ngày (\d{1,2}) tháng (\d{1,2}) năm (\d{4})")


def parse_printed_date(text: str) -> dt.date | None:
    """The date a field prints, or None: text in foreign documents is free."""
    found = _DATE.fullmatch(" ".join(text.split()))
    if not found:
        return None
    day, month, year = map(int, found.groups())
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def split_number(text: str) -> tuple[str, str | None]:
    """`15/QĐ-BNV` -> (`15`, `QĐ-BNV`); a field that prints the number alone has no notation."""
    number, slash, notation = text.strip().partition("/")
    return number.strip(), (notation.strip() or None) if slash else None


def annex_text(mark: IssueMark, moment: dt.datetime) -> str:
    """ND 30/2020 annex I: number and notation of the document; time of signing by ISO 8601."""
    return f"{printed_notation(mark.number, mark.notation)}; {printed_time(moment)}"


def issue_statement(mark: IssueMark) -> str:
    """What a seal says it issues: signed with it, so number, notation and date can be read back."""
    return f"Phát hành văn bản số {printed_notation(mark.number, mark.notation)} ngày {mark.date:%d/%m/%Y}"


_STATEMENT = re.compile(r"Phát hành văn bản số (\d{2,9})/(\S{1,64}) ngày (\d{2})/(\d{2})/(\d{4})", re.ASCII)


def parse_issue_statement(text: str) -> IssueMark | None:
    """The mark that `issue_statement` wrote, or None for another's words."""
    found = _STATEMENT.fullmatch(text)
    if not found:
        return None
    number, notation, day, month, year = found.groups()
    try:
        return IssueMark(int(number), notation, dt.date(int(year), int(month), int(day)))
    except ValueError:
        return None


def role_of(identity: Identity) -> SignatureRole:
    """Whom a certificate speaks for: its organization, a person who may sign for it, or neither.

    A clerk is neither: the clerk seals what an authorised person signed (decree 30/2020, article 32.2), so a
    clerk's own signature must never pass for the leader's.
    """
    if identity.kind is Kind.ORGANIZATION:
        return SignatureRole.AGENCY
    return SignatureRole.PERSONAL if identity.kind is Kind.LEADER else SignatureRole.OTHER


def seal_over(leader: Rectangle, diameter: float = SEAL_DIAMETER) -> Rectangle:
    """Over the left third of the leader's signature (ND 30/2020 annex I), at the middle of its height."""
    left = leader.left + leader.width / 3 - diameter
    bottom = leader.bottom + (leader.height - diameter) / 2
    return Rectangle(leader.page, max(0.0, left), max(0.0, bottom), diameter, diameter)
