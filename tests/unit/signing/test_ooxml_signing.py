"""Signing packages: what is covered, what stays untouched, levels, and time."""

import hashlib
from datetime import date, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from lienthong.errors import DomainError, FailedPrecondition, Unavailable
from lienthong.pki.trust import TrustStore
from lxml import etree

from services.signing.domain import Level, Reason, SignatureRole, Verdict
from services.signing.ooxml import relationships, xml
from services.signing.ooxml.extend import extend_package
from services.signing.ooxml.sign import complete_signature, prepare_signature
from tests.support import ooxml
from tests.support.ooxml import MARK, SAMPLES, OoxmlWorld


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> OoxmlWorld:
    return OoxmlWorld.create(tmp_path_factory.mktemp("pki"))


@pytest.fixture(params=["docx", "xlsx", "cong-van-mau.docx", "phu-luc-mau.xlsx"])
def document(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    name = str(request.param)
    if name in ("docx", "xlsx"):
        return getattr(ooxml, name)(tmp_path / f"mau.{name}")  # type: ignore[no-any-return]
    copy = tmp_path / name
    copy.write_bytes((SAMPLES / name).read_bytes())
    return copy


async def test_leader_then_agency(office: OoxmlWorld, document: Path) -> None:
    signed = await office.sign(document, office.leader)
    sealed = await office.sign(signed, office.agency, mark=MARK)
    report = office.judge(sealed)
    assert (report.verdict, report.level, report.findings) == (Verdict.VALID, Level.B_T, ())
    assert [one.role for one in report.signatures] == [SignatureRole.PERSONAL, SignatureRole.AGENCY]
    assert {one.organization for one in report.signatures} == {"G22"}
    assert {one.timestamp_time for one in report.signatures} == {office.clock.now()}
    assert (report.number, report.notation, report.date) == ("05", "CQM-TH", date(2026, 2, 5))


async def test_p256(office: OoxmlWorld, tmp_path: Path) -> None:
    report = office.judge(await office.sign(ooxml.docx(tmp_path / "mau.docx"), office.p256_key()))
    assert (report.verdict, report.level, report.findings) == (Verdict.VALID, Level.B_T, ())


async def test_stamped_later(office: OoxmlWorld, document: Path, tmp_path: Path) -> None:
    signed = await office.sign(document, office.leader)
    sealed = await office.sign(signed, office.agency, mark=MARK, stamped=False)
    assert [one.level for one in office.judge(sealed).signatures] == [Level.B_T, Level.B_B]
    stamped = tmp_path / "stamped"
    assert await extend_package(sealed, stamped, office.timestamper) == 1
    assert office.judge(stamped).level is Level.B_T
    assert (
        ooxml.parts_of(stamped)["_xmlsignatures/sig1.xml"]
        == ooxml.parts_of(sealed)["_xmlsignatures/sig1.xml"]
    )
    assert await extend_package(stamped, tmp_path / "again", office.timestamper) == 0
    assert (tmp_path / "again").read_bytes() == stamped.read_bytes()


async def test_only_our_signatures_are_stamped(office: OoxmlWorld, document: Path, tmp_path: Path) -> None:
    theirs = await office.sign(document, office.leader, stamped=False)
    ours = await office.sign(theirs, office.agency, stamped=False)
    stamped = tmp_path / "stamped"
    await extend_package(ours, stamped, office.timestamper, lambda one: one == office.agency.certificate)
    assert [one.level for one in office.judge(stamped).signatures] == [Level.B_B, Level.B_T]


async def test_unsigned_is_not_stamped(office: OoxmlWorld, document: Path, tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match="DOCUMENT_NOT_SIGNED"):
        await extend_package(document, tmp_path / "stamped", office.timestamper)


async def test_failing_timestamper_leaves_no_file(office: OoxmlWorld, document: Path, tmp_path: Path) -> None:
    class Silent:
        async def timestamp(self, digest: bytes, algorithm: str) -> bytes:
            assert (len(digest), algorithm) == (32, "sha256")
            raise Unavailable("TIMESTAMP_UNAVAILABLE", "nobody there")

    sealed = await office.sign(document, office.agency, stamped=False)
    with pytest.raises(Unavailable):
        await extend_package(sealed, tmp_path / "stamped", Silent())
    assert not (tmp_path / "stamped").exists()


async def test_untouched_entries_keep_their_compressed_bytes(office: OoxmlWorld, document: Path) -> None:
    before = ooxml.parts_of(document)
    signed = await office.sign(document, office.leader)
    sealed = await office.sign(signed, office.agency)
    kept = [name for name in before if not name.endswith(".rels") and name != "[Content_Types].xml"]
    assert kept
    for name in kept:
        assert ooxml.compressed_bytes(sealed, name) == ooxml.compressed_bytes(document, name)


async def test_only_the_first_signature_strips_white_space(office: OoxmlWorld, tmp_path: Path) -> None:
    name = "word/_rels/document.xml.rels"
    document = ooxml.docx(tmp_path / "mau.docx")
    signed = await office.sign(document, office.leader)
    assert b"\n  <" in ooxml.parts_of(document)[name]
    assert b"\n  <" not in ooxml.parts_of(signed)[name]
    spaced = ooxml.edited(signed, lambda parts: parts.update({name: parts[name].replace(b"><", b">\n<")}))
    again = await office.sign(spaced, office.agency)
    assert ooxml.parts_of(again)[name] == ooxml.parts_of(spaced)[name]
    assert office.judge(again).verdict is Verdict.VALID


async def test_a_key_elsewhere(office: OoxmlWorld, document: Path, tmp_path: Path) -> None:
    """The clerk holds the token: the bytes to sign go out, the value comes back."""
    key = office.p256_key()
    prepared = prepare_signature(document, key.chain, time=office.clock.now(), mark=MARK)
    value = key.sign(prepared.to_be_signed)
    target = tmp_path / "complete"
    await complete_signature(document, target, prepared.xml, value, timestamper=office.timestamper)
    assert office.judge(target).verdict is Verdict.VALID


async def test_a_value_of_another_key_is_refused(office: OoxmlWorld, document: Path, tmp_path: Path) -> None:
    prepared = prepare_signature(document, office.p256_key().chain, time=office.clock.now())
    other = ec.generate_private_key(ec.SECP256R1()).sign(prepared.to_be_signed, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(FailedPrecondition, match="KEY_MISMATCH"):
        await complete_signature(document, tmp_path / "complete", prepared.xml, other)
    assert not (tmp_path / "complete").exists()


async def test_same_input_same_bytes(office: OoxmlWorld, document: Path) -> None:
    """RSA PKCS#1 v1.5 is deterministic, so a repeat without a timestamp changes nothing."""
    first = (await office.sign(document, office.leader, stamped=False)).read_bytes()
    assert (await office.sign(document, office.leader, stamped=False)).read_bytes() == first


async def test_after_the_certificate_expired_only_the_stamped_one_counts(
    office: OoxmlWorld, tmp_path: Path
) -> None:
    key = office.p256_key(ends=office.clock.now() + timedelta(days=2))
    stamped = await office.sign(ooxml.docx(tmp_path / "a.docx"), key)
    bare = await office.sign(ooxml.docx(tmp_path / "b.docx"), key, stamped=False)
    assert office.judge(bare).verdict is Verdict.VALID
    office.clock.advance(timedelta(days=3))
    assert office.judge(stamped).verdict is Verdict.VALID
    assert office.judge(bare).reasons == (Reason.CERTIFICATE_EXPIRED,)
    assert office.judge(bare).verdict is Verdict.INVALID


async def test_revocation_counts_from_its_date(office: OoxmlWorld, tmp_path: Path) -> None:
    issued = office.authority.leader("G22", "revoked", "Mẫu Thu hồi")
    signed = await office.sign(ooxml.docx(tmp_path / "mau.docx"), ooxml.key_of(issued))
    later, earlier = office.clock.now() + timedelta(hours=1), office.clock.now() - timedelta(hours=1)
    reports = []
    for moment in (later, earlier):
        office.authority.revoke(issued.certificate(), moment)
        office.authority.write_crl()
        trust = TrustStore.load(
            office.authority.roots_path, office.authority.document_chain_path, office.authority.crl_paths
        )
        reports.append(office.judge(signed, trust))
    assert [one.verdict for one in reports] == [Verdict.VALID, Verdict.INVALID]
    assert reports[1].reasons == (Reason.CERTIFICATE_REVOKED,)


async def test_an_envelope_key_is_no_seal(office: OoxmlWorld, tmp_path: Path) -> None:
    key = ooxml.key_of(office.authority.organization_envelope("G22", "Cơ quan Mẫu"))
    report = office.judge(await office.sign(ooxml.docx(tmp_path / "mau.docx"), key))
    assert report.verdict is Verdict.INVALID
    assert report.reasons == (Reason.CERTIFICATE_USAGE,)


async def test_a_stranger_is_untrusted(office: OoxmlWorld, tmp_path: Path) -> None:
    stranger = OoxmlWorld.create(tmp_path / "pki")
    report = office.judge(await stranger.sign(ooxml.docx(tmp_path / "mau.docx"), stranger.leader))
    assert report.verdict is Verdict.INVALID
    assert set(report.reasons) == {Reason.CERTIFICATE_UNTRUSTED, Reason.TIMESTAMP_INVALID}


MACRO = "application/vnd.ms-office.vbaProject"
BIN = f'<Override PartName="/word/vba.bin" ContentType="{MACRO}"/></Types>'.encode()


def _macro(parts: dict[str, bytes]) -> None:
    parts["word/vba.bin"] = b"MAU"
    parts["[Content_Types].xml"] = parts["[Content_Types].xml"].replace(b"</Types>", BIN)


def _arrow(kind: str, target: str) -> str:
    return ooxml.relationship("rId77", kind, target, external=True)


def _adds(arrow: str, name: str = "word/_rels/document.xml.rels") -> object:
    def change(parts: dict[str, bytes]) -> None:
        parts[name] = parts[name].replace(b"</Relationships>", arrow.encode() + b"</Relationships>")

    return change


def _doctype(parts: dict[str, bytes]) -> None:
    parts["word/styles.xml"] = parts["word/styles.xml"].replace(b"<w:styles", b"<!DOCTYPE w:styles><w:styles")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_macro, Reason.DOCUMENT_ACTIVE_CONTENT),
        (_adds(_arrow("attachedTemplate", "https://x.example/t.dotm")), Reason.TEMPLATE_ATTACHED),
        (_adds(_arrow("image", "https://x.example/i.png")), Reason.CONTENT_NOT_COVERED),
        (_doctype, Reason.DOCTYPE_PRESENT),
        (
            _adds(ooxml.relationship("rId9", "officeDocument", "word/styles.xml"), "_rels/.rels"),
            Reason.MAIN_PART_AMBIGUOUS,
        ),
        (lambda parts: parts.pop("word/document.xml"), Reason.DOCUMENT_FORMAT),
        (lambda parts: parts.update({"word/thing": b"?"}), Reason.DOCUMENT_BROKEN),
    ],
)
async def test_what_would_not_be_valid_is_not_signed(
    office: OoxmlWorld, tmp_path: Path, change: object, reason: Reason
) -> None:
    document = ooxml.edited(ooxml.docx(tmp_path / "mau.docx"), change)  # type: ignore[arg-type]
    with pytest.raises(DomainError) as caught:
        await office.sign(document, office.leader)
    assert caught.value.reason == reason


