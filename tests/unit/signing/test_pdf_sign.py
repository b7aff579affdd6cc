"""The law's order: the leader signs, the clerk numbers and dates, the agency seals, the authority stamps."""

import asyncio
import functools
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from lienthong.errors import DomainError
from lienthong.pki.trust import TrustStore
from PIL import Image

from services.signing.domain import (
    AGENCY_FIELD,
    LEADER_FIELD,
    Appearance,
    IssueMark,
    Level,
    Rectangle,
    SignatureRole,
    Verdict,
)
from services.signing.pdf.drawings import text_lines
from services.signing.pdf.extending import extend
from services.signing.pdf.preparing import prepare
from services.signing.pdf.sealing import seal, sign_annex
from services.signing.pdf.signer import DocumentSigner
from services.signing.pdf.signing import SigningContext, sign_leader, sign_personal
from services.signing.pdf.validating import Validator
from tests.support.documents import PLACEMENTS, add_indirect_form, annex, letter, set_text, updated
from tests.support.signing import (
    AGENCY_NAME,
    CODE,
    LEADER_LOOK,
    LEADER_NAME,
    MARK,
    SEAL_LOOK,
    SigningWorld,
    load_signer,
)


def _seal_refusal(
    world: SigningWorld,
    source: Path,
    tmp_path: Path,
    agency: DocumentSigner | None = None,
    mark: IssueMark = MARK,
) -> str:
    with pytest.raises(DomainError) as caught:
        seal(
            source,
            tmp_path / "no.pdf",
            mark,
            agency or world.agency,
            world.context,
            world.validator,
            SEAL_LOOK,
        )
    assert not (tmp_path / "no.pdf").exists()
    return caught.value.reason


async def test_the_leader_signs_with_a_stamp(world: SigningWorld, signed: Path) -> None:
    report = world.validator.validate(signed)
    assert (report.verdict, report.level) == (Verdict.VALID, Level.B_T)
    (leader,) = report.signatures
    assert (leader.field_or_part, leader.role, leader.organization) == (
        LEADER_FIELD,
        SignatureRole.PERSONAL,
        CODE,
    )
    assert leader.signer_name.startswith(LEADER_NAME)
    assert leader.signing_time == world.clock.now()
    assert leader.timestamp_time == world.clock.now()


async def test_sealed_then_stamped(world: SigningWorld, sealed: Path, stamped: Path) -> None:
    before, after = world.validator.validate(sealed), world.validator.validate(stamped)
    assert (before.verdict, before.level) == (Verdict.VALID, Level.B_B)
    assert (after.verdict, after.level) == (Verdict.VALID, Level.B_T)
    assert [s.field_or_part for s in after.signatures] == [LEADER_FIELD, AGENCY_FIELD]
    assert [s.role for s in after.signatures] == [SignatureRole.PERSONAL, SignatureRole.AGENCY]
    assert (after.number, after.notation, after.date) == ("05", "CQM-TH", date(2026, 2, 5))


