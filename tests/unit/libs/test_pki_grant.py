"""Grants are believed from a routing service, before their expiry, and for what they say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lienthong.clock import FakeClock
from lienthong.errors import DomainError
from lienthong.grant import GRANT_DOMAIN, sign_grant, verify_grant
from lienthong.pki.issuing import Issued
from lienthong.pki.keys import FileKey, load_signing_key
from lienthong.pki.testing import TestAuthority
from lienthong.pki.trust import TrustStore
from lienthong.types.v1 import grant_pb2

NOW = FakeClock.START


def key_of(issued: Issued) -> FileKey:
    return load_signing_key(issued.key_path, issued.chain_path)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority.create(tmp_path_factory.mktemp("pki") / "test", NOW)


@pytest.fixture(scope="module")
def key(authority: TestAuthority) -> FileKey:
    return key_of(authority.tls_node("H01", "routing"))


@pytest.fixture(scope="module")
def trust(authority: TestAuthority) -> TrustStore:
    return TrustStore([authority.root()])


def pull(lifetime: timedelta = timedelta(minutes=5)) -> grant_pb2.GrantPayload:
    payload = grant_pb2.GrantPayload(
        purpose=grant_pb2.GRANT_PURPOSE_PULL, digests=[bytes(32)], peer_node="G22", transfer_id="MẪU"
    )
    payload.expire_time.FromDatetime(NOW + lifetime)
    return payload


def reason(signed: grant_pb2.SignedGrant, trust: TrustStore, clock: FakeClock | None = None) -> str:
    with pytest.raises(DomainError) as raised:
        verify_grant(signed, trust, clock or FakeClock())
    return raised.value.reason


def test_a_grant_says_who_gave_it_and_what_for(key: FileKey, trust: TrustStore) -> None:
    found = verify_grant(sign_grant(pull(), key), trust, FakeClock())
    assert (found.signer.node, found.signer.service) == ("H01", "routing")
    assert found.payload == pull()


def test_it_ends_at_its_expiry(key: FileKey, trust: TrustStore) -> None:
    signed = sign_grant(pull(timedelta(minutes=5)), key)
    verify_grant(signed, trust, FakeClock(NOW + timedelta(minutes=5, microseconds=-1)))
    assert reason(signed, trust, FakeClock(NOW + timedelta(minutes=5))) == "GRANT_EXPIRED"


@given(bit=st.integers(min_value=0, max_value=10_000))
def test_any_flipped_bit_is_seen(key: FileKey, trust: TrustStore, bit: int) -> None:
    signed = sign_grant(pull(), key)
    changed = bytearray(signed.payload)
    changed[bit // 8 % len(changed)] ^= 1 << bit % 8
    signed.payload = bytes(changed)
    assert reason(signed, trust) == "SIGNATURE_INVALID"


def test_only_routing_gives_grants(authority: TestAuthority, trust: TrustStore) -> None:
    verify_grant(sign_grant(pull(), key_of(authority.tls_node("H01"))), trust, FakeClock())
    for issued in (authority.tls_node("H01", "storage"), authority.tls_client("G22", "client", "x")):
        assert reason(sign_grant(pull(), key_of(issued)), trust) == "GRANT_INVALID"
    assert reason(sign_grant(pull(), key_of(authority.node_signer("H01"))), trust) == "CERTIFICATE_USAGE"


def test_an_envelope_signature_is_no_grant(key: FileKey, trust: TrustStore) -> None:
    signed = sign_grant(pull(), key)
    signed.signature.value = key.sign(b"lienthong envelope v1\0" + signed.payload)
    assert reason(signed, trust) == "SIGNATURE_INVALID"
    assert reason(grant_pb2.SignedGrant(payload=signed.payload), trust) == "SIGNATURE_MISSING"


def broken() -> list[grant_pb2.GrantPayload]:
    shapes = [pull() for _ in range(6)]
    shapes[0].purpose = grant_pb2.GRANT_PURPOSE_UNSPECIFIED
    shapes[1].purpose = grant_pb2.GRANT_PURPOSE_DOWNLOAD  # without an organization
    shapes[2].digests[0] = b"short"
    shapes[3].ClearField("digests")
    shapes[4].ClearField("expire_time")
    shapes[5].expire_time.seconds = 2**60
    return shapes


@pytest.mark.parametrize("payload", broken())
def test_grants_of_the_wrong_shape(key: FileKey, trust: TrustStore, payload: grant_pb2.GrantPayload) -> None:
    with pytest.raises(DomainError) as raised:
        sign_grant(payload, key)
    assert raised.value.reason == "GRANT_INVALID"
    signed = sign_grant(pull(), key)
    signed.payload = payload.SerializeToString()
    signed.signature.value = key.sign(GRANT_DOMAIN + signed.payload)
    assert reason(signed, trust) == "GRANT_INVALID"


def test_bytes_that_are_no_grant(key: FileKey, trust: TrustStore) -> None:
    signed = sign_grant(pull(), key)
    signed.payload = b"\xff\xff"
    signed.signature.value = key.sign(GRANT_DOMAIN + signed.payload)
    assert reason(signed, trust) == "GRANT_INVALID"
