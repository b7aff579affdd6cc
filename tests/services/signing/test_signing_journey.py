"""A document from its draft to its verdict, through the stubs: prepared, signed, sealed, stamped."""

from __future__ import annotations

import hashlib

import asyncpg
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from lienthong.errors import FailedPrecondition, InvalidArgument
from lienthong.signing.v1 import signing_pb2 as pb
from lienthong.types.v1 import document_pb2

from services.signing import store
from services.signing.orders import Purpose
from tests.services.signing import wire
from tests.services.signing.conftest import AGENCY, AS_CLIENT, AS_LEADER, LEADER, NODE, ROUTING, Site
from tests.support.documents import PLACEMENTS

VALID, INVALID = document_pb2.VERDICT_VALID, document_pb2.VERDICT_INVALID
_DER = Encoding.DER


async def test_whole_way_is_valid_with_both_signatures_number_and_date(site: Site, sealed: bytes) -> None:
    stamped = await wire.extended(site.signing(ROUTING), wire.PDF, sealed)
    report = await wire.validated(site.validation(AS_CLIENT), wire.PDF, stamped)
    assert (report.verdict, report.level, list(report.reasons)) == (VALID, "B-T", [])
    assert [(s.role, s.organization, s.level) for s in report.signatures] == [
        ("PERSONAL", AGENCY, "B-T"),
        ("AGENCY", AGENCY, "B-T"),
    ]
    assert (report.number, report.date) == ("05", "2026-02-05")
    seal = site.pki.authority.issued(f"org/{AGENCY}", "seal").certificate()
    assert report.signatures[1].certificate_fingerprint == hashlib.sha256(seal.public_bytes(_DER)).digest()
    assert all(s.timestamp_time.seconds >= s.signing_time.seconds for s in report.signatures)


async def test_a_stamped_document_comes_back_unchanged(site: Site, sealed: bytes) -> None:
    stub = site.signing(ROUTING)
    stamped = await wire.extended(stub, wire.PDF, sealed)
    assert stamped != sealed
    assert await wire.extended(stub, wire.PDF, stamped) == stamped


async def test_each_signature_is_in_the_audit_log_before_it_is_sent(
    site: Site, prepared: bytes, signed: bytes, sealed: bytes
) -> None:
    first, second = await store.signatures_of(site.database, wire.DOCUMENT_ID)
    assert (first.purpose, first.caller, first.clerk) == (
        Purpose.PERSONAL,
        f"org/{AGENCY}/leader/{LEADER}",
        "",
    )
    assert (second.purpose, second.caller, second.clerk) == (
        Purpose.SEAL,
        f"node/{NODE}/routing",
        "tran-thi-van-thu",
    )
    assert [r.organization for r in (first, second)] == [AGENCY, AGENCY]
    assert first.sha256_in == hashlib.sha256(prepared).digest()
    assert first.sha256_out == second.sha256_in == hashlib.sha256(signed).digest()
    assert second.sha256_out == hashlib.sha256(sealed).digest()
    leader = site.pki.authority.issued(f"org/{AGENCY}/leader/{LEADER}", "signing").certificate()
    assert first.key_fingerprint == hashlib.sha256(leader.public_bytes(_DER)).digest()


async def test_the_audit_log_cannot_be_rewritten(site: Site, signed: bytes) -> None:
    for statement in ("UPDATE signature SET clerk = 'x'", "DELETE FROM signature", "TRUNCATE signature"):
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await site.database.execute(statement)
    assert len(await store.signatures_of(site.database, wire.DOCUMENT_ID)) == 1


async def test_without_the_leader_nothing_is_sealed_nor_written_down(site: Site, prepared: bytes) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await wire.signed(site.signing(ROUTING), wire.agency(AGENCY), prepared)
    assert refusal.value.reason == "LEADER_SIGNATURE_MISSING"
    assert await store.signatures_of(site.database, wire.DOCUMENT_ID) == []


async def test_a_seal_is_made_once(site: Site, sealed: bytes) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await wire.signed(site.signing(ROUTING), wire.agency(AGENCY, number=6), sealed)
    assert refusal.value.reason == "FIELD_ALREADY_SIGNED"


async def test_a_document_that_is_not_prepared_is_signed_and_cannot_be_prepared_afterwards(
    site: Site, letter_bytes: bytes
) -> None:
    signed = await wire.signed(site.signing(AS_LEADER), wire.personal(AGENCY), letter_bytes)
    report = await wire.validated(site.validation(), wire.PDF, signed)
    assert (report.verdict, report.level) == (VALID, "B-T")
    with pytest.raises(InvalidArgument) as refusal:
        await wire.prepared(site.signing(AS_CLIENT), wire.prepare_header(PLACEMENTS), signed)
    assert refusal.value.reason == "DOCUMENT_ALREADY_SIGNED"


async def test_a_number_changed_after_the_seal_is_invalid(site: Site, sealed: bytes) -> None:
    place = sealed.index(b"/V (05)") if b"/V (05)" in sealed else sealed.rindex(b"/V ")
    changed = bytearray(sealed)
    changed[place + 4] ^= 1
    report = await wire.validated(site.validation(), wire.PDF, bytes(changed))
    assert report.verdict == INVALID
    assert report.reasons


async def test_an_annex_carries_the_agencys_signature(site: Site, letter_bytes: bytes) -> None:
    header = wire.agency(AGENCY, purpose=pb.SIGNING_PURPOSE_ANNEX)
    signed = await wire.signed(site.signing(ROUTING), header, letter_bytes)
    stamped = await wire.extended(site.signing(ROUTING), wire.PDF, signed)
    report = await wire.validated(site.validation(), wire.PDF, stamped)
    assert (report.verdict, report.level, report.signatures[0].role) == (VALID, "B-T", "AGENCY")
    assert (report.number, report.notation, report.date) == ("05", "CQM-TH", "2026-02-05")


async def test_nothing_to_stamp(site: Site, letter_bytes: bytes) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        await wire.extended(site.signing(ROUTING), wire.PDF, letter_bytes)
    assert refusal.value.reason == "SIGNATURE_MISSING"


async def test_a_place_outside_the_page_is_refused(site: Site, letter_bytes: bytes) -> None:
    header = wire.prepare_header(PLACEMENTS)
    header.number.left = 5000
    with pytest.raises(InvalidArgument) as refusal:
        await wire.prepared(site.signing(AS_CLIENT), header, letter_bytes)
    assert refusal.value.reason == "PLACEMENT_OUTSIDE_PAGE"
