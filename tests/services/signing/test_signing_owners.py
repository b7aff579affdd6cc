"""Keys obey their owners, and certificates are judged before they sign."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from lienthong.clock import FakeClock
from lienthong.errors import DomainError, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from lienthong.pki.revocation import RevocationFiles
from lienthong.pki.testing import TestAuthority
from lienthong.pki.trust import TrustStore
from lienthong.signing.v1 import signing_pb2 as pb

from services.signing.keys import KeyRing, load_keys
from services.signing.store import signatures_of
from tests.services.signing import wire
from tests.services.signing.conftest import (
    AGENCY,
    AS_CLIENT,
    AS_LEADER,
    EXPIRED,
    KEYLESS,
    LEADER,
    NODE,
    OTHER_LEADER,
    REVOKED,
    ROUTING,
    Site,
)

SEAL, PERSONAL, ANNEX = pb.SIGNING_PURPOSE_SEAL, pb.SIGNING_PURPOSE_PERSONAL, pb.SIGNING_PURPOSE_ANNEX


async def refused(call: Any) -> DomainError:
    with pytest.raises(DomainError) as refusal:
        await call
    return refusal.value


AS_EXPIRED, AS_REVOKED = (f"org/{code}/leader/{LEADER}" for code in (EXPIRED, REVOKED))
REFUSALS = [
    # a leader's key is that leader's alone
    (f"org/{AGENCY}/clerk/tran-thi-van-thu", wire.personal(AGENCY), PermissionDenied, "ROLE_REFUSED"),
    (AS_CLIENT, wire.personal(AGENCY), PermissionDenied, "ROLE_REFUSED"),
    (ROUTING, wire.personal(AGENCY), PermissionDenied, "KEY_REFUSED"),
    (f"org/{AGENCY}/leader/khong-co-khoa", wire.personal(AGENCY), NotFound, "KEY_UNKNOWN"),
    (f"org/{EXPIRED}/leader/{LEADER}", wire.personal(AGENCY), PermissionDenied, "KEY_REFUSED"),
    # the agency's key is routing's of this node, in the name of a clerk
    (AS_LEADER, wire.agency(AGENCY), PermissionDenied, "KEY_REFUSED"),
    (AS_LEADER, wire.agency(AGENCY, purpose=ANNEX), PermissionDenied, "KEY_REFUSED"),
    ("node/G22/routing", wire.agency(AGENCY), PermissionDenied, "ROLE_REFUSED"),
    (f"node/{NODE}/storage", wire.agency(AGENCY), PermissionDenied, "ROLE_REFUSED"),
    (ROUTING, wire.agency(AGENCY, clerk=""), PermissionDenied, "KEY_REFUSED"),
    (ROUTING, wire.agency(AGENCY, clerk="a\nb"), PermissionDenied, "KEY_REFUSED"),
    (ROUTING, wire.agency(KEYLESS), NotFound, "KEY_UNKNOWN"),
    # what cannot be meant
    (ROUTING, wire.agency(AGENCY, media_type=wire.DOCX), InvalidArgument, "DOCUMENT_FORMAT"),
    (ROUTING, wire.agency(AGENCY, media_type="text/plain"), InvalidArgument, "DOCUMENT_FORMAT"),
    (ROUTING, wire.agency(AGENCY, number=0), InvalidArgument, "NUMBER_INVALID"),
    (ROUTING, wire.agency(AGENCY, notation="a b"), InvalidArgument, "NOTATION_INVALID"),
    (ROUTING, wire.agency(AGENCY, issued_date="05/02/2026"), InvalidArgument, "DATE_INVALID"),
    (ROUTING, wire.agency("h01/.."), InvalidArgument, "ORGANIZATION_MALFORMED"),
    (ROUTING, pb.SignDocumentHeader(organization=AGENCY), InvalidArgument, "PURPOSE_MISSING"),
    # certificates that may not sign any more
    (AS_EXPIRED, wire.personal(EXPIRED), FailedPrecondition, "SIGNER_CERTIFICATE_EXPIRED"),
    (AS_REVOKED, wire.personal(REVOKED), FailedPrecondition, "SIGNER_CERTIFICATE_REVOKED"),
    (ROUTING, wire.agency(EXPIRED), FailedPrecondition, "SIGNER_CERTIFICATE_EXPIRED"),
    (ROUTING, wire.agency(EXPIRED, purpose=ANNEX), FailedPrecondition, "SIGNER_CERTIFICATE_EXPIRED"),
]  # fmt: skip


async def test_who_may_not_sign_is_told_why(site: Site) -> None:
    for who, header, kind, reason in REFUSALS:
        # The header alone: a refusal needs no byte of the document.
        error = await refused(wire.signed(site.signing(who), header, b""))
        assert (type(error), error.reason) == (kind, reason), (who, header)
    assert await signatures_of(site.database, wire.DOCUMENT_ID) == []


async def test_each_leader_signs_with_the_own_key(site: Site, prepared: bytes) -> None:
    stub = site.signing(f"org/{AGENCY}/leader/{OTHER_LEADER}")
    signed = await wire.signed(stub, wire.personal(AGENCY), prepared)
    report = await wire.validated(site.validation(), wire.PDF, signed)
    assert [s.signer_name for s in report.signatures] == ["Lê Văn Mẫu (TEST - MẪU)"]


async def test_everyone_sees_the_keys_that_concern_them(site: Site) -> None:
    async def seen(who: str) -> list[str]:
        return [key.identity for key in (await site.signing(who).ListKeys(pb.ListKeysRequest())).keys]

    domain = "spiffe://lienthong.test"
    own = [f"{domain}/org/{AGENCY}"] * 2
    assert await seen(AS_CLIENT) == own
    assert await seen(AS_LEADER) == [*own, f"{domain}/org/{AGENCY}/leader/{LEADER}"]
    assert await seen(f"org/{KEYLESS}/clerk/mau") == []
    everything = await seen("operator/an")
    assert everything == await seen("auditor/binh")
    assert {f"{domain}/node/{NODE}", f"{domain}/org/{EXPIRED}", *own} <= set(everything)
    assert not any("tsa" in identity or "/client/" in identity for identity in everything)


async def test_a_listed_key_tells_algorithm_and_end(site: Site) -> None:
    keys = (await site.signing(AS_CLIENT).ListKeys(pb.ListKeysRequest())).keys
    assert {key.algorithm for key in keys} == {"RSA-2048", "P-256"}
    assert all(len(key.fingerprint) == 32 and key.expire_time.seconds > 0 for key in keys)


def ring_of(authority: TestAuthority, clock: FakeClock) -> tuple[KeyRing, TrustStore]:
    trust = TrustStore.load(authority.roots_path, authority.document_chain_path, authority.crl_paths)
    return KeyRing(load_keys(authority.folder / "issued", authority.trust_domain), trust, clock, NODE), trust


def test_of_two_keys_the_newest_that_may_sign_is_taken(tmp_path: Path) -> None:
    clock = FakeClock()
    authority = TestAuthority.create(tmp_path, clock)
    old = authority.organization_envelope(AGENCY, label="old").certificate()
    clock.advance(86400)
    new = authority.organization_envelope(AGENCY, label="new", revoked=True).certificate()
    ring, _ = ring_of(authority, clock)
    assert ring.organization_envelope(AGENCY).certificate == old
    shutil.rmtree(authority.folder / "issued" / "org" / AGENCY / "envelope-old")
    ring, _ = ring_of(authority, clock)
    with pytest.raises(FailedPrecondition) as refusal:
        ring.organization_envelope(AGENCY)
    assert refusal.value.reason == "SIGNER_CERTIFICATE_REVOKED"
    assert new.not_valid_before_utc > old.not_valid_before_utc


def test_a_revocation_counts_once_its_list_is_here(tmp_path: Path) -> None:
    clock = FakeClock()
    authority = TestAuthority.create(tmp_path, clock)
    issued = authority.organization_envelope(AGENCY)
    ring, trust = ring_of(authority, clock)
    lists = RevocationFiles(authority.crl_paths, trust, clock)
    assert ring.organization_envelope(AGENCY).certificate == issued.certificate()
    authority.revoke(issued.certificate())
    authority.write_crl()
    assert lists.refresh()
    assert not lists.refresh()
    with pytest.raises(FailedPrecondition) as refusal:
        ring.organization_envelope(AGENCY)
    assert refusal.value.reason == "SIGNER_CERTIFICATE_REVOKED"


async def test_not_ready_without_the_nodes_own_signer(tmp_path: Path) -> None:
    clock = FakeClock()
    authority = TestAuthority.create(tmp_path, clock)
    authority.node_signer("G22")
    ring, _ = ring_of(authority, clock)
    with pytest.raises(NotFound):
        await ring.check_ready()
    authority.node_signer(NODE)
    ring, _ = ring_of(authority, clock)
    await ring.check_ready()
