"""The rules of routing: what may be submitted, which way is next, how a delivery may be handled. Pure.

`lienthong.types.v1` documents are the values here: they are what is signed, and a second set of classes for
the same nouns would be a second home for each rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lienthong.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)
from lienthong.routing.v1 import submission_pb2
from lienthong.types.v1 import document_pb2

FORMAT_VERSION: Final = 1
MAX_RECIPIENTS: Final = 10_000
MAX_ATTACHMENTS: Final = 100
# Attachments up to this size ride in the batch (design section 8).
INLINE_BYTES: Final = 64 * 1024
# All small ones of a document together: what exceeds it travels from storage to storage like large ones. With
# recipients and signatures a transfer then stays below what a link takes (custody.py).
INLINE_IN_DOCUMENT: Final = 192 * 1024
# Signatures beside one file, and beside all files of a document.
MAX_DETACHED_SIGNATURES: Final = 4
MAX_DETACHED_BYTES: Final = 32 * 1024
MAX_DETACHED_IN_DOCUMENT: Final = 256 * 1024
STATUS_REASON_LETTERS: Final = 500

PDF: Final = "application/pdf"
OOXML_PREFIX: Final = "application/vnd.openxmlformats-officedocument."
OOXML: Final = frozenset(
    OOXML_PREFIX + kind
    for kind in ("wordprocessingml.document", "spreadsheetml.sheet", "presentationml.presentation")
)

# A neighbour service is away or has too much to do: true of every item alike, and no item is at fault.
AWAY: Final = (Unavailable, DeadlineExceeded, ResourceExhausted)

State = submission_pb2.SubmissionState
Document = document_pb2.Document
Attachment = document_pb2.Attachment


class Status(StrEnum):
    """Status codes of QCVN 102:2016 as official samples use them (transport: 01; handling: the others)."""

    ARRIVED = "01"
    REFUSED = "02"
    ACCEPTED = "03"
    ASSIGNED = "04"
    IN_PROGRESS = "05"
    COMPLETED = "06"


# Which status may follow which. Nothing moves back; 02 and 06 are final for the delivery.
FOLLOWING: Final[Mapping[Status, frozenset[Status]]] = {
    Status.ARRIVED: frozenset({Status.REFUSED, Status.ACCEPTED}),
    Status.REFUSED: frozenset(),
    Status.ACCEPTED: frozenset({Status.ASSIGNED, Status.IN_PROGRESS, Status.COMPLETED}),
    Status.ASSIGNED: frozenset({Status.IN_PROGRESS, Status.COMPLETED}),
    Status.IN_PROGRESS: frozenset({Status.COMPLETED}),
    Status.COMPLETED: frozenset(),
}


def parse_status(text: str) -> Status:
    """A status that a recipient may report, or InvalidArgument("STATUS_UNKNOWN"): 01 is the software's."""
    if text not in FOLLOWING or text == Status.ARRIVED:
        raise InvalidArgument(
            "STATUS_UNKNOWN", "a recipient reports 02, 03, 04, 05 or 06", field="status", status=text
        )
    return Status(text)


def check_status(current: Status, wanted: Status) -> None:
    """Raise FailedPrecondition STATUS_FINAL or STATUS_BACKWARDS unless `wanted` may follow `current`."""
    if wanted in FOLLOWING[current]:
        return
    reason = "STATUS_BACKWARDS" if FOLLOWING[current] else "STATUS_FINAL"
    raise FailedPrecondition(
        reason, f"status {wanted} cannot follow {current}", field="status", current=current, status=wanted
    )


@dataclass(frozen=True, slots=True)
class Tree:
    """The nodes with their parents: the default routes."""

    parents: Mapping[str, str]

    def next_hop(self, own: str, target: str) -> str | None:
        """The neighbour towards `target`: `own` when it is there, the child above it, else the parent.

        None where there is no way: the target is unknown at the root, or the tree does not know us.
        """
        if target == own:
            return own
        below = target
        for _ in range(len(self.parents)):
            parent = self.parents.get(below, "")
            if parent == own:
                return below
            if not parent:
                break
            below = parent
        return self.parents.get(own) or None

    def path(self, start: str, target: str) -> tuple[str, ...]:
        """The nodes from `start` to `target`, both included; empty where there is no way."""
        found = [start]
        while found[-1] != target:
            following = self.next_hop(found[-1], target)
            if following is None or following in found:
                return ()
            found.append(following)
        return tuple(found)

    def are_neighbours(self, one: str, other: str) -> bool:
        """Whether a link between the two belongs to the tree."""
        return self.parents.get(one) == other or self.parents.get(other) == one


def is_pdf(attachment: Attachment) -> bool:
    return attachment.media_type == PDF


# Lengths of QCVN 102:2016 and decree 30/2020, annex VI.
_LENGTHS: Final = (
    ("subject", 500, "SUBJECT_TOO_LONG"),
    ("type_name", 100, "FIELD_TOO_LONG"),
    ("signer_name", 50, "FIELD_TOO_LONG"),
    ("signer_position", 100, "FIELD_TOO_LONG"),
)
# Agency, state title, unit and field abbreviations joined by "-": decree 30/2020, annex I and III.


