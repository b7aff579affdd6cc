"""Signatures beside a file: made, stamped, judged; what an attacker can do to one is seen."""

# mypy: allow-untyped-calls

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import algos, cms
from cryptography import x509
from lienthong.clock import FakeClock
from lienthong.errors import InvalidArgument
from lienthong.pki.keys import SigningKey
from lienthong.pki.trust import TrustStore
from pyhanko.sign.general import simple_cms_attribute

from services.signing.detached import (
    MAX_SIGNATURE_BYTES,
    Statement,
    digest_to_stamp,
    make_signature,
    with_token,
)
from services.signing.detached_verdict import DetachedJudge
from services.signing.domain import Level, Reason, SignatureReport, SignatureRole, ValidationReport, Verdict
from services.signing.pdf.signer import DocumentSigner
from tests.support.ooxml import MARK, OoxmlWorld, key_of

CONTENT = b"MAU " * 1000
DIGEST = hashlib.sha256(CONTENT).digest()
PLAIN = Statement("application/pdf")


def signer_of(key: SigningKey) -> DocumentSigner:
    return DocumentSigner(
        key.certificate, [x509.load_der_x509_certificate(der) for der in key.chain[1:]], key
    )


@dataclass
class Desk:
    """Who signs, who stamps and who judges, at the fake clock's time."""

    office: OoxmlWorld

    def made(self, key: SigningKey, statement: Statement = PLAIN, digest: bytes = DIGEST) -> bytes:
        # As the service does, in a thread without an event loop.
        with ThreadPoolExecutor(1) as thread:
            moment = self.office.clock.now()
            return thread.submit(make_signature, signer_of(key), digest, statement, moment).result()

    async def stamped(self, signature: bytes) -> bytes:
        digest = digest_to_stamp(signature)
        assert digest is not None
        token = await self.office.timestamper.timestamp(digest, "sha256")
        return with_token(signature, digest, token, self.office.trust)

    def judged(
        self,
        *signatures: bytes,
        trust: TrustStore | None = None,
        stamps: TrustStore | None = None,
        later: timedelta = timedelta(),
    ) -> ValidationReport:
        clock = FakeClock(self.office.clock.now() + later)
        judge = DetachedJudge(trust or self.office.trust, stamps or self.office.trust, clock)
        return judge.validate(DIGEST, list(signatures), MAX_SIGNATURE_BYTES)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(OoxmlWorld.create(tmp_path_factory.mktemp("pki")))


@pytest.fixture(scope="module")
def signature(desk: Desk) -> bytes:
    """The leader's, B-B."""
    return desk.made(desk.office.leader)


def only(report: ValidationReport) -> SignatureReport:
    [found] = report.signatures
    return found


def why(report: ValidationReport) -> tuple[Verdict, tuple[Reason, ...]]:
    assert report.reasons == only(report).reasons
    return report.verdict, report.reasons


def changed(signature: bytes, change: Callable[[Any, Any], None]) -> bytes:
    """The signature with its signed data or its signer changed and encoded anew."""
    content = cms.ContentInfo.load(signature)
    signed = content["content"]
    change(signed, signed["signer_infos"][0])
    return bytes(content.dump())


async def test_a_leaders_signature_becomes_b_t(desk: Desk, signature: bytes) -> None:
    report = desk.judged(signature)
    assert (report.verdict, report.level, report.reasons) == (Verdict.VALID, Level.B_B, ())
    leader = only(report)
    assert (leader.role, leader.organization, leader.field_or_part) == (SignatureRole.PERSONAL, "G22", "0")
    assert leader.signing_time == desk.office.clock.now().replace(microsecond=0)
    stamped = await desk.stamped(signature)
    assert len(stamped) < MAX_SIGNATURE_BYTES
    report = desk.judged(stamped)
    assert (report.verdict, report.level) == (Verdict.VALID, Level.B_T)
    assert only(report).timestamp_time == desk.office.clock.now().replace(microsecond=0)
    assert digest_to_stamp(stamped) is None, "one token is enough"


@pytest.mark.parametrize("stamped", [False, True])
async def test_p256_signs_too(desk: Desk, stamped: bool) -> None:
    made = desk.made(desk.office.p256_key())
    report = desk.judged(await desk.stamped(made) if stamped else made)
    assert (report.verdict, only(report).role) == (Verdict.VALID, SignatureRole.PERSONAL)


