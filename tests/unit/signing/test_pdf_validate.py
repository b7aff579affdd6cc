"""Verdicts: attacks on signed documents are INVALID with their reason, and nothing raises."""

import asyncio
import random
from datetime import timedelta
from pathlib import Path

import pytest
from asn1crypto import cms
from lienthong.clock import FakeClock
from lienthong.pki.trust import TrustStore
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter
from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner, SimpleSigner

from services.signing.domain import AGENCY_FIELD, LEADER_FIELD, Level, Reason, Verdict
from services.signing.pdf.opening import Limits, opened
from services.signing.pdf.signing import Placed, apply_signature, sign_leader
from services.signing.pdf.validating import Validator
from tests.support.documents import encrypted, letter, multiply_fields, set_text, swap_first_page, updated
from tests.support.signing import AGENCY_NAME, CODE, LEADER_LOOK, SigningWorld, load_signer


def test_a_number_changed_after_the_seal(world: SigningWorld, stamped: Path, tmp_path: Path) -> None:
    report = world.validator.validate(updated(stamped, tmp_path / "changed.pdf", set_text("lt_number", "99")))
    assert report.verdict is Verdict.INVALID
    assert Reason.CHANGED_AFTER_SEAL in report.reasons


async def test_a_seal_before_the_leader(world: SigningWorld, prepared: Path, tmp_path: Path) -> None:
    """The agency signs first, in a field without a lock: cryptographically sound, and not the law's order."""
    first, both = tmp_path / "first.pdf", tmp_path / "both.pdf"
    early = Placed("early", "", None, (0, 0), SigFieldSpec("early"))

    def seal_first() -> None:
        with opened(prepared) as reader:
            writer = IncrementalPdfFileWriter.from_reader(reader)
            apply_signature(writer, first, world.agency, world.clock.now(), early)

    await asyncio.to_thread(seal_first)
    assert world.validator.validate(first).verdict is Verdict.VALID
    report = world.validator.validate(await world.signed(first, both))
    assert report.verdict is Verdict.INVALID
    assert {Reason.SIGNATURE_ORDER, Reason.CHANGED_AFTER_SEAL} <= set(report.reasons)


def test_a_number_filled_before_the_seal_is_partial(
    world: SigningWorld, signed: Path, tmp_path: Path
) -> None:
    report = world.validator.validate(updated(signed, tmp_path / "filled.pdf", set_text("lt_number", "15")))
    assert (report.verdict, report.reasons) == (Verdict.PARTIAL, (Reason.CONTENT_NOT_COVERED,))
    assert report.signatures[0].verdict is Verdict.VALID
    assert report.number == "15"


