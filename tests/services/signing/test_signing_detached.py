"""Signatures beside a file through the stubs: who may, what is written down, what is judged."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from typing import Any

import pytest
from lienthong.errors import DomainError, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from lienthong.signing.v1 import signing_pb2 as pb
from lienthong.types.v1 import document_pb2

from services.signing.store import signatures_of
from tests.services.signing import wire
from tests.services.signing.conftest import (
    AGENCY,
    AS_CLIENT,
    AS_LEADER,
    EXPIRED,
    KEYLESS,
    LEADER,
    REVOKED,
    ROUTING,
    Site,
)

VALID, INVALID = document_pb2.VERDICT_VALID, document_pb2.VERDICT_INVALID
SEAL, ANNEX = pb.SIGNING_PURPOSE_SEAL, pb.SIGNING_PURPOSE_ANNEX
DIGEST = hashlib.sha256(b"MAU").digest()


async def signed(site: Site, who: str, header: pb.SignDocumentHeader, sha256: bytes = DIGEST) -> bytes:
    return (await site.signing(who).SignDigest(pb.SignDigestRequest(header=header, sha256=sha256))).signature


async def extended(site: Site, signature: bytes) -> bytes:
    request = pb.ExtendDetachedSignatureRequest(signature=signature)
    return (await site.signing(ROUTING).ExtendDetachedSignature(request)).signature


async def judged(site: Site, *signatures: bytes, sha256: bytes = DIGEST) -> pb.ValidateDocumentResponse:
    request = pb.ValidateDigestRequest(sha256=sha256, signatures=signatures)
    return (await site.validation(AS_CLIENT).ValidateDigest(request)).report


async def refused(call: Awaitable[Any]) -> DomainError:
    with pytest.raises(DomainError) as refusal:
        await call
    return refusal.value


async def test_a_leaders_comes_back_stamped(site: Site) -> None:
    signature = await signed(site, AS_LEADER, wire.personal(AGENCY))
    assert len(signature) <= 32 * 1024
    report = await judged(site, signature)
    assert (report.sha256, report.verdict, report.level) == (DIGEST, VALID, "B-T")
    [leader] = report.signatures
    assert (leader.place, leader.role, leader.organization) == ("0", "PERSONAL", AGENCY)
    assert leader.signer_name == "Nguyễn Thị Mẫu (TEST - MẪU)"
    assert leader.timestamp_time.seconds >= leader.signing_time.seconds > 0
    [row] = await signatures_of(site.database, wire.DOCUMENT_ID)
    assert (row.sha256_in, row.sha256_out) == (DIGEST, hashlib.sha256(signature).digest())
    assert (row.purpose, row.organization) == ("PERSONAL", AGENCY)


async def test_the_agencys_is_stamped_later_and_once(site: Site) -> None:
    header = wire.agency(AGENCY, purpose=ANNEX, media_type=wire.DOCX)
    signature = await signed(site, ROUTING, header)
    report = await judged(site, signature)
    assert (report.verdict, report.level, report.signatures[0].role) == (VALID, "B-B", "AGENCY")
    assert (report.number, report.notation, report.date) == ("05", "CQM-TH", "2026-02-05")
    stamped = await extended(site, signature)
    report = await judged(site, stamped)
    assert (report.verdict, report.level) == (VALID, "B-T")
    assert await extended(site, stamped) == stamped
    [row] = await signatures_of(site.database, wire.DOCUMENT_ID)
    assert (row.clerk, row.sha256_out) == ("tran-thi-van-thu", hashlib.sha256(signature).digest())


AS_EXPIRED, AS_REVOKED = (f"org/{code}/leader/{LEADER}" for code in (EXPIRED, REVOKED))
REFUSALS = [
    (AS_CLIENT, wire.personal(AGENCY), DIGEST, PermissionDenied, "ROLE_REFUSED"),
    (ROUTING, wire.personal(AGENCY), DIGEST, PermissionDenied, "KEY_REFUSED"),
    (AS_EXPIRED, wire.personal(AGENCY), DIGEST, PermissionDenied, "KEY_REFUSED"),
    (AS_LEADER, wire.agency(AGENCY, purpose=ANNEX), DIGEST, PermissionDenied, "KEY_REFUSED"),
    (ROUTING, wire.agency(AGENCY, purpose=ANNEX, clerk=""), DIGEST, PermissionDenied, "KEY_REFUSED"),
    (ROUTING, wire.agency(KEYLESS, purpose=ANNEX), DIGEST, NotFound, "KEY_UNKNOWN"),
    (ROUTING, wire.agency(AGENCY, purpose=SEAL), DIGEST, InvalidArgument, "PURPOSE_INVALID"),
    (AS_LEADER, pb.SignDocumentHeader(organization=AGENCY), DIGEST, InvalidArgument, "PURPOSE_MISSING"),
    (AS_LEADER, wire.personal(AGENCY, "text/plain"), DIGEST, InvalidArgument, "DOCUMENT_FORMAT"),
    (AS_LEADER, wire.personal(AGENCY), b"", InvalidArgument, "DIGEST_INVALID"),
    (AS_LEADER, wire.personal(AGENCY), bytes(20), InvalidArgument, "DIGEST_INVALID"),
    (AS_EXPIRED, wire.personal(EXPIRED), DIGEST, FailedPrecondition, "SIGNER_CERTIFICATE_EXPIRED"),
    (AS_REVOKED, wire.personal(REVOKED), DIGEST, FailedPrecondition, "SIGNER_CERTIFICATE_REVOKED"),
    (ROUTING, wire.agency(EXPIRED, purpose=ANNEX), DIGEST, FailedPrecondition, "SIGNER_CERTIFICATE_EXPIRED"),
]  # fmt: skip


async def test_who_may_not_sign_is_told_why_and_nothing_is_written(site: Site) -> None:
    for who, header, sha256, kind, reason in REFUSALS:
        error = await refused(signed(site, who, header, sha256))
        assert (type(error), error.reason) == (kind, reason), (who, header)
    assert await signatures_of(site.database, wire.DOCUMENT_ID) == []
    request = pb.ExtendDetachedSignatureRequest(signature=b"")
    error = await refused(site.signing(AS_LEADER).ExtendDetachedSignature(request))
    assert (type(error), error.reason) == (PermissionDenied, "ROLE_REFUSED")


async def test_what_is_no_signature_is_not_stamped(site: Site) -> None:
    signature = await signed(site, ROUTING, wire.agency(AGENCY, purpose=ANNEX))
    for broken in (b"", b"junk", signature[:-1], signature + b"\0", bytes(33 * 1024)):
        error = await refused(extended(site, broken))
        assert (type(error), error.reason) == (InvalidArgument, "DETACHED_SIGNATURE_BROKEN")


async def test_a_bad_signature_is_a_verdict(site: Site) -> None:
    leader = await signed(site, AS_LEADER, wire.personal(AGENCY))
    agency = await signed(site, ROUTING, wire.agency(AGENCY, purpose=ANNEX))
    both = await judged(site, leader, agency)
    assert (both.verdict, both.level) == (VALID, "B-B")
    assert [(s.place, s.role) for s in both.signatures] == [("0", "PERSONAL"), ("1", "AGENCY")]
    other = hashlib.sha256(b"another file").digest()
    report = await judged(site, leader, sha256=other)
    assert (report.verdict, list(report.reasons)) == (INVALID, ["DIGEST_MISMATCH"])
    for bad in (b"", b"junk", bytes(40 * 1024), leader[:-9]):
        report = await judged(site, leader, bad)
        assert (report.verdict, list(report.reasons)) == (INVALID, ["SIGNATURE_MALFORMED"])
        assert [s.verdict for s in report.signatures] == [VALID, INVALID]
    assert (await judged(site)).verdict == document_pb2.VERDICT_UNSIGNED


async def test_what_cannot_be_asked(site: Site) -> None:
    error = await refused(judged(site, sha256=b"short"))
    assert (type(error), error.reason) == (InvalidArgument, "DIGEST_INVALID")
    error = await refused(judged(site, *[b"x"] * 5))
    assert (type(error), error.reason) == (InvalidArgument, "TOO_MANY_ITEMS")