def test_the_agencys_names_the_document_that_its_annex_belongs_to(desk: Desk, signature: bytes) -> None:
    sealed = desk.made(desk.office.agency, Statement("application/pdf", MARK))
    report = desk.judged(signature, sealed)
    assert report.verdict is Verdict.VALID
    assert [(s.field_or_part, s.role) for s in report.signatures] == [
        ("0", SignatureRole.PERSONAL),
        ("1", SignatureRole.AGENCY),
    ]
    assert (report.number, report.notation, report.date) == ("05", "CQM-TH", MARK.date)
    claimed = desk.judged(desk.made(desk.office.leader, Statement("application/pdf", MARK)))
    assert (claimed.verdict, claimed.number) == (Verdict.VALID, None), "a person vouches for no number"


async def test_the_level_is_the_lowest_and_one_bad_one_spoils_all(desk: Desk, signature: bytes) -> None:
    stamped = await desk.stamped(signature)
    assert desk.judged(stamped, signature).level is Level.B_B
    report = desk.judged(stamped, b"junk")
    assert (report.verdict, report.level) == (Verdict.INVALID, Level.NONE)
    assert [s.verdict for s in report.signatures] == [Verdict.VALID, Verdict.INVALID]
    assert desk.judged().verdict is Verdict.UNSIGNED


def test_another_file(desk: Desk) -> None:
    other = desk.made(desk.office.leader, digest=hashlib.sha256(b"other").digest())
    assert why(desk.judged(other)) == (Verdict.INVALID, (Reason.DIGEST_MISMATCH,))


def with_content(signed: Any, _: Any) -> None:
    signed["encap_content_info"] = cms.ContentInfo({"content_type": "data", "content": CONTENT})


def of_another_type(signed: Any, _: Any) -> None:
    signed["encap_content_info"] = {"content_type": "signed_data"}


def with_two_signers(signed: Any, signer: Any) -> None:
    signed["signer_infos"] = [signer.copy(), signer.copy()]


def with_no_signer(signed: Any, _: Any) -> None:
    signed["signer_infos"] = []


def without_certificates(signed: Any, _: Any) -> None:
    signed["certificates"] = []


def without_attributes(_: Any, signer: Any) -> None:
    signer["signed_attrs"] = None


def without(name: str) -> Callable[[Any, Any], None]:
    def change(_: Any, signer: Any) -> None:
        kept = [a for a in signer["signed_attrs"] if a["type"].native != name]
        assert len(kept) < len(signer["signed_attrs"])
        signer["signed_attrs"] = cms.CMSAttributes(kept)

    return change


def twice(name: str) -> Callable[[Any, Any], None]:
    def change(_: Any, signer: Any) -> None:
        again = [a for a in signer["signed_attrs"] if a["type"].native == name]
        signer["signed_attrs"] = cms.CMSAttributes([*signer["signed_attrs"], *again])

    return change


def digested_by(name: str) -> Callable[[Any, Any], None]:
    def change(_: Any, signer: Any) -> None:
        signer["digest_algorithm"] = algos.DigestAlgorithm({"algorithm": name})

    return change


def signed_by(name: str) -> Callable[[Any, Any], None]:
    def change(_: Any, signer: Any) -> None:
        signer["signature_algorithm"] = algos.SignedDigestAlgorithm({"algorithm": name})

    return change


def with_another_value(_: Any, signer: Any) -> None:
    value = bytearray(signer["signature"].native)
    value[-1] ^= 1
    signer["signature"] = bytes(value)


def with_another_time(_: Any, signer: Any) -> None:
    kept = [a for a in signer["signed_attrs"] if a["type"].native != "signing_time"]
    time = simple_cms_attribute("signing_time", cms.Time({"utc_time": "200101000000Z"}))
    signer["signed_attrs"] = cms.CMSAttributes([*kept, time])


def with_another_digest(_: Any, signer: Any) -> None:
    kept = [a for a in signer["signed_attrs"] if a["type"].native != "message_digest"]
    digest = simple_cms_attribute("message_digest", hashlib.sha256(b"other").digest())
    signer["signed_attrs"] = cms.CMSAttributes([*kept, digest])