@pytest.mark.parametrize("level", ["signed", "stamped"])
def test_a_swapped_page(
    world: SigningWorld, level: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    source: Path = request.getfixturevalue(level)
    report = world.validator.validate(updated(source, tmp_path / "swapped.pdf", swap_first_page))
    assert report.verdict is Verdict.INVALID
    assert report.reasons[0] in (Reason.CHANGED_AFTER_SIGNING, Reason.CHANGED_AFTER_SEAL)


def test_a_flipped_byte(world: SigningWorld, stamped: Path) -> None:
    data = bytearray(stamped.read_bytes())
    at = data.index(b"stream\n") + 40
    data[at] ^= 0x01
    stamped.write_bytes(data)
    report = world.validator.validate(stamped)
    assert report.verdict is Verdict.INVALID
    assert {s.verdict for s in report.signatures} == {Verdict.INVALID}
    assert Reason.DIGEST_MISMATCH in report.reasons


@pytest.mark.parametrize("junk", [b"junk", b"\n<script>", b"\n%%EOF\n", b"\n", b"\0" * 10])
def test_junk_after_the_end(world: SigningWorld, stamped: Path, junk: bytes) -> None:
    stamped.write_bytes(stamped.read_bytes() + junk)
    report = world.validator.validate(stamped)
    assert report.verdict is Verdict.INVALID
    assert {Reason.DATA_AFTER_END, Reason.DOCUMENT_BROKEN, Reason.CHANGED_AFTER_SEAL} & set(report.reasons)


def test_encrypted_truncated_empty_and_not_a_pdf(world: SigningWorld, stamped: Path, tmp_path: Path) -> None:
    data = stamped.read_bytes()
    (tmp_path / "truncated.pdf").write_bytes(data[:-2000])
    (tmp_path / "empty.pdf").write_bytes(b"")
    (tmp_path / "text.pdf").write_text("văn bản MẪU")
    found = {
        name: world.validator.validate(tmp_path / f"{name}.pdf").reasons
        for name in ("truncated", "empty", "text")
    }
    assert found["truncated"] in ((Reason.DOCUMENT_BROKEN,), (Reason.DATA_AFTER_END,))
    assert found["empty"] == found["text"] == (Reason.DOCUMENT_FORMAT,)
    report = world.validator.validate(encrypted(tmp_path / "secret.pdf"))
    assert (report.verdict, report.reasons) == (Verdict.INVALID, (Reason.DOCUMENT_ENCRYPTED,))


def test_an_unsigned_document(world: SigningWorld, tmp_path: Path) -> None:
    report = world.validator.validate(letter(tmp_path / "letter.pdf"))
    assert (report.verdict, report.signatures, report.level) == (Verdict.UNSIGNED, (), Level.NONE)


def test_a_malformed_cms(world: SigningWorld, stamped: Path) -> None:
    data = bytearray(stamped.read_bytes())
    at = data.rindex(b"/Contents <") + len(b"/Contents <")
    data[at : at + 8] = b"31ffffff"
    stamped.write_bytes(data)
    report = world.validator.validate(stamped)
    assert report.verdict is Verdict.INVALID
    assert Reason.SIGNATURE_MALFORMED in report.reasons
    by_field = {s.field_or_part: s for s in report.signatures}
    assert by_field[AGENCY_FIELD].reasons == (Reason.SIGNATURE_MALFORMED,)
    assert by_field[LEADER_FIELD].signer_name


def test_a_byte_range_that_leaves_out_more_than_the_signature(world: SigningWorld, stamped: Path) -> None:
    data = stamped.read_bytes()
    at = data.rindex(b"/ByteRange [")
    end = data.index(b"]", at)
    first, second, third, fourth = data[at + 12 : end].split()
    shifted = b" ".join((first, b"%d" % (int(second) - 10), b"%d" % (int(third)), b"%d" % (int(fourth) + 10)))
    stamped.write_bytes(data[: at + 12] + shifted.ljust(end - at - 12) + data[end:])
    report = world.validator.validate(stamped)
    assert report.verdict is Verdict.INVALID
    assert {Reason.BYTE_RANGE_INVALID, Reason.CONTENT_NOT_COVERED} & set(report.reasons)


async def test_a_certificate_that_expired_since(world: SigningWorld, prepared: Path, tmp_path: Path) -> None:
    """With a stamp from then it stays valid; without, nothing proves that it was valid."""
    soon = world.clock.now() + timedelta(days=2)
    leader = load_signer(
        world.authority.leader(CODE, "sap-het-han", "Lê Thị Mẫu", AGENCY_NAME, not_after=soon)
    )
    out = tmp_path / "signed.pdf"
    await sign_leader(prepared, out, leader, world.context, LEADER_LOOK, world.timestamper)
    later = FakeClock(soon + timedelta(days=30))
    trust = world.context.trust
    assert Validator(trust, trust, later).validate(out).verdict is Verdict.VALID
    _cut_stamp(out)
    report = Validator(trust, trust, later).validate(out)
    assert (report.verdict, report.reasons) == (Verdict.INVALID, (Reason.CERTIFICATE_EXPIRED,))


@pytest.mark.parametrize(("hours", "verdict"), [(-1, Verdict.INVALID), (1, Verdict.VALID)])
async def test_revocation_counts_from_its_date(
    world: SigningWorld, prepared: Path, tmp_path: Path, hours: int, verdict: Verdict
) -> None:
    name = f"thu-hoi-{hours + 1}"
    issued = world.authority.leader(CODE, name, "Phạm Văn Mẫu", AGENCY_NAME)
    out = tmp_path / "signed.pdf"
    await sign_leader(prepared, out, load_signer(issued), world.context, LEADER_LOOK, world.timestamper)
    world.authority.revoke(issued.certificate(), world.clock.now() + timedelta(hours=hours))
    world.authority.write_crl()
    authority = world.authority
    trust = TrustStore.load(authority.roots_path, authority.document_chain_path, authority.crl_paths)
    report = Validator(trust, trust, FakeClock(world.clock.now() + timedelta(days=3))).validate(out)
    assert report.verdict is verdict
    assert report.reasons == (() if verdict is Verdict.VALID else (Reason.CERTIFICATE_REVOKED,))


async def test_a_stamp_of_an_unknown_authority(world: SigningWorld, signed: Path) -> None:
    nobody = TrustStore([world.agency.certificate])
    report = Validator(world.context.trust, nobody, world.clock).validate(signed)
    assert (report.verdict, report.reasons) == (Verdict.INVALID, (Reason.TIMESTAMP_INVALID,))


def test_sha1_is_flagged(world: SigningWorld, prepared: Path, tmp_path: Path) -> None:
    issued = world.authority.issued(f"org/{CODE}/leader/nguyen-thi-mau", "signing")
    chain = (str(issued.chain_path),)
    old = SimpleSigner.load(str(issued.key_path), str(issued.certificate_path), ca_chain_files=chain)  # type: ignore[no-untyped-call]
    metadata = PdfSignatureMetadata(
        field_name=LEADER_FIELD, md_algorithm="sha1", subfilter=SigSeedSubFilter.PADES
    )
    with prepared.open("rb") as source, (tmp_path / "sha1.pdf").open("w+b") as target:
        PdfSigner(metadata, signer=old).sign_pdf(IncrementalPdfFileWriter(source), output=target)
    report = world.validator.validate(tmp_path / "sha1.pdf")
    assert (report.verdict, report.reasons) == (Verdict.INVALID, (Reason.ALGORITHM_WEAK,))


def test_limits_are_verdicts(world: SigningWorld, stamped: Path) -> None:
    trust = world.context.trust
    small = Validator(trust, trust, world.clock, Limits(max_bytes=1000)).validate(stamped)
    assert small.reasons == (Reason.DOCUMENT_TOO_COMPLEX,)
    few = Validator(trust, trust, world.clock, Limits(max_signatures=1)).validate(stamped)
    assert few.reasons == (Reason.DOCUMENT_TOO_COMPLEX,)
    hurried = Validator(trust, trust, world.clock, Limits(max_seconds=-1.0)).validate(stamped)
    assert hurried.reasons == (Reason.VALIDATION_TIME_LIMIT,)


def test_a_form_that_multiplies_is_refused_at_once(world: SigningWorld, tmp_path: Path) -> None:
    """Thirty levels of two references to the next one: two to the thirtieth fields for a naive walk."""
    source = updated(letter(tmp_path / "letter.pdf"), tmp_path / "bomb.pdf", multiply_fields)
    report = world.validator.validate(source)
    assert (report.verdict, report.reasons) == (Verdict.INVALID, (Reason.DOCUMENT_BROKEN,))


def test_no_damage_makes_it_raise_or_pass(world: SigningWorld, stamped: Path, tmp_path: Path) -> None:
    """Seeded damage at many places: a verdict each time, and never VALID outside the unsigned padding."""
    original = stamped.read_bytes()
    chance = random.Random(20260302)
    hurt = tmp_path / "hurt.pdf"
    for _ in range(60):
        data = bytearray(original)
        at = chance.randrange(len(data))
        data[at : at + 3] = bytes(chance.randrange(256) for _ in range(3))
        hurt.write_bytes(data)
        report = world.validator.validate(hurt)
        assert report.verdict is not Verdict.VALID or _in_contents(original, at), at


def _in_contents(data: bytes, at: int) -> bool:
    start = data.rfind(b"/Contents <", 0, at)
    return start >= 0 and at <= data.index(b">", start)


def _cut_stamp(path: Path) -> None:
    """Remove the unsigned attributes, as anybody can."""
    data = path.read_bytes()
    start = data.rindex(b"/Contents <") + len(b"/Contents <")
    end = data.index(b">", start)
    content = cms.ContentInfo.load(bytes.fromhex(data[start:end].decode()))
    content["content"]["signer_infos"][0]["unsigned_attrs"] = cms.CMSAttributes([])
    cut = content.dump().hex().encode().ljust(end - start, b"0")
    path.write_bytes(data[:start] + cut + data[end:])
