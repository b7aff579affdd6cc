"""The TEST hierarchy is trusted for what it was issued for, and refused with the right reason otherwise."""

from __future__ import annotations

import stat
import subprocess
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from lienthong.clock import FakeClock
from lienthong.errors import DomainError, InvalidArgument, PermissionDenied
from lienthong.pki import usage
from lienthong.pki.cache import BoundedCache
from lienthong.pki.issuing import Issued
from lienthong.pki.keys import Algorithm, load_signing_key
from lienthong.pki.testing import TestAuthority
from lienthong.pki.trust import TrustStore, Usages

NOW = FakeClock.START
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority.create(tmp_path_factory.mktemp("pki") / "test", NOW)


def trust_of(authority: TestAuthority) -> TrustStore:
    return TrustStore.load(authority.roots_path, crls=authority.crl_paths)


def refusal(
    trust: TrustStore, issued: Issued, at: timedelta = timedelta(), usages: Usages | None = None
) -> str:
    with pytest.raises(DomainError) as raised:
        trust.verify_chain(issued.certificate(), issued.chain(), NOW + at, usages)
    return raised.value.reason


def test_every_kind_is_trusted_for_its_purpose_only(authority: TestAuthority) -> None:
    trust = trust_of(authority)
    kinds = [
        (authority.tls_node("H01"), usage.TRANSPORT_USAGES),
        (authority.tls_client("G22", "clerk", "van-thu"), usage.TRANSPORT_USAGES),
        (authority.tls_client("", "operator", "op"), usage.TRANSPORT_USAGES),
        (authority.node_signer("H01"), usage.ENVELOPE_USAGES),
        (authority.organization_envelope("G22", "Văn phòng Chính phủ"), usage.ENVELOPE_USAGES),
        (authority.agency_seal("G22", "Văn phòng Chính phủ"), usage.DOCUMENT_USAGES),
        (authority.leader("G22", "nguyen-van-a", "Nguyễn Văn A"), usage.DOCUMENT_USAGES),
        (authority.timestamp_authority(), usage.TIMESTAMP_USAGES),
    ]
    for issued, purpose in kinds:
        trust.verify_chain(issued.certificate(), issued.chain(), NOW, purpose)
        for other in (usage.TRANSPORT_USAGES, usage.DOCUMENT_USAGES, usage.TIMESTAMP_USAGES):
            if other != purpose:
                assert refusal(trust, issued, usages=other) == "CERTIFICATE_USAGE"


def test_an_envelope_key_never_passes_for_a_seal(authority: TestAuthority) -> None:
    envelope = authority.organization_envelope("G09")
    assert refusal(trust_of(authority), envelope, usages=usage.DOCUMENT_USAGES) == "CERTIFICATE_USAGE"


def test_dates(authority: TestAuthority) -> None:
    trust = trust_of(authority)
    issued = authority.node_signer("H02", not_before=NOW - DAY, not_after=NOW + DAY, label="short")
    trust.verify_chain(issued.certificate(), issued.chain(), NOW)
    assert refusal(trust, issued, at=2 * DAY) == "CERTIFICATE_EXPIRED"
    assert refusal(trust, issued, at=-2 * DAY) == "CERTIFICATE_NOT_YET_VALID"
    trust.verify_chain(issued.certificate(), issued.chain(), NOW + DAY)
    assert refusal(trust, issued, at=DAY + timedelta(seconds=1)) == "CERTIFICATE_EXPIRED"


def test_revoked_from_its_date_on(authority: TestAuthority) -> None:
    issued = authority.node_signer("H03", label="revoked", revoked=True)
    trust = trust_of(authority)
    trust.verify_chain(issued.certificate(), issued.chain(), NOW - DAY)
    assert refusal(trust, issued) == "CERTIFICATE_REVOKED"
    assert refusal(trust, issued, at=DAY) == "CERTIFICATE_REVOKED"


def test_a_new_list_ends_what_was_cached(authority: TestAuthority) -> None:
    issued = authority.node_signer("H04")
    trust = trust_of(authority)
    trust.verify_chain(issued.certificate(), issued.chain(), NOW)
    authority.revoke(issued.certificate(), NOW - DAY)
    trust.replace_crls([x509.load_der_x509_crl(path.read_bytes()) for path in authority.write_crl()])
    assert refusal(trust, issued) == "CERTIFICATE_REVOKED"


def test_a_list_that_the_issuer_did_not_sign_says_nothing(authority: TestAuthority, tmp_path: Path) -> None:
    # Same names, other keys: only the signature tells them apart.
    stranger = TestAuthority.create(tmp_path / "pki", NOW)
    issued = authority.node_signer("H05")
    stranger.revoke(issued.certificate(), NOW - DAY)
    lists = [x509.load_der_x509_crl(path.read_bytes()) for path in stranger.write_crl()]
    assert any(len(list(crl)) for crl in lists)
    trust = TrustStore([authority.root()], crls=lists)
    trust.verify_chain(issued.certificate(), issued.chain(), NOW)


def test_another_root_and_a_missing_issuer_are_untrusted(authority: TestAuthority, tmp_path: Path) -> None:
    stranger = TestAuthority.create(tmp_path / "pki", NOW)
    assert refusal(trust_of(authority), stranger.node_signer("H01")) == "CERTIFICATE_UNTRUSTED"
    issued, trust = authority.node_signer("H01"), TrustStore([authority.root()])
    with pytest.raises(PermissionDenied) as raised:
        trust.verify_chain(issued.certificate(), (), NOW)
    assert raised.value.reason == "CERTIFICATE_UNTRUSTED"
    TrustStore([authority.root()], authority.intermediates()).verify_chain(issued.certificate(), (), NOW)