MALFORMED, BROKEN, WEAK = Reason.SIGNATURE_MALFORMED, Reason.SIGNATURE_BROKEN, Reason.ALGORITHM_WEAK
ATTACKS: dict[str, tuple[Callable[[Any, Any], None], tuple[Reason, ...]]] = {
    "content inside": (with_content, (MALFORMED,)),
    "content of another type": (of_another_type, (MALFORMED,)),
    "two signers": (with_two_signers, (MALFORMED,)),
    "no signer": (with_no_signer, (MALFORMED,)),
    "no certificates": (without_certificates, (MALFORMED,)),
    "nothing signed but the digest": (without_attributes, (MALFORMED,)),
    "certificate not bound": (without("signing_certificate_v2"), (MALFORMED,)),
    "certificate bound twice": (twice("signing_certificate_v2"), (MALFORMED,)),
    "no digest": (without("message_digest"), (MALFORMED,)),
    "no content type": (without("content_type"), (MALFORMED,)),
    "digest twice": (twice("message_digest"), (MALFORMED,)),
    "MD5": (digested_by("md5"), (WEAK,)),
    "SHA-1": (digested_by("sha1"), (WEAK,)),
    "RSA with SHA-1": (signed_by("sha1_rsa"), (WEAK,)),
    "RSA with MD5": (signed_by("md5_rsa"), (WEAK,)),
    "SHA-512, which nobody computed": (digested_by("sha512"), (Reason.DIGEST_MISMATCH,)),
    "another value": (with_another_value, (BROKEN,)),
    "another time": (with_another_time, (BROKEN,)),
    "another digest": (with_another_digest, (Reason.DIGEST_MISMATCH, BROKEN)),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_an_attacker_changes(desk: Desk, signature: bytes, name: str) -> None:
    change, reasons = ATTACKS[name]
    attacked = changed(signature, change)
    assert attacked != signature
    assert why(desk.judged(attacked)) == (Verdict.INVALID, reasons)


def test_another_certificate_in_the_signers_place(desk: Desk, signature: bytes) -> None:
    ours = cms.ContentInfo.load(desk.made(desk.office.agency))["content"]

    def swap(signed: Any, signer: Any) -> None:
        signed["certificates"] = ours["certificates"].copy()
        signer["sid"] = ours["signer_infos"][0]["sid"].copy()

    assert why(desk.judged(changed(signature, swap))) == (Verdict.INVALID, (MALFORMED,))


async def test_a_token_of_another_signature(desk: Desk, signature: bytes) -> None:
    token = await desk.office.timestamper.timestamp(hashlib.sha256(b"another value").digest(), "sha256")
    digest = digest_to_stamp(signature)
    assert digest is not None
    with pytest.raises(InvalidArgument) as refusal:
        with_token(signature, digest, token, desk.office.trust)
    assert refusal.value.reason == "TIMESTAMP_INVALID"

    def swap(_: Any, signer: Any) -> None:
        attribute = {"type": "signature_time_stamp_token", "values": [cms.ContentInfo.load(token)]}
        signer["unsigned_attrs"] = cms.CMSAttributes([cms.CMSAttribute(attribute)])

    report = desk.judged(changed(signature, swap))
    assert why(report) == (Verdict.INVALID, (Reason.TIMESTAMP_INVALID,))
    assert only(report).timestamp_time is None
    good = await desk.stamped(signature)

    def add(_: Any, signer: Any) -> None:
        attribute = {"type": "signature_time_stamp_token", "values": [cms.ContentInfo.load(token)]}
        signer["unsigned_attrs"] = cms.CMSAttributes([*signer["unsigned_attrs"], cms.CMSAttribute(attribute)])

    assert why(desk.judged(changed(good, add))) == (Verdict.INVALID, (Reason.TIMESTAMP_INVALID,))


async def test_a_token_of_nobody_we_trust(desk: Desk, signature: bytes) -> None:
    nobody = TrustStore([desk.office.leader.certificate])
    report = desk.judged(await desk.stamped(signature), stamps=nobody)
    assert why(report) == (Verdict.INVALID, (Reason.TIMESTAMP_INVALID,))


async def test_an_expired_certificate_holds_while_stamped(desk: Desk) -> None:
    office = desk.office
    key = office.p256_key(ends=office.clock.now() + timedelta(days=1))
    made = desk.made(key)
    later = timedelta(days=2)
    assert why(desk.judged(made, later=later)) == (Verdict.INVALID, (Reason.CERTIFICATE_EXPIRED,))
    assert desk.judged(await desk.stamped(made), later=later).verdict is Verdict.VALID


@pytest.mark.parametrize(("hours", "verdict"), [(-1, Verdict.INVALID), (1, Verdict.VALID)])
async def test_a_certificate_revoked_before_or_after_the_stamp(
    desk: Desk, hours: int, verdict: Verdict
) -> None:
    authority, clock = desk.office.authority, desk.office.clock
    issued = authority.leader("G22", f"thu-hoi-{hours}".replace("--", "-truoc-"), "Phạm Văn Mẫu")
    stamped = await desk.stamped(desk.made(key_of(issued)))
    authority.revoke(issued.certificate(), clock.now() + timedelta(hours=hours))
    authority.write_crl()
    trust = TrustStore.load(authority.roots_path, authority.document_chain_path, authority.crl_paths)
    report = desk.judged(stamped, trust=trust, later=timedelta(days=3))
    assert report.verdict is verdict
    assert report.reasons == (() if verdict is Verdict.VALID else (Reason.CERTIFICATE_REVOKED,))


def test_a_stranger_and_a_key_for_something_else(desk: Desk, signature: bytes) -> None:
    nobody = TrustStore([desk.office.agency.certificate])
    report = desk.judged(signature, trust=nobody)
    assert why(report) == (Verdict.INVALID, (Reason.CERTIFICATE_UNTRUSTED,))
    envelope = key_of(desk.office.authority.organization_envelope("G22"))
    assert why(desk.judged(desk.made(envelope))) == (Verdict.INVALID, (Reason.CERTIFICATE_USAGE,))


def test_a_clerk_is_neither_leader_nor_agency(desk: Desk) -> None:
    clerk = key_of(desk.office.authority.clerk("G22", "van-thu", "Trần Thị Văn Thư"))
    report = desk.judged(desk.made(clerk))
    assert (report.verdict, only(report).role) == (Verdict.VALID, SignatureRole.OTHER)


async def test_hostile_bytes_are_a_verdict(desk: Desk, signature: bytes) -> None:
    stamped = await desk.stamped(signature)
    rng = random.Random(20261123)
    deep = b""
    for _ in range(4000):
        deep = b"\x30\x80" + deep
    hostile = [b"", b"\x30", b"\x30\x80", deep, bytes(100), b"%PDF-1.7", stamped + b"\0", bytes(40_000)]
    hostile += [stamped[: rng.randrange(len(stamped))] for _ in range(20)]
    for bytes_ in hostile:
        assert why(desk.judged(bytes_)) == (Verdict.INVALID, (MALFORMED,)), bytes_[:20]
        with pytest.raises(InvalidArgument) as refusal:
            digest_to_stamp(bytes_)
        assert refusal.value.reason == "DETACHED_SIGNATURE_BROKEN"
    start = stamped.index(DIGEST)
    for _ in range(60):
        flipped = bytearray(stamped)
        flipped[rng.randrange(len(stamped))] ^= 1 << rng.randrange(8)
        desk.judged(bytes(flipped))  # valid only where nothing signed was hit; it must not raise
        inside = bytearray(stamped)
        inside[start + rng.randrange(32)] ^= 1 << rng.randrange(8)
        assert desk.judged(bytes(inside)).verdict is Verdict.INVALID


def _openssl(*arguments: str | Path) -> str:
    path = shutil.which("openssl")
    if path is None:
        pytest.skip("ORACLE MISSING: openssl is not installed, so nobody independent judged this")
    done = subprocess.run(
        [path, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["leader", "agency", "p256"])
async def test_openssl_agrees(desk: Desk, tmp_path: Path, kind: str) -> None:
    office = desk.office
    key = office.p256_key() if kind == "p256" else getattr(office, kind)
    stamped = await desk.stamped(desk.made(key, Statement("application/pdf", MARK)))
    file, beside, token = (tmp_path / name for name in ("tep.pdf", "tep.pdf.p7s", "token.tst"))
    file.write_bytes(CONTENT)
    beside.write_bytes(stamped)
    moment = str(int(office.clock.now().timestamp()))
    trusted = ("-CAfile", office.authority.roots_path, "-attime", moment)
    verify = ("cms", "-verify", "-cades", "-binary", "-inform", "DER", "-purpose", "any", "-in", beside)
    said = _openssl(*verify, "-content", file, *trusted, "-out", tmp_path / "out")
    assert "CAdES Verification successful" in said, said
    assert (tmp_path / "out").read_bytes() == CONTENT
    signer = cms.ContentInfo.load(stamped)["content"]["signer_infos"][0]
    token.write_bytes(signer["unsigned_attrs"][0]["values"][0].dump())
    digest = hashlib.sha256(signer["signature"].native).hexdigest()
    said = _openssl("ts", "-verify", "-digest", digest, "-in", token, "-token_in", *trusted)
    assert "Verification: OK" in said, said
    file.write_bytes(CONTENT + b"!")
    said = _openssl(*verify, "-content", file, *trusted, "-out", tmp_path / "out")
    assert "successful" not in said, said
