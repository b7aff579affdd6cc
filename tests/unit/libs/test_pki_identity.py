"""Identities have one spelling, and nothing else parses."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from lienthong.clock import FakeClock
from lienthong.errors import InvalidArgument
from lienthong.pki.identity import MEMBERS, STANDALONE, Identity, Kind, identity_of, parse_identity
from lienthong.pki.testing import TestAuthority

codes = st.from_regex(r"[A-Z0-9]{1,3}(\.[A-Z0-9]{1,3}){0,7}", fullmatch=True)
names = st.from_regex(r"[a-z0-9-]{1,63}", fullmatch=True)
domains = st.sampled_from(["lienthong.test", "gov.vn", "a"])
identities = st.one_of(
    st.builds(Identity, domains, st.just(Kind.NODE), node=codes, service=names | st.just("")),
    st.builds(Identity, domains, st.just(Kind.ORGANIZATION), organization=codes),
    st.builds(Identity, domains, st.sampled_from(sorted(MEMBERS)), organization=codes, name=names),
    st.builds(Identity, domains, st.sampled_from(sorted(STANDALONE)), name=names),
)


@given(identities)
def test_what_is_formatted_parses_back(identity: Identity) -> None:
    assert parse_identity(identity.uri) == identity


@given(st.text(max_size=60) | st.text("spife:/nodrgtlkcaGH01.-\n", max_size=60).map("spiffe://t/".__add__))
def test_what_parses_is_spelled_in_the_one_way(text: str) -> None:
    with contextlib.suppress(InvalidArgument):
        assert parse_identity(text).uri == text


@pytest.mark.parametrize(
    "uri",
    [
        "spiffe://t/node/h01",
        "spiffe://t/node/H01/",
        "spiffe://t/node/H01/routing/x",
        "spiffe://t/node/H01.",
        "spiffe://t/node/H01\n",
        "spiffe://t//H01",
        "spiffe://T/node/H01",
        "spiffe://t:1/node/H01",
        "spiffe://u@t/node/H01",
        "spiffe://t/node/H01?x",
        "spiffe://t/org/G22/leader",
        "spiffe://t/org/G22/seal/x",
        "spiffe://t/org/G22/leader/Lê",
        "spiffe://t/org/" + "A" * 36,
        "spiffe://t/org/G22/leader/" + "a" * 64,
        "spiffe://t/operator/a/b",
        "https://t/node/H01",
        "",
    ],
)
def test_other_spellings_are_refused(uri: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse_identity(uri)
    assert refusal.value.reason == "IDENTITY_MALFORMED"


def test_an_identity_of_the_wrong_shape_cannot_be_made() -> None:
    with pytest.raises(InvalidArgument):
        Identity("t", Kind.NODE, organization="G22")
    with pytest.raises(InvalidArgument):
        Identity("t", Kind.ORGANIZATION, organization="G22", name="x")


def test_the_identity_of_an_issued_certificate(tmp_path: Path) -> None:
    clock = FakeClock()
    authority = TestAuthority.create(tmp_path, clock)
    found = identity_of(authority.tls_node("H01.15", "routing").certificate())
    assert found == Identity("lienthong.test", Kind.NODE, node="H01.15", service="routing")
    with pytest.raises(InvalidArgument) as refusal:
        identity_of(authority.root())
    assert refusal.value.reason == "IDENTITY_MISSING"


@pytest.mark.parametrize(
    ("uris", "reason"),
    [
        (["spiffe://t/org/G22", "spiffe://t/org/G09"], "IDENTITY_AMBIGUOUS"),
        (["spiffe://t/org/G22", "https://example.test"], "IDENTITY_AMBIGUOUS"),
        (["https://example.test"], "IDENTITY_MISSING"),
        (["spiffe://t/org/g22"], "IDENTITY_MALFORMED"),
    ],
)
def test_certificates_with_other_uris(uris: list[str], reason: str) -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), FakeClock.START
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in uris])
    certificate = (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 1, now, now)
        .add_extension(names, critical=True)
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(InvalidArgument) as refusal:
        identity_of(certificate)
    assert refusal.value.reason == reason