def test_an_authority_signs_only_certificates(authority: TestAuthority) -> None:
    trust = trust_of(authority)
    with pytest.raises(PermissionDenied) as raised:
        trust.verify_chain(authority.intermediates()[0], (), NOW)
    assert raised.value.reason == "CERTIFICATE_USAGE"


def test_an_end_certificate_issues_nothing(authority: TestAuthority) -> None:
    """The chain's middle is a leader's certificate: the signatures would fit, the right to issue does not."""
    leader = authority.leader("G22", "mallory", "TEST Mallory")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "TEST forged")])
    forged = x509.CertificateBuilder(
        leader.certificate().subject, name, key.public_key(), 7, NOW - DAY, NOW + DAY
    ).sign(leader.key(), hashes.SHA256())
    with pytest.raises(PermissionDenied) as raised:
        trust_of(authority).verify_chain(forged, leader.chain(), NOW)
    assert raised.value.reason == "CERTIFICATE_UNTRUSTED"


def test_hostile_chains_are_malformed(authority: TestAuthority) -> None:
    trust = trust_of(authority)
    good = authority.node_signer("H06").chain_der()
    for chain in ((), (b"",), (b"\x30\x80junk",), (good[0][:-1],), good * 4, (good[0] + bytes(20_000),)):
        with pytest.raises(InvalidArgument) as raised:
            trust.verify_der(chain, NOW)
        assert raised.value.reason == "CERTIFICATE_MALFORMED"


def test_the_cache_is_bounded_and_separates_purposes(authority: TestAuthority) -> None:
    trust = TrustStore([authority.root()], cached_chains=3)
    for number in range(6):
        trust.verify_der(authority.node_signer(f"H{number}").chain_der(), NOW, usage.ENVELOPE_USAGES)
    assert trust.cached == 3
    chain = authority.node_signer("H9").chain_der()
    known = trust.verify_der(chain, NOW, usage.ENVELOPE_USAGES)
    assert trust.verify_der(chain, NOW, usage.ENVELOPE_USAGES) is known
    with pytest.raises(PermissionDenied):
        trust.verify_der(chain, NOW, usage.TRANSPORT_USAGES)


def test_the_cache_forgets_the_least_recently_asked() -> None:
    cache: BoundedCache[str, int] = BoundedCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)


def test_keys_are_private_files_and_belong_to_their_certificates(
    authority: TestAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    seal, tls = authority.agency_seal("G12", "Bộ Tài chính"), authority.tls_node("G12")
    assert stat.S_IMODE(seal.key_path.stat().st_mode) == 0o600
    assert load_signing_key(seal.key_path, seal.chain_path).algorithm is Algorithm.RSA_PKCS1_SHA256
    key = load_signing_key(tls.key_path, tls.chain_path)
    assert key.algorithm is Algorithm.ECDSA_P256_SHA256
    assert key.chain == tls.chain_der()
    with pytest.raises(InvalidArgument) as raised:
        load_signing_key(seal.key_path, tls.chain_path)
    assert raised.value.reason == "KEY_CERTIFICATE_MISMATCH"
    with pytest.raises(InvalidArgument) as raised:
        load_signing_key(tls.chain_path, tls.chain_path)
    assert raised.value.reason == "KEY_UNREADABLE"
    assert "PRIVATE" not in repr(key)
    caplog.clear()
    tls.key_path.chmod(0o644)
    load_signing_key(tls.key_path, tls.chain_path)
    assert "readable by others" in caplog.text


def test_a_reopened_hierarchy_goes_on(authority: TestAuthority, tmp_path: Path) -> None:
    first = TestAuthority.create(tmp_path / "pki", NOW, "other.test")
    gone = first.node_signer("H01", label="gone", revoked=True)
    again = TestAuthority.open(tmp_path / "pki", FakeClock())
    issued = again.issue_many([partial(again.node_signer, "H01"), partial(again.tls_node, "H02")])
    trust = trust_of(again)
    for one in issued:
        trust.verify_chain(one.certificate(), one.chain(), NOW)
    assert again.issued("node/H01", "envelope").chain_der() == issued[0].chain_der()
    assert again.trust_domain == "other.test"
    again.write_crl()
    assert refusal(trust_of(again), gone) == "CERTIFICATE_REVOKED"
    with pytest.raises(FileExistsError):
        TestAuthority.create(tmp_path / "pki", NOW)


def test_subjects_say_who_and_that_it_is_a_test(authority: TestAuthority) -> None:
    subject = authority.agency_seal("G07", "Bộ Giáo dục " * 10).certificate().subject
    assert subject.get_attributes_for_oid(NameOID.ORGANIZATION_IDENTIFIER)[0].value == "G07"
    common_name = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    assert common_name.startswith("Bộ Giáo dục")
    assert common_name.endswith("(TEST - MẪU)")


@pytest.mark.oracle
def test_openssl_agrees(authority: TestAuthority) -> None:
    for issued in (authority.agency_seal("G22", "Văn phòng"), authority.tls_node("H01")):
        command = ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp()))]
        files = ["-CAfile", str(authority.roots_path), "-untrusted", str(issued.chain_path)]
        said = subprocess.run(
            [*command, *files, str(issued.certificate_path)], capture_output=True, text=True
        )
        assert said.returncode == 0, said.stderr