async def test_stamping_keeps_every_signed_byte(sealed: Path, stamped: Path) -> None:
    old, new = sealed.read_bytes(), stamped.read_bytes()
    changed = [at for at, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
    contents = old.rindex(b"/Contents <")
    assert changed
    assert contents < changed[0] <= changed[-1] < old.index(b">", contents)


async def test_stamping_twice_asks_once_and_changes_nothing(
    world: SigningWorld, stamped: Path, tmp_path: Path
) -> None:
    calls = world.timestamper.calls
    await extend(stamped, tmp_path / "again.pdf", world.timestamper, AGENCY_FIELD)
    assert world.timestamper.calls == calls
    assert (tmp_path / "again.pdf").read_bytes() == stamped.read_bytes()


async def test_the_leaders_signature_cannot_be_stamped_under_the_seal(
    world: SigningWorld, sealed: Path, tmp_path: Path
) -> None:
    with pytest.raises(DomainError, match="SIGNATURE_NOT_LAST"):
        await extend(sealed, tmp_path / "no.pdf", world.timestamper, LEADER_FIELD)


async def test_a_token_for_something_else_is_refused(
    world: SigningWorld, sealed: Path, tmp_path: Path
) -> None:
    class Elsewhere:
        async def timestamp(self, digest: bytes, algorithm: str) -> bytes:
            return await world.timestamper.timestamp(bytes(reversed(digest)), algorithm)

    with pytest.raises(DomainError, match="TIMESTAMP_INVALID"):
        await extend(sealed, tmp_path / "no.pdf", Elsewhere())
    assert not (tmp_path / "no.pdf").exists()


async def test_no_seal_without_a_leader(world: SigningWorld, prepared: Path, tmp_path: Path) -> None:
    assert _seal_refusal(world, prepared, tmp_path) == "LEADER_SIGNATURE_MISSING"


async def test_no_seal_on_a_changed_signature(world: SigningWorld, signed: Path, tmp_path: Path) -> None:
    data = bytearray(signed.read_bytes())
    at = data.index("MẪU".encode("utf-16-be")) if "MẪU".encode("utf-16-be") in data else 600
    data[at] ^= 1
    signed.write_bytes(data)
    assert _seal_refusal(world, signed, tmp_path) == "LEADER_SIGNATURE_MISSING"


async def test_no_seal_on_another_agencys_leader(world: SigningWorld, signed: Path, tmp_path: Path) -> None:
    stranger = load_signer(world.authority.agency_seal("H01", "Tỉnh Mẫu"))
    assert _seal_refusal(world, signed, tmp_path, stranger) == "LEADER_SIGNATURE_MISSING"


def test_no_seal_on_an_unstamped_signature(world: SigningWorld, prepared: Path, tmp_path: Path) -> None:
    sign_personal(prepared, tmp_path / "bb.pdf", world.leader, world.context, LEADER_LOOK)
    assert _seal_refusal(world, tmp_path / "bb.pdf", tmp_path) == "LEADER_SIGNATURE_UNSTAMPED"


async def test_no_second_seal(world: SigningWorld, sealed: Path, tmp_path: Path) -> None:
    assert _seal_refusal(world, sealed, tmp_path) == "DOCUMENT_ALREADY_SEALED"


async def test_another_number_is_never_overwritten(world: SigningWorld, signed: Path, tmp_path: Path) -> None:
    filled = updated(signed, tmp_path / "filled.pdf", set_text("lt_number", "99"))
    assert _seal_refusal(world, filled, tmp_path) == "FIELD_ALREADY_FILLED"


async def test_a_document_without_fields_is_not_sealed(world: SigningWorld, tmp_path: Path) -> None:
    source, place = letter(tmp_path / "letter.pdf"), Rectangle(0, 350, 250, 160, 70)
    signed = tmp_path / "signed.pdf"
    await sign_leader(source, signed, world.leader, world.context, LEADER_LOOK, world.timestamper, place)
    assert world.validator.validate(signed).verdict is Verdict.VALID
    assert _seal_refusal(world, signed, tmp_path) == "DOCUMENT_NOT_PREPARED"


async def test_two_leaders_may_sign(world: SigningWorld, signed: Path, tmp_path: Path) -> None:
    second = load_signer(world.authority.leader(CODE, "tran-van-mau", "Trần Văn Mẫu", AGENCY_NAME))
    both = tmp_path / "both.pdf"
    name = await sign_leader(
        signed, both, second, world.context, Appearance("Trần Văn Mẫu"), world.timestamper
    )
    assert name == "lt_leader_2"
    report = world.validator.validate(await world.sealed(both, tmp_path / "sealed.pdf"))
    assert report.verdict is Verdict.VALID
    assert len(report.signatures) == 3


async def test_images_of_the_owner_and_the_whole_number_in_its_field(
    world: SigningWorld, tmp_path: Path
) -> None:
    image = tmp_path / "mau.png"
    Image.new("RGBA", (90, 60), (200, 0, 0, 128)).save(image)
    wide = replace(PLACEMENTS, number=Rectangle(0, 112, 741, 120, 18))
    prepared, out = tmp_path / "prepared.pdf", tmp_path / "signed.pdf"
    prepare(letter(tmp_path / "letter.pdf"), prepared, wide)
    look = Appearance(LEADER_NAME, image)
    await sign_leader(prepared, out, world.leader, world.context, look, world.timestamper)
    arguments = (MARK, world.agency, world.context, world.validator, look)
    await asyncio.to_thread(
        functools.partial(seal, with_notation=True), out, tmp_path / "sealed.pdf", *arguments
    )
    report = world.validator.validate(tmp_path / "sealed.pdf")
    assert (report.verdict, report.number, report.notation) == (Verdict.VALID, "05", "CQM-TH")


async def test_a_form_behind_references_is_signed_as_well(world: SigningWorld, tmp_path: Path) -> None:
    office = updated(letter(tmp_path / "letter.pdf"), tmp_path / "office.pdf", add_indirect_form)
    prepare(office, tmp_path / "prepared.pdf", PLACEMENTS)
    assert (tmp_path / "prepared.pdf").read_bytes().count(b"/NeedAppearances") == 1
    signed = await world.signed(tmp_path / "prepared.pdf", tmp_path / "signed.pdf")
    report = world.validator.validate(await world.sealed(signed, tmp_path / "sealed.pdf"))
    assert (report.verdict, report.number, len(report.signatures)) == (Verdict.VALID, "05", 2)


def test_what_is_no_image_is_refused(world: SigningWorld, prepared: Path, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("MẪU")
    look = Appearance(LEADER_NAME, tmp_path / "no.png")
    with pytest.raises(DomainError, match="IMAGE_UNREADABLE"):
        sign_personal(prepared, tmp_path / "no.pdf", world.leader, world.context, look)


def test_a_text_wider_than_its_field_is_refused() -> None:
    with pytest.raises(DomainError, match="TEXT_DOES_NOT_FIT"):
        text_lines(("ngày 20 tháng 11 năm 2026",), 30, 14, 13)


def test_a_locked_document_takes_no_more_signatures(
    world: SigningWorld, sealed: Path, tmp_path: Path
) -> None:
    with pytest.raises(DomainError, match="DOCUMENT_LOCKED"):
        sign_personal(sealed, tmp_path / "no.pdf", world.leader, world.context, LEADER_LOOK)
    assert not (tmp_path / "no.pdf").exists()


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("expired", "SIGNER_CERTIFICATE_EXPIRED"),
        ("early", "SIGNER_CERTIFICATE_NOT_YET_VALID"),
        ("revoked", "SIGNER_CERTIFICATE_REVOKED"),
    ],
)
async def test_no_seal_with_a_bad_certificate(
    world: SigningWorld, signed: Path, tmp_path: Path, label: str, reason: str
) -> None:
    day, now = timedelta(days=1), world.clock.now()
    choices: dict[str, dict[str, Any]] = {
        "expired": {"not_before": now - 9 * day, "not_after": now - day},
        "early": {"not_before": now + day},
        "revoked": {"revoked": True},
    }
    agency = load_signer(world.authority.agency_seal(CODE, AGENCY_NAME, label=label, **choices[label]))
    context = _fresh_context(world)
    with pytest.raises(DomainError) as caught:
        seal(signed, tmp_path / "no.pdf", MARK, agency, context, world.validator, SEAL_LOOK)
    assert caught.value.reason == reason


