"""Every bad submission that the issue names, and more: how to make it, and how it is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from lienthong.client import ANNEX
from lienthong.client.agency import AlreadyIssued, IssueHere
from lienthong.errors import (
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
)
from lienthong.times import to_timestamp
from lienthong.types.v1 import document_pb2

from tests.services.routing.bench import Bench, Request
from tests.services.routing.conftest import LIMIT
from tests.services.routing.papers import (
    CLOSED,
    FIFTH,
    LEADER,
    OWN_SOFTWARE,
    SIXTH,
    issued,
)
from tests.support import ooxml
from tests.support.documents import (
    encrypted,
    letter,
    run_script_on_open,
    set_text,
    swap_first_page,
    updated,
)

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
OLE = bytes.fromhex("d0cf11e0a1b11ae1")
ATTACHMENTS = "document.attachments"


Make = Callable[[Bench], Awaitable[Request]]


async def main_of(bench: Bench, content: bytes) -> Request:
    return await bench.request(await bench.file(content))


async def annex_of(bench: Bench, content: bytes, media_type: str = DOCX) -> Request:
    return await bench.request(await bench.main(), await bench.file(content, ANNEX, media_type))


async def signed_bytes(bench: Bench) -> bytes:
    return (await bench.papers.signed(bench.site)).read_bytes()


async def never_uploaded(bench: Bench) -> Request:
    request = await bench.request()
    request.document.attachments[0].sha256 = hashlib.sha256(b"nobody has this").digest()
    request.document.attachments[0].size_bytes = 0
    return request


async def of_another(bench: Bench) -> Request:
    content = letter(bench.folder / "other.pdf", pages=2).read_bytes()
    return await bench.request(await bench.file(content, who=OWN_SOFTWARE))


async def wrong_size(bench: Bench) -> Request:
    request = await bench.request()
    request.document.attachments[0].size_bytes += 1
    return request


async def flipped(bench: Bench) -> Request:
    content = bytearray(await signed_bytes(bench))
    content[content.index(b"/Contents") - 40] ^= 1
    return await main_of(bench, bytes(content))


async def rewritten(bench: Bench) -> Request:
    source = await bench.papers.signed(bench.site)
    changed = updated(source, bench.folder / "changed.pdf", swap_first_page)
    return await main_of(bench, changed.read_bytes())


async def too_large(bench: Bench) -> Request:
    return await main_of(bench, await signed_bytes(bench) + bytes(LIMIT))


async def unsigned(bench: Bench) -> Request:
    return await main_of(bench, (await bench.papers.prepared(bench.site)).read_bytes())


async def unprepared(bench: Bench) -> Request:
    """Signed by the leader before the fields were placed: nothing could be filled or sealed."""
    path = bench.folder / "unprepared.pdf"
    await bench.site.agency(LEADER).signing.sign(bench.papers.letter(), path)
    return await main_of(bench, path.read_bytes())


async def numbered_beforehand(bench: Bench) -> Request:
    filled = updated(
        await bench.papers.prepared(bench.site), bench.folder / "filled.pdf", set_text("lt_number", "99")
    )
    path = bench.folder / "numbered.pdf"
    await bench.site.agency(LEADER).signing.sign(filled, path)
    return await main_of(bench, path.read_bytes())


async def scripted_annex(bench: Bench) -> Request:
    path = updated(letter(bench.folder / "plain.pdf"), bench.folder / "script.pdf", run_script_on_open)
    return await bench.request(await bench.main(), await bench.file(path.read_bytes(), ANNEX))


async def signed_by_another_agency(bench: Bench) -> Request:
    content = (await bench.papers.sealed(bench.site)).read_bytes()
    return await main_of(bench, content)


async def not_sealed(bench: Bench) -> Request:
    return await bench.request(issue=issued(3))


def with_fields(**fields: Any) -> Make:
    async def make(bench: Bench) -> Request:
        return await bench.request(**fields)

    return make


def changed(change: Callable[[Request], object]) -> Make:
    async def make(bench: Bench) -> Request:
        request = await bench.request()
        change(request)
        return request

    return make


def expiring(after: timedelta) -> Make:
    return changed(lambda r: r.expire_time.CopyFrom(to_timestamp(datetime.now(UTC) + after)))


def pdf_of(content: bytes) -> Make:
    async def make(bench: Bench) -> Request:
        return await main_of(bench, content)

    return make


def docx_of(content: bytes) -> Make:
    async def make(bench: Bench) -> Request:
        return await annex_of(bench, content)

    return make


async def locked(bench: Bench) -> Request:
    return await main_of(bench, encrypted(bench.folder / "locked.pdf").read_bytes())


async def truncated(bench: Bench) -> Request:
    return await main_of(bench, (await signed_bytes(bench))[:3000])


async def broken_package(bench: Bench) -> Request:
    content = ooxml.docx(bench.folder / "whole.docx").read_bytes()
    return await annex_of(bench, content[: len(content) // 2])


async def two_mains(bench: Bench) -> Request:
    return await bench.request(await bench.main(), await bench.main())


async def only_an_annex(bench: Bench) -> Request:
    return await bench.request(await bench.file(await signed_bytes(bench), ANNEX))


async def picture(bench: Bench) -> Request:
    return await bench.request(await bench.main(), await bench.file(b"\x89PNG", ANNEX, "image/png"))


FIRST, SECOND = f"{ATTACHMENTS}[0]", f"{ATTACHMENTS}[1]"
CASES: dict[str, tuple[Make, type[DomainError], str, str]] = {
    "unknown recipient": (
        with_fields(recipients=["X99"]),
        InvalidArgument,
        "RECIPIENT_UNKNOWN",
        "recipients[0]",
    ),
    "unknown beside a good one": (
        with_fields(recipients=[SIXTH, "X99"]),
        InvalidArgument,
        "RECIPIENT_UNKNOWN",
        "recipients[1]",
    ),
    "recipient that is no code": (
        with_fields(recipients=["../ H01"]),
        InvalidArgument,
        "RECIPIENT_UNKNOWN",
        "recipients[0]",
    ),
    "closed recipient": (
        with_fields(recipients=[CLOSED]),
        InvalidArgument,
        "RECIPIENT_CLOSED",
        "recipients[0]",
    ),
    "no recipients": (with_fields(recipients=[]), InvalidArgument, "RECIPIENTS_MISSING", "recipients"),
    "recipient twice": (
        with_fields(recipients=[SIXTH] * 2),
        InvalidArgument,
        "RECIPIENT_DUPLICATE",
        "recipients",
    ),
    "too many recipients": (
        with_fields(recipients=[f"H{n}" for n in range(10_001)]),
        InvalidArgument,
        "TOO_MANY_RECIPIENTS",
        "recipients",
    ),
    "no MAIN": (only_an_annex, InvalidArgument, "MAIN_ATTACHMENT_MISSING", ATTACHMENTS),
    "two MAIN": (two_mains, InvalidArgument, "MAIN_ATTACHMENT_DOUBLE", ATTACHMENTS),
    "subject over 500": (
        with_fields(subject="ề" * 501),
        InvalidArgument,
        "SUBJECT_TOO_LONG",
        "document.subject",
    ),
    "no subject": (with_fields(subject=""), InvalidArgument, "SUBJECT_MISSING", "document.subject"),
    "digest never uploaded": (never_uploaded, NotFound, "ATTACHMENT_MISSING", f"{FIRST}.sha256"),
    "uploaded by another": (of_another, NotFound, "ATTACHMENT_MISSING", f"{FIRST}.sha256"),
    "wrong size": (wrong_size, InvalidArgument, "SIZE_MISMATCH", f"{FIRST}.size_bytes"),
    "text that calls itself PDF": (pdf_of(b"plain text"), InvalidArgument, "ATTACHMENT_FORMAT", FIRST),
    "text that calls itself DOCX": (docx_of(b"plain text"), InvalidArgument, "ATTACHMENT_FORMAT", SECOND),
    "declared a picture": (picture, InvalidArgument, "ATTACHMENT_FORMAT", f"{SECOND}.media_type"),
    "encrypted PDF": (locked, InvalidArgument, "ATTACHMENT_ENCRYPTED", FIRST),
    "encrypted OOXML": (docx_of(OLE + bytes(4096)), InvalidArgument, "ATTACHMENT_ENCRYPTED", SECOND),
    "broken PDF": (truncated, InvalidArgument, "ATTACHMENT_BROKEN", FIRST),
    "broken OOXML": (broken_package, InvalidArgument, "ATTACHMENT_BROKEN", SECOND),
    "over the limit": (too_large, ResourceExhausted, "ATTACHMENT_TOO_LARGE", FIRST),
    "a bit changed after signing": (flipped, InvalidArgument, "ATTACHMENT_CHANGED", FIRST),
    "page changed after signing": (rewritten, InvalidArgument, "ATTACHMENT_CHANGED", FIRST),
    "leader has not signed": (unsigned, FailedPrecondition, "LEADER_SIGNATURE_MISSING", FIRST),
    "fields not placed": (unprepared, FailedPrecondition, "DOCUMENT_NOT_PREPARED", FIRST),
    "number filled beforehand": (numbered_beforehand, FailedPrecondition, "NUMBER_ALREADY_FILLED", FIRST),
    "script in an annex": (scripted_annex, InvalidArgument, "ATTACHMENT_ACTIVE_CONTENT", SECOND),
    "another agency's leader": (
        signed_by_another_agency,
        FailedPrecondition,
        "LEADER_SIGNATURE_MISSING",
        FIRST,
    ),
    "already issued, agency has not signed": (
        not_sealed,
        FailedPrecondition,
        "AGENCY_SIGNATURE_MISSING",
        FIRST,
    ),
    **{
        f"declared {name}": (
            with_fields(secrecy=secrecy),
            FailedPrecondition,
            "SECRET_REFUSED",
            "document.secrecy",
        )
        for name, secrecy in (
            ("Mật", document_pb2.SECRECY_CONFIDENTIAL),
            ("Tối mật", document_pb2.SECRECY_SECRET),
            ("Tuyệt mật", document_pb2.SECRECY_TOP_SECRET),
        )
    },
    "another organization's name": (
        with_fields(organization=FIFTH),
        PermissionDenied,
        "SENDER_FOREIGN",
        "document.organization",
    ),
    "request id that is no UUID": (
        changed(lambda r: setattr(r, "request_id", "17")),
        InvalidArgument,
        "ID_MALFORMED",
        "request_id",
    ),
    "no request id": (
        changed(lambda r: setattr(r, "request_id", "")),
        InvalidArgument,
        "ID_MALFORMED",
        "request_id",
    ),
    "document id that is no UUID": (
        with_fields(document_id="; DROP TABLE submission"),
        InvalidArgument,
        "ID_MALFORMED",
        "document.document_id",
    ),
    "no way in": (with_fields(issue=None), InvalidArgument, "ISSUE_MISSING", "issue"),
    "notation": (
        with_fields(issue=IssueHere(notation="15/QĐ BNV")),
        InvalidArgument,
        "NOTATION_INVALID",
        "issue_here.notation",
    ),
    "number zero": (
        with_fields(issue=issued(0)),
        InvalidArgument,
        "NUMBER_INVALID",
        "already_issued.number",
    ),
    "day that never was": (
        with_fields(issue=AlreadyIssued(number=1, notation="A", issued_date="2026-02-30")),
        InvalidArgument,
        "DATE_INVALID",
        "already_issued.issued_date",
    ),
    "due date": (with_fields(due_date="mai"), InvalidArgument, "DATE_INVALID", "document.due_date"),
    "expires in the past": (
        expiring(timedelta(seconds=-1)),
        InvalidArgument,
        "EXPIRE_TIME_INVALID",
        "expire_time",
    ),
    "expires in two years": (
        expiring(timedelta(days=730)),
        InvalidArgument,
        "EXPIRE_TIME_INVALID",
        "expire_time",
    ),
    "expires in no year": (
        changed(lambda r: setattr(r.expire_time, "seconds", 2**62)),
        InvalidArgument,
        "EXPIRE_TIME_INVALID",
        "expire_time",
    ),
}
