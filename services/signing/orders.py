"""What a caller asks for, and whether this caller may: pure rules about purposes, owners and formats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lienthong.errors import InvalidArgument, PermissionDenied
from lienthong.rpc.identity import Caller, CallerKind

from services.signing.domain import IssueMark

_OPEN_XML: Final = "application/vnd.openxmlformats-officedocument."
_OPEN_XML_KINDS: Final = frozenset(
    {"wordprocessingml.document", "spreadsheetml.sheet", "presentationml.presentation"}
)
_OLE_MAGIC: Final = bytes.fromhex("D0CF11E0A1B11AE1")
_PDF_HEADER_WITHIN: Final = 1024  # ISO 32000-1, annex H.3.4.1
HEAD_BYTES: Final = _PDF_HEADER_WITHIN
_SHA256_BYTES: Final = 32

# As in the certificates with which clerks and clients connect (rpc/identity.py).
_CLERK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~%-]{0,127}")


class Format(StrEnum):
    """The two kinds of file that carry signatures."""

    PDF = "PDF"
    OOXML = "OOXML"


class Purpose(StrEnum):
    """Which signature is wanted."""

    PERSONAL = "PERSONAL"
    SEAL = "SEAL"
    ANNEX = "ANNEX"


@dataclass(frozen=True, slots=True)
class SignOrder:
    """One signature to make. `mark` is given for SEAL and ANNEX; `document_id` may be empty for PERSONAL.

    `media_type` is as the caller declared it, without parameters.
    """

    purpose: Purpose
    organization: str
    document_id: str
    format: Format
    mark: IssueMark | None
    clerk: str
    media_type: str


def bare_type(media_type: str) -> str:
    """Parameters and case do not matter (RFC 6838)."""
    return media_type.partition(";")[0].strip().lower()


def declared_format(media_type: str) -> Format | None:
    """What the media type announces."""
    kind = bare_type(media_type)
    if kind == "application/pdf":
        return Format.PDF
    if kind.removeprefix(_OPEN_XML) in _OPEN_XML_KINDS and kind.startswith(_OPEN_XML):
        return Format.OOXML
    return None


def actual_format(head: bytes) -> Format | None:
    """What the first bytes are. A zip that also has a PDF header is a zip: a polyglot passes for neither.

    A package with a password is an OLE container: its judge tells it from the binary files of before 2007.
    """
    if head.startswith((b"PK\x03\x04", _OLE_MAGIC)):
        return Format.OOXML
    return Format.PDF if b"%PDF-" in head[:_PDF_HEADER_WITHIN] else None


def require_format(declared: Format, head: bytes) -> None:
    """InvalidArgument("DOCUMENT_FORMAT") where the bytes are not what the media type says."""
    actual = actual_format(head)
    if actual is not declared:
        raise InvalidArgument(
            "DOCUMENT_FORMAT", "the file is not what its media type says", declared=declared, actual=actual
        )


def check_order(order: SignOrder) -> None:
    """A seal has fields to fill and an image to show: only PDF has a place for them."""
    if order.purpose is Purpose.SEAL and order.format is not Format.PDF:
        raise InvalidArgument("DOCUMENT_FORMAT", "only a PDF is sealed", field="header.media_type")


def check_detached(order: SignOrder) -> None:
    """A seal fills fields in the file: beside it there is none (decree 30/2020 wants it seen on the page)."""
    if order.purpose is Purpose.SEAL:
        raise InvalidArgument(
            "PURPOSE_INVALID", "beside a file only PERSONAL and ANNEX are signed", field="header.purpose"
        )


def check_sha256(sha256: bytes) -> None:
    """InvalidArgument("DIGEST_INVALID") unless it can be a SHA-256."""
    if len(sha256) != _SHA256_BYTES:
        raise InvalidArgument("DIGEST_INVALID", "a digest is 32 bytes of SHA-256", field="sha256")


def authorise(order: SignOrder, caller: Caller) -> None:
    """Keys obey their owners (design, section 10), or PermissionDenied("KEY_REFUSED").

    The method's access rule lets in leaders and routing of the own node; here is which of them gets what.
    """
    if order.purpose is Purpose.PERSONAL:
        if caller.kind is not CallerKind.ORGANIZATION or caller.role != "leader":
            raise _refused("a personal signature is made by the person alone", order, caller)
        if caller.organization != order.organization:
            raise _refused("a leader signs for the own organization", order, caller)
        return
    if caller.kind is not CallerKind.NODE:
        raise _refused("the agency's key is a clerk's, through routing", order, caller)
    if not _CLERK.fullmatch(order.clerk):
        raise _refused("the agency signs in the name of a clerk, and none is named", order, caller)


def _refused(message: str, order: SignOrder, caller: Caller) -> PermissionDenied:
    return PermissionDenied(
        "KEY_REFUSED", message, purpose=order.purpose, organization=order.organization, caller=caller
    )