def test_the_leaders_key_makes_no_seal_and_the_agencys_no_signature(
    world: SigningWorld, prepared: Path, tmp_path: Path
) -> None:
    out = tmp_path / "no.pdf"
    with pytest.raises(DomainError, match="SIGNER_CERTIFICATE_ROLE"):
        sign_personal(prepared, out, world.agency, world.context, LEADER_LOOK)
    with pytest.raises(DomainError, match="SIGNER_CERTIFICATE_ROLE"):
        sign_annex(annex(tmp_path / "annex.pdf"), out, MARK, world.leader, world.context)


def test_an_envelope_key_makes_no_seal(world: SigningWorld, tmp_path: Path) -> None:
    envelope = load_signer(world.authority.organization_envelope(CODE))
    with pytest.raises(DomainError, match="SIGNER_CERTIFICATE_USAGE"):
        sign_annex(annex(tmp_path / "annex.pdf"), tmp_path / "no.pdf", MARK, envelope, world.context)


def test_a_stranger_root_is_untrusted(world: SigningWorld, prepared: Path, tmp_path: Path) -> None:
    empty = TrustStore([world.agency.certificate])
    context = SigningContext(empty, world.clock)
    with pytest.raises(DomainError, match="SIGNER_CERTIFICATE_UNTRUSTED"):
        sign_personal(prepared, tmp_path / "no.pdf", world.leader, context, LEADER_LOOK)
    with_leader = tmp_path / "foreign.pdf"
    sign_personal(prepared, with_leader, world.leader, world.context, LEADER_LOOK)
    assert Validator(empty, empty, world.clock).validate(with_leader).verdict is Verdict.INVALID


async def test_an_annex_is_sealed_with_text(world: SigningWorld, tmp_path: Path) -> None:
    out = tmp_path / "signed.pdf"
    await asyncio.to_thread(sign_annex, annex(tmp_path / "annex.pdf"), out, MARK, world.agency, world.context)
    await extend(out, out, world.timestamper, AGENCY_FIELD)
    report = world.validator.validate(out)
    assert (report.verdict, report.level) == (Verdict.VALID, Level.B_T)
    assert report.signatures[0].role is SignatureRole.AGENCY
    assert (report.number, report.notation) == ("05", "CQM-TH")


def _fresh_context(world: SigningWorld) -> SigningContext:
    """A context that knows what was revoked meanwhile."""
    authority = world.authority
    trust = TrustStore.load(authority.roots_path, authority.document_chain_path, authority.crl_paths)
    return SigningContext(trust, world.clock)
