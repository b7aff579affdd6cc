"""Signed bytes: a changed bit, another's certificate, another root, another purpose: each is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lienthong import envelope
from lienthong.clock import FakeClock
from lienthong.envelope import Signer, require_sender, sign, sign_many, verify, verify_many
from lienthong.errors import DomainError, InvalidArgument, PermissionDenied
from lienthong.pki.identity import Identity, Kind
from lienthong.pki.issuing import Issued
from lienthong.pki.keys import FileKey, load_signing_key
from lienthong.pki.testing import TestAuthority
from lienthong.pki.trust import TrustStore
from lienthong.types.v1 import envelope_pb2

NOW = FakeClock.START
PAYLOAD = "Công văn 15/VPCP-KSTT (MẪU)".encode()
G22 = Identity("lienthong.test", Kind.ORGANIZATION, organization="G22")


def key_of(issued: Issued) -> FileKey:
    return load_signing_key(issued.key_path, issued.chain_path)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority.create(tmp_path_factory.mktemp("pki") / "test", NOW)


@pytest.fixture(scope="module")
def key(authority: TestAuthority) -> FileKey:
    return key_of(authority.organization_envelope("G22", "Văn phòng Chính phủ"))


@pytest.fixture(scope="module")
def trust(authority: TestAuthority) -> TrustStore:
    return TrustStore([authority.root()])


def reason(signed: envelope_pb2.SignedEnvelope, trust: TrustStore, later: timedelta = timedelta()) -> str:
    with pytest.raises(DomainError) as raised:
        verify(signed, trust, NOW + later)
    return raised.value.reason


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8 % len(data)] ^= 1 << bit % 8
    return bytes(changed)


def test_the_signer_is_proven_by_the_certificate(key: FileKey, trust: TrustStore) -> None:
    signer = verify(sign(PAYLOAD, key), trust, NOW)
    assert signer.identity == G22
    assert len(signer.certificate_fingerprint) == 64


def test_a_seal_may_sign_envelopes_too(authority: TestAuthority, trust: TrustStore) -> None:
    signed = sign(PAYLOAD, key_of(authority.agency_seal("G22", "Văn phòng Chính phủ")))
    assert signed.signatures[0].algorithm == envelope_pb2.SIGNATURE_ALGORITHM_RSA_PKCS1_SHA256
    assert verify(signed, trust, NOW).identity == G22
    signed.payload = PAYLOAD + b"."
    assert reason(signed, trust) == "SIGNATURE_INVALID"


@given(bit=st.integers(0, len(PAYLOAD) * 8 - 1))
def test_any_flipped_bit_of_the_payload_is_seen(key: FileKey, trust: TrustStore, bit: int) -> None:
    signed = sign(PAYLOAD, key)
    signed.payload = flipped(PAYLOAD, bit)
    assert reason(signed, trust) == "SIGNATURE_INVALID"


@given(bit=st.integers(0, 72 * 8))
def test_any_flipped_bit_of_the_signature_is_seen(key: FileKey, trust: TrustStore, bit: int) -> None:
    signed = sign(PAYLOAD, key)
    signed.signatures[0].value = flipped(signed.signatures[0].value, bit)
    assert reason(signed, trust) == "SIGNATURE_INVALID"


@settings(max_examples=60)
@given(bit=st.integers(0, 700 * 8), certificate=st.integers(0, 1))
def test_any_flipped_bit_of_the_chain_is_seen(
    key: FileKey, trust: TrustStore, bit: int, certificate: int
) -> None:
    signed = sign(PAYLOAD, key)
    chain = signed.signatures[0].certificate_chain
    chain[certificate] = flipped(chain[certificate], bit)
    assert reason(signed, trust).startswith(("CERTIFICATE_", "SIGNATURE_", "KEY_"))


@given(payload=st.binary(max_size=200))
def test_every_payload_survives_byte_for_byte(key: FileKey, trust: TrustStore, payload: bytes) -> None:
    carried = envelope_pb2.SignedEnvelope.FromString(sign(payload, key).SerializeToString())
    assert verify(carried, trust, NOW).identity == G22
    assert carried.payload == payload


def test_the_bare_payload_signed_is_no_envelope(key: FileKey, trust: TrustStore) -> None:
    signed = sign(PAYLOAD, key)
    for domain in (b"", b"lienthong grant v1\0"):
        signed.signatures[0].value = key.sign(domain + PAYLOAD)
        assert reason(signed, trust) == "SIGNATURE_INVALID"


def test_what_is_not_signed_or_signed_strangely(key: FileKey, trust: TrustStore) -> None:
    assert reason(envelope_pb2.SignedEnvelope(payload=PAYLOAD), trust) == "SIGNATURE_MISSING"
    signed = sign(PAYLOAD, key)
    for algorithm in (0, 2, 99):
        signed.signatures[0].algorithm = algorithm  # type: ignore[assignment]
        assert reason(signed, trust) == "SIGNATURE_INVALID"
    many = sign(PAYLOAD, key)
    many.signatures.extend([many.signatures[0]] * envelope.MAX_SIGNATURES)
    assert reason(many, trust) == "SIGNATURE_INVALID"


def test_every_signature_must_be_good(authority: TestAuthority, key: FileKey, trust: TrustStore) -> None:
    signed, other = sign(PAYLOAD, key), sign(PAYLOAD, key_of(authority.node_signer("H01")))
    signed.signatures.extend(other.signatures)
    first, second = envelope.verify_all(signed, trust, NOW)
    assert (first.identity, second.identity.node) == (G22, "H01")
    signed.signatures[1].value = signed.signatures[0].value
    assert reason(signed, trust) == "SIGNATURE_INVALID"


def test_another_root_is_refused(tmp_path: Path, trust: TrustStore) -> None:
    stranger = TestAuthority.create(tmp_path / "pki", NOW)
    assert (
        reason(sign(PAYLOAD, key_of(stranger.organization_envelope("G22"))), trust) == "CERTIFICATE_UNTRUSTED"
    )


def test_a_tls_key_signs_no_envelope(authority: TestAuthority, trust: TrustStore) -> None:
    assert reason(sign(PAYLOAD, key_of(authority.tls_node("H01"))), trust) == "CERTIFICATE_USAGE"


def test_an_expired_certificate_is_refused_although_cached(
    authority: TestAuthority, trust: TrustStore
) -> None:
    soon = NOW + timedelta(hours=1)
    signed = sign(PAYLOAD, key_of(authority.organization_envelope("G09", not_after=soon, label="short")))
    verify(signed, trust, NOW)
    assert reason(signed, trust, timedelta(hours=1, seconds=1)) == "CERTIFICATE_EXPIRED"
    assert reason(signed, trust, timedelta(days=-31)) == "CERTIFICATE_NOT_YET_VALID"


def test_batches_keep_order_and_judge_item_by_item(key: FileKey, trust: TrustStore) -> None:
    payloads = [f"MẪU {number}".encode() for number in range(101)]
    signed = sign_many(payloads, key)
    assert [one.payload for one in signed] == payloads
    signed[40].payload = b"changed"
    verdicts = verify_many(signed, trust, NOW)
    assert len(verdicts) == 101
    bad = verdicts.pop(40)
    assert isinstance(bad, InvalidArgument)
    assert bad.reason == "SIGNATURE_INVALID"
    assert all(isinstance(one, Signer) and one.identity == G22 for one in verdicts)
    assert sign_many([], key) == []


def test_nobody_speaks_for_another() -> None:
    node = Signer(Identity("lienthong.test", Kind.NODE, node="H01"), "f")
    agency = Signer(G22, "f")
    require_sender(agency, organization="G22")
    require_sender(agency, organization="G22", trust_domain="lienthong.test")
    require_sender(node, organization="G22", node="H01")
    member = Signer(Identity("lienthong.test", Kind.CLIENT, organization="G22", name="x"), "f")
    refused: list[tuple[Signer, dict[str, str]]] = [
        (agency, {"organization": "G09"}),
        (agency, {"organization": "G22.01"}),
        (agency, {"node": "G22"}),
        (agency, {"organization": "G22", "trust_domain": "other.test"}),
        (agency, {}),
        (node, {"node": "H01.15"}),
        (node, {"organization": "H01"}),
        (member, {"organization": "G22"}),
    ]
    for signer, wanted in refused:
        with pytest.raises(PermissionDenied) as raised:
            require_sender(signer, **wanted)
        assert raised.value.reason == "SENDER_MISMATCH"


def test_a_certificate_without_identity_is_bound_by_fingerprint(
    authority: TestAuthority, key: FileKey
) -> None:
    signed = sign(PAYLOAD, key)
    fingerprint = verify(signed, TrustStore([authority.root()]), NOW).certificate_fingerprint
    other = Identity("lienthong.test", Kind.ORGANIZATION, organization="G09")
    bound = TrustStore([authority.root()], bindings={fingerprint: other})
    assert verify(signed, bound, NOW).identity == other
