"""What clerks type for a document or a delivery: `15/QĐ-BNV`, an id, or the beginning of one.

15/QĐ-BNV            number and notation
G22:15/QĐ-BNV        ... of that organization, where several sent the same
0198a1b2             the beginning of an id, at least 8 hexadecimal digits
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from lienthong.cli.exits import UsageRefused
from lienthong.errors import NotFound
from lienthong.reporting.v1 import reporting_pb2
from lienthong.routing.v1 import inbox_pb2, submission_pb2
from lienthong.times import vietnam_day
from lienthong.types.v1 import document_pb2

if TYPE_CHECKING:
    from lienthong.cli.session import Session
    from lienthong.client import Agency

_CODE: Final = re.compile(r"(?:(?P<organization>[A-Z0-9.]+):)?(?P<number>[0-9]{1,9})/(?P<notation>\S.{0,29})")
_BEGINNING: Final = re.compile(r"[0-9a-f]{8,31}")
_SHORTEST: Final = 8
_PAGES: Final = 100  # of 50 submissions: whoever looks for something older has its id

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reference:
    """One of: number and notation, a whole id, or its first hexadecimal digits."""

    text: str
    organization: str = ""
    number: int = 0
    notation: str = ""
    whole: str = ""
    beginning: str = ""

    def means(self, document: document_pb2.Document, *ids: str) -> bool:
        if self.number:
            return (
                document.number == self.number
                and _folded(document.notation) == _folded(self.notation)
                and self.organization in ("", document.organization)
            )
        if self.whole:
            return self.whole in (document.document_id, *ids)
        return any(_digits(name).startswith(self.beginning) for name in (document.document_id, *ids) if name)


def parse(text: str) -> Reference:
    """Read what was typed, or UsageRefused("REFERENCE_MALFORMED")."""
    plain = unicodedata.normalize("NFC", text.strip())
    code = _CODE.fullmatch(plain)
    if code is not None and int(code["number"]):
        notation = code["notation"].strip()
        return Reference(plain, code["organization"] or "", int(code["number"]), notation)
    digits = _digits(plain.lower())
    if re.fullmatch(r"[0-9a-f]{32}", digits):
        return Reference(plain, whole=str(uuid.UUID(digits)))
    if _BEGINNING.fullmatch(digits):
        return Reference(plain, beginning=digits)
    message = f"{text!r} is neither a code like 15/QĐ-BNV nor an id or its first {_SHORTEST} digits"
    raise UsageRefused("REFERENCE_MALFORMED", message, field="document")


async def find_submission(session: Session, text: str) -> submission_pb2.Submission:
    """The one submission of the own organization that is meant."""
    reference, agency = parse(text), session.agency
    if reference.whole:
        return await _by_id(agency, reference.whole)
    if reference.organization not in ("", session.organization):
        raise _unknown(reference)  # another's 15/X, not the own one that happens to have the same number
    if reference.number:
        documents = await _by_code(session, reference)
        if documents:
            document = _one(reference, documents, lambda d: _described(d.document_id, d))
            return await agency.submission(document_id=document.document_id)
    found: list[submission_pb2.Submission] = []
    page, token = await agency.submissions()
    for _ in range(_PAGES):
        found += [s for s in page if reference.means(s.document, s.submission_id)]
        if not token:
            break
        page, token = await agency.submissions(token)
    return _one(reference, found, lambda s: _described(s.submission_id, s.document))


async def find_delivery(session: Session, text: str) -> inbox_pb2.Delivery:
    """The one delivery to the own organization that is meant."""
    reference = parse(text)
    deliveries = await session.agency.inbox.all()
    found = [d for d in deliveries if reference.means(d.document, d.delivery_id)]
    return _one(reference, found, lambda d: _described(d.delivery_id, d.document))


async def answered(session: Session, text: str) -> document_pb2.AnsweredDocument:
    """The document that a reply answers: from the inbox if it is there, as typed if it says from whom."""
    reference = parse(text)
    deliveries = await session.agency.inbox.all()
    found = [d for d in deliveries if reference.means(d.document, d.delivery_id)]
    if not found and reference.number and reference.organization:
        code = f"{reference.number:02d}/{reference.notation}"
        return document_pb2.AnsweredDocument(organization=reference.organization, code=code)
    return answering(_one(reference, found, lambda d: _described(d.delivery_id, d.document)).document)


def answering(document: document_pb2.Document) -> document_pb2.AnsweredDocument:
    code = f"{document.number:02d}/{document.notation}" if document.number else ""
    return document_pb2.AnsweredDocument(
        document_id=document.document_id, organization=document.organization, code=code
    )


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """Each id's beginning, as short as tells them apart and can be typed back."""
    known = sorted(set(ids))
    length = _SHORTEST
    while length < 36 and len({name[:length] for name in known}) < len(known):
        length += 1
    # UUIDv7: the first 48 bits are milliseconds; a cut just behind a dash would look cut off.
    return {name: name[:length].rstrip("-") for name in known}


async def _by_id(agency: Agency, name: str) -> submission_pb2.Submission:
    """People copy either id: that of the document is on every screen."""
    try:
        return await agency.submission(document_id=name)
    except NotFound:
        return await agency.submission(name)


async def _by_code(session: Session, reference: Reference) -> list[document_pb2.Document]:
    """Asked of reporting, which knows by heart; it may be a moment behind, then the list is searched.

    Both years are asked: numbering begins anew on 1 January, and last year's 15/X is as likely to be meant.
    A code names no series of the register: where two series issued the same number and notation within a
    year, reporting answers with the later one; the other is found by its id.
    """
    found: list[document_pb2.Document] = []
    this_year = vietnam_day(session.connection.clock.now()).year
    for year in (this_year, this_year - 1):
        code = reporting_pb2.DocumentCode(
            organization=session.organization,
            number=reference.number,
            notation=reference.notation,
            year=year,
        )
        try:
            found.append((await session.agency.journey(code=code)).document)
        except NotFound:
            continue
    return found


def _one(reference: Reference, found: Sequence[T], describe: Callable[[T], str]) -> T:
    """The only one; several are listed, so that the person can say which."""
    if not found:
        raise _unknown(reference)
    if len(found) > 1:
        names = "; ".join(describe(one) for one in found[:10])
        message = f"{reference.text} may be each of {len(found)}: {names}"
        raise UsageRefused("REFERENCE_AMBIGUOUS", message, field="document")
    return found[0]


def _unknown(reference: Reference) -> NotFound:
    return NotFound("REFERENCE_UNKNOWN", f"nothing here is {reference.text}", field="document")


def _described(name: str, document: document_pb2.Document) -> str:
    code = f"{document.number:02d}/{document.notation}" if document.number else "-"
    words = (document.organization, code, document.issued_date, document.subject[:60])
    return f"{name} ({' '.join(word for word in words if word)})"


def _digits(text: str) -> str:
    return text.replace("-", "")


def _folded(notation: str) -> str:
    return unicodedata.normalize("NFC", notation).casefold()