def test_relationships_transform_to_the_letter() -> None:
    """ECMA-376-2: code-point order of Ids (rId1, rId10, rId2), no text, no comments, TargetMode explicit."""
    data = (
        b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">\n <!-- x -->'
        b'<Relationship Id="rId2" Type="t2" Target="b.xml"/> '
        b'<Relationship Target="https://x/" TargetMode="External" Id="rId10" Type="t1"/>'
        b'<Relationship Id="rId1" Type="t1" Target="a.xml"/><Relationship Id="rId3" Type="t3" Target="c"/>'
        b"</Relationships>"
    )
    assert relationships.transform(data, "/_rels/.rels", {"rId1", "rId2"}, {"t1"}) == (
        b'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        b'<Relationship Id="rId1" Target="a.xml" TargetMode="Internal" Type="t1"></Relationship>'
        b'<Relationship Id="rId10" Target="https://x/" TargetMode="External" Type="t1"></Relationship>'
        b'<Relationship Id="rId2" Target="b.xml" TargetMode="Internal" Type="t2"></Relationship>'
        b"</Relationships>"
    )


def test_canonical_subtree_keeps_inherited_namespaces() -> None:
    """C14N 1.0: an unused inherited prefix is printed; lxml alone would drop it."""
    root = etree.fromstring(
        b'<a xmlns="u:a" xmlns:n="u:n" xml:lang="vi"><b Id="1" c="2">x<!-- no --><c xmlns=""/>y</b>z</a>'
    )
    assert xml.canonical(root[0]) == (
        b'<b xmlns="u:a" xmlns:n="u:n" Id="1" c="2" xml:lang="vi">x<c xmlns=""></c>y</b>'
    )


async def test_large_part_is_streamed(office: OoxmlWorld, tmp_path: Path) -> None:
    big = hashlib.shake_128(b"MAU").digest(3 << 20)
    document = ooxml.edited(
        ooxml.docx(tmp_path / "mau.docx"), lambda parts: parts.update({"word/media/image1.png": big})
    )
    assert office.judge(await office.sign(document, office.leader)).verdict is Verdict.VALID