def check_document(document: Document) -> None:
    """Judge the metadata and the list of attachments by themselves; raises at the first fault."""
    if document.secrecy not in (document_pb2.SECRECY_UNSPECIFIED, document_pb2.SECRECY_NONE):
        raise FailedPrecondition(
            "SECRET_REFUSED", "documents declared secret do not travel here", field="document.secrecy"
        )
    if not document.subject.strip():
        raise InvalidArgument("SUBJECT_MISSING", "the subject is empty", field="document.subject")
    for name, limit, reason in _LENGTHS:
        length = len(getattr(document, name))
        if length > limit:
            raise InvalidArgument(
                reason,
                f"{name} has {length} characters, at most {limit} are allowed",
                field=f"document.{name}",
                length=length,
                limit=limit,
            )
    if len(document.answers) > 100:
        raise InvalidArgument(
            "TOO_MANY_ITEMS", "at most 100 answered documents", field="document.answers", limit=100
        )
    check_attachments(document.attachments)


def check_attachments(attachments: Sequence[Attachment]) -> None:
    """Exactly one MAIN, a PDF; names, digests and formats in order."""
    mains = [a for a in attachments if a.role == document_pb2.ATTACHMENT_ROLE_MAIN]
    if not mains:
        raise InvalidArgument(
            "MAIN_ATTACHMENT_MISSING", "no attachment has the role MAIN", field="document.attachments"
        )
    if len(mains) > 1:
        raise InvalidArgument(
            "MAIN_ATTACHMENT_DOUBLE",
            "more than one attachment has the role MAIN",
            field="document.attachments",
            count=len(mains),
        )
    if len(attachments) > MAX_ATTACHMENTS:
        raise InvalidArgument(
            "TOO_MANY_ITEMS",
            f"at most {MAX_ATTACHMENTS} attachments",
            field="document.attachments",
            limit=MAX_ATTACHMENTS,
        )
    for place, attachment in enumerate(attachments):
        _check_attachment(attachment, f"document.attachments[{place}]")
        _check_detached(attachment, f"document.attachments[{place}].detached_signatures")
    total = sum(len(signature) for a in attachments for signature in a.detached_signatures)
    if total > MAX_DETACHED_IN_DOCUMENT:
        raise InvalidArgument(
            "DETACHED_SIGNATURE_INVALID",
            "the signatures beside the files of a document are at most 256 KiB together",
            field="document.attachments",
            size_bytes=total,
            limit=MAX_DETACHED_IN_DOCUMENT,
        )


def _check_attachment(attachment: Attachment, field: str) -> None:
    if attachment.role == document_pb2.ATTACHMENT_ROLE_UNSPECIFIED:
        raise InvalidArgument("ATTACHMENT_ROLE_MISSING", "an attachment has no role", field=f"{field}.role")
    if not 0 < len(attachment.name) <= 500 or "/" in attachment.name or "\\" in attachment.name:
        raise InvalidArgument(
            "ATTACHMENT_NAME_INVALID",
            "a file name has 1 to 500 characters and no path",
            field=f"{field}.name",
        )
    if len(attachment.sha256) != 32:
        raise InvalidArgument("DIGEST_INVALID", "a digest is 32 bytes of SHA-256", field=f"{field}.sha256")
    is_main = attachment.role == document_pb2.ATTACHMENT_ROLE_MAIN
    if not is_pdf(attachment) and (is_main or attachment.media_type not in OOXML):
        raise InvalidArgument(
            "ATTACHMENT_FORMAT",
            "MAIN is a PDF, other attachments are PDF or Office Open XML",
            field=f"{field}.media_type",
            media_type=attachment.media_type,
        )


def _check_detached(attachment: Attachment, field: str) -> None:
    signatures = attachment.detached_signatures
    if len(signatures) > MAX_DETACHED_SIGNATURES:
        raise InvalidArgument(
            "DETACHED_SIGNATURE_INVALID",
            f"at most {MAX_DETACHED_SIGNATURES} signatures lie beside a file",
            field=field,
            count=len(signatures),
        )
    if any(not 0 < len(signature) <= MAX_DETACHED_BYTES for signature in signatures):
        raise InvalidArgument(
            "DETACHED_SIGNATURE_INVALID", "a signature beside a file has at most 32 KiB", field=field
        )


def check_recipients(recipients: Sequence[str]) -> None:
    """At least one, at most MAX_RECIPIENTS, none twice."""
    if not recipients:
        raise InvalidArgument("RECIPIENTS_MISSING", "there are no recipients", field="recipients")
    if len(recipients) > MAX_RECIPIENTS:
        raise InvalidArgument(
            "TOO_MANY_RECIPIENTS",
            f"at most {MAX_RECIPIENTS} recipients",
            field="recipients",
            limit=MAX_RECIPIENTS,
        )
    double = _first_double(recipients)
    if double is not None:
        raise InvalidArgument(
            "RECIPIENT_DUPLICATE", "a recipient stands twice", field="recipients", code=double
        )


def _first_double(codes: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for code in codes:
        if code in seen:
            return code
        seen.add(code)
    return None


def recipient_violations(reasons: Mapping[int, tuple[str, str]]) -> tuple[FieldViolation, ...]:
    """One violation for each recipient (place -> code, reason) that cannot receive."""
    return tuple(
        FieldViolation(f"recipients[{place}]", f"{code}: {reason}")
        for place, (code, reason) in sorted(reasons.items())
    )


def priority(urgency: int) -> int:
    """Place in the queue: hỏa tốc > thượng khẩn > khẩn > thường; what is not set is thường."""
    return max(urgency, document_pb2.URGENCY_ORDINARY)


def for_readers(document: Document) -> Document:
    """The document as events tell of it."""
    told = Document()
    told.CopyFrom(document)
    leave_out_signatures(told)
    return told


def leave_out_signatures(document: Document) -> None:
    """Where many documents are listed or told of: signatures beside files are many KB, a page of them would
    be no message any more, and whoever judges them has the envelope."""
    for attachment in document.attachments:
        del attachment.detached_signatures[:]
