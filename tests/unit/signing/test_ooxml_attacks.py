"""What an attacker does to a signed package, and what the judge says: never VALID, never an exception."""

import base64
import random
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import pytest_asyncio

from services.signing.domain import Reason, Verdict
from services.signing.ooxml.package import Limits
from services.signing.ooxml.verify import PackageValidator
from tests.support import ooxml
from tests.support.ooxml import MARK, OoxmlWorld, edited, relationship

Parts = dict[str, bytes]
Change = Callable[[Parts], None]
SIGNATURE = "_xmlsignatures/sig1.xml"
ARROWS = "word/_rels/document.xml.rels"
TYPES = "[Content_Types].xml"


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> OoxmlWorld:
    return OoxmlWorld.create(tmp_path_factory.mktemp("pki"))


@pytest_asyncio.fixture
async def signed(office: OoxmlWorld, tmp_path: Path) -> Path:
    """A docx with one stamped signature of the agency."""
    return await office.sign(ooxml.docx(tmp_path / "mau.docx"), office.agency, mark=MARK)


def replaced(name: str, old: bytes, new: bytes) -> Change:
    def change(parts: Parts) -> None:
        assert old in parts[name]
        parts[name] = parts[name].replace(old, new)

    return change


def added(name: str, data: bytes) -> Change:
    return lambda parts: parts.update({name: data})


def removed(name: str) -> Change:
    return lambda parts: parts.update({"gone": parts.pop(name)})


def arrow(name: str, kind: str, target: str, *, external: bool = False) -> Change:
    new = relationship("rId77", kind, target, external=external).encode() + b"</Relationships>"
    return replaced(name, b"</Relationships>", new)


def both(*changes: Change) -> Change:
    def change(parts: Parts) -> None:
        for one in changes:
            one(parts)

    return change


def typed(part: str, kind: str) -> Change:
    return replaced(
        TYPES, b"</Types>", f'<Override PartName="{part}" ContentType="{kind}"/></Types>'.encode()
    )


def wrapped(parts: Parts) -> None:
    """The signed object moves aside, keeping its Id; a twin with the attacker's content takes its place."""
    text = parts[SIGNATURE].decode()
    signed_object = re.search(r'<Object Id="idPackageObject">.*?</Object>', text, re.DOTALL)
    assert signed_object is not None
    evil = signed_object[0].replace("/word/styles.xml", "/word/evil.xml")
    parts[SIGNATURE] = text.replace(signed_object[0], f"{evil}<Object>{signed_object[0]}</Object>").encode()


def moved(parts: Parts) -> None:
    """The signed object is nested in another: the digest fits, but it is no longer the package's object."""
    text = parts[SIGNATURE].decode()
    signed_object = re.search(r'<Object Id="idPackageObject">.*?</Object>', text, re.DOTALL)
    assert signed_object is not None
    parts[SIGNATURE] = text.replace(signed_object[0], f"<Object>{signed_object[0]}</Object>").encode()


TEMPLATE = arrow(ARROWS, "attachedTemplate", "https://x.example/evil.dotm", external=True)
MACRO = both(added("word/vba.bin", b"MAU"), typed("/word/vba.bin", "application/vnd.ms-office.vbaProject"))

ATTACKS: list[tuple[str, Change, Verdict, Reason, str]] = [
    ("text changed", replaced("word/document.xml", "MẪU".encode(), b"THAT"),
     Verdict.INVALID, Reason.CHANGED_AFTER_SIGNING, "/word/document.xml"),
    ("part removed", removed("word/styles.xml"),
     Verdict.INVALID, Reason.CHANGED_AFTER_SIGNING, "/word/styles.xml"),
    ("custom property changed", replaced("docProps/custom.xml", b"/>", b"><x/></Properties>"),
     Verdict.INVALID, Reason.CHANGED_AFTER_SIGNING, "/docProps/custom.xml"),
    ("hyperlink redirected", replaced(ARROWS, b"mau.example", b"evil.example"),
     Verdict.INVALID, Reason.CHANGED_AFTER_SIGNING, "/" + ARROWS),
    ("picture exchanged", added("word/media/image1.png", b"other"),
     Verdict.INVALID, Reason.CHANGED_AFTER_SIGNING, "/word/media/image1.png"),
    ("unsigned part", both(added("word/evil.xml", b"<x/>")),
     Verdict.PARTIAL, Reason.PART_NOT_SIGNED, "/word/evil.xml"),
    ("unsigned relationship", arrow(ARROWS, "footer", "styles.xml"),
     Verdict.PARTIAL, Reason.RELATIONSHIP_NOT_SIGNED, "/" + ARROWS),
    ("unsigned relationship part", added("word/_rels/styles.xml.rels", ooxml.relationships(
        relationship("rId1", "image", "media/image1.png")).encode()), Verdict.PARTIAL,
     Reason.RELATIONSHIP_NOT_SIGNED, "/word/_rels/styles.xml.rels"),
    ("second main part", arrow("_rels/.rels", "officeDocument", "word/styles.xml"),
     Verdict.INVALID, Reason.MAIN_PART_AMBIGUOUS, ""),
    ("template attached", TEMPLATE, Verdict.INVALID, Reason.TEMPLATE_ATTACHED, "/" + ARROWS),
    ("picture from outside", arrow(ARROWS, "image", "https://x.example/a.png", external=True),
     Verdict.PARTIAL, Reason.CONTENT_NOT_COVERED, "/" + ARROWS),
    ("content type swapped", replaced(TYPES, b"styles+xml", b"footer+xml"),
     Verdict.INVALID, Reason.CONTENT_TYPE_CHANGED, "/word/styles.xml"),
    ("content type twice", typed("/word/STYLES.xml", "text/x"),
     Verdict.INVALID, Reason.DUPLICATE_ENTRY, "/word/styles.xml"),
    ("signature's content type", replaced(TYPES, b"xmlsignature+xml", b"x+xml"),
     Verdict.INVALID, Reason.CONTENT_TYPE_CHANGED, "/" + SIGNATURE),
    ("macros added", MACRO, Verdict.PARTIAL, Reason.DOCUMENT_ACTIVE_CONTENT, "/word/vba.bin"),
    ("duplicate Id", wrapped, Verdict.INVALID, Reason.DUPLICATE_ID, "/" + SIGNATURE),
    ("object moved", moved, Verdict.INVALID, Reason.SIGNATURE_MALFORMED, "/" + SIGNATURE),
    ("relationship Id twice", replaced(ARROWS, b'Id="rId10"', b'Id="rId2"'),
     Verdict.INVALID, Reason.DUPLICATE_ID, "/" + ARROWS),
    ("number changed", replaced(SIGNATURE, b"<Number>05<", b"<Number>06<"),
     Verdict.INVALID, Reason.DIGEST_MISMATCH, "/" + SIGNATURE),
    ("signing time changed", replaced(SIGNATURE, b"<xd:SigningTime>2026", b"<xd:SigningTime>2025"),
     Verdict.INVALID, Reason.DIGEST_MISMATCH, "/" + SIGNATURE),
    ("manifest changed", replaced(SIGNATURE, b"/word/styles.xml", b"/word/stylez.xml"),
     Verdict.INVALID, Reason.DIGEST_MISMATCH, "/" + SIGNATURE),
    ("weak digest", replaced(SIGNATURE, b"xmlenc#sha256", b"xmldsig#sha1"),
     Verdict.INVALID, Reason.ALGORITHM_WEAK, "/" + SIGNATURE),
    ("weak algorithm", replaced(SIGNATURE, b"rsa-sha256", b"rsa-sha1"),
     Verdict.INVALID, Reason.ALGORITHM_WEAK, "/" + SIGNATURE),
    ("DTD in the signature", replaced(SIGNATURE, b"<Signature", b"<!DOCTYPE x [<!ENTITY e 'x'>]><Signature"),
     Verdict.INVALID, Reason.DOCTYPE_PRESENT, "/" + SIGNATURE),
    ("DTD in relationships", replaced(ARROWS, b"<Relationships", b"<!DOCTYPE x><Relationships"),
     Verdict.INVALID, Reason.DOCTYPE_PRESENT, "/" + ARROWS),
    ("DTD in a part", replaced("word/styles.xml", b"<w:styles", b"<!DOCTYPE x><w:styles"),
     Verdict.INVALID, Reason.DOCTYPE_PRESENT, "/word/styles.xml"),
    ("not XML any more", added("_rels/.rels", b"<Relationships"),
     Verdict.INVALID, Reason.DOCUMENT_BROKEN, "/_rels/.rels"),
    ("signature part gone", removed(SIGNATURE),
     Verdict.INVALID, Reason.SIGNATURE_MALFORMED, "/" + SIGNATURE),
    ("signature cut off", replaced("_rels/.rels", b"digital-signature/origin", b"x"),
     Verdict.INVALID, Reason.SIGNATURE_MALFORMED, "/" + SIGNATURE),
    ("hidden beside the signature", added("_xmlsignatures/evil.xml", b"<x/>"),
     Verdict.PARTIAL, Reason.PART_NOT_SIGNED, "/_xmlsignatures/evil.xml"),
    ("metadata that is shown", both(
        arrow("_rels/.rels", "http://schemas.openxmlformats.org/package/2006/relationships/metadata/thumbnail",
              "word/evil.xml"),
        added("word/evil.xml", b"<x/>"),
        replaced(ARROWS, b"</Relationships>",
                 relationship("rId78", "footer", "evil.xml").encode() + b"</Relationships>")),
     Verdict.PARTIAL, Reason.PART_NOT_SIGNED, "/word/evil.xml"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "verdict", "reason", "part"), [a[1:] for a in ATTACKS], ids=[a[0] for a in ATTACKS]
)
async def test_attack(
    office: OoxmlWorld, signed: Path, change: Change, verdict: Verdict, reason: Reason, part: str
) -> None:
    assert office.judge(signed).verdict is Verdict.VALID
    report = office.judge(edited(signed, change))
    assert report.verdict is verdict
    assert reason in report.reasons
    assert part in {finding.part for finding in report.findings if finding.reason is reason}


def _token(parts: Parts) -> re.Match[str]:
    found = re.search(r"(?<=EncapsulatedTimeStamp>)[^<]+", parts[SIGNATURE].decode())
    assert found is not None
    return found


async def test_replaced_timestamp_token(office: OoxmlWorld, signed: Path) -> None:
    """A genuine token of the trusted authority, only made over something else."""
    other = base64.b64encode(await office.timestamper.timestamp(bytes(32), "sha256")).decode()
    swap: Change = lambda parts: replaced(SIGNATURE, _token(parts)[0].encode(), other.encode())(parts)  # noqa: E731
    report = office.judge(edited(signed, swap))
    assert (report.verdict, report.reasons) == (Verdict.INVALID, (Reason.TIMESTAMP_INVALID,))


async def test_timestamp_of_a_strange_authority(office: OoxmlWorld, signed: Path, tmp_path: Path) -> None:
    stranger = OoxmlWorld.create(tmp_path / "pki")
    document = await office.sign(ooxml.docx(tmp_path / "b.docx"), office.leader, stamped=False)
    office_stamper, office.timestamper = office.timestamper, stranger.timestamper
    try:
        report = office.judge(await office.sign(document, office.agency))
    finally:
        office.timestamper = office_stamper
    assert report.signatures[0].verdict is Verdict.VALID
    assert report.signatures[1].reasons == (Reason.TIMESTAMP_INVALID,)
    assert report.verdict is Verdict.INVALID


async def test_removed_timestamp_lowers_the_level(office: OoxmlWorld, signed: Path) -> None:
    def strip(parts: Parts) -> None:
        text = parts[SIGNATURE].decode()
        parts[SIGNATURE] = re.sub(r"<xd:UnsignedProperties>.*</xd:UnsignedProperties>", "", text).encode()

    before, after = office.judge(signed), office.judge(edited(signed, strip))
    assert (before.level.name, after.level.name) == ("B_T", "B_B")


async def test_a_further_signature_does_not_heal(office: OoxmlWorld, signed: Path) -> None:
    changed = edited(signed, added("word/evil.png", b"x"))
    report = office.judge(
        await office.sign(edited(changed, typed("/word/evil.png", "image/png")), office.leader)
    )
    assert [one.verdict for one in report.signatures] == [Verdict.PARTIAL, Verdict.VALID]
    assert report.verdict is Verdict.PARTIAL


async def test_signature_of_another_document(office: OoxmlWorld, signed: Path, tmp_path: Path) -> None:
    other = await office.sign(
        edited(
            ooxml.docx(tmp_path / "o.docx"), replaced("word/document.xml", "MẪU".encode(), "KHÁC".encode())
        ),
        office.agency,
    )
    stolen = ooxml.parts_of(other)[SIGNATURE]
    report = office.judge(edited(signed, added(SIGNATURE, stolen)))
    assert report.verdict is Verdict.INVALID
    assert {f.part for f in report.findings} == {"/word/document.xml"}


def test_duplicate_entries(office: OoxmlWorld, signed: Path) -> None:
    for name in ("word/document.xml", "WORD/document.xml"):
        report = office.judge(ooxml.with_duplicate(signed, name, b"<evil/>"))
        assert (report.verdict, report.reasons) == (Verdict.INVALID, (Reason.DUPLICATE_ENTRY,))


def test_zip_bomb(office: OoxmlWorld, signed: Path) -> None:
    report = office.judge(edited(signed, added("word/media/bomb.png", bytes(64 << 20))))
    assert (report.verdict, report.reasons) == (Verdict.INVALID, (Reason.COMPRESSION_RATIO,))


@pytest.mark.parametrize(
    "limits", [Limits(entries=3), Limits(total_bytes=100), Limits(part_bytes=100), Limits(xml_bytes=100)]
)
def test_limits(office: OoxmlWorld, signed: Path, limits: Limits) -> None:
    report = PackageValidator(office.trust, office.trust, office.clock, limits).validate(signed)
    assert (report.verdict, report.reasons) == (Verdict.INVALID, (Reason.DOCUMENT_TOO_COMPLEX,))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.DOCUMENT_BROKEN),
        (b"%PDF-1.7\n", Reason.DOCUMENT_BROKEN),
        (bytes.fromhex("D0CF11E0A1B11AE1") + bytes(2048), Reason.DOCUMENT_ENCRYPTED),
        (
            bytes.fromhex("D0CF11E0A1B11AE1") + bytes(504) + "EncryptedPackage".encode("utf-16-le"),
            Reason.DOCUMENT_ENCRYPTED,
        ),
        (
            bytes.fromhex("D0CF11E0A1B11AE1") + bytes(504) + "WordDocument".encode("utf-16-le"),
            Reason.DOCUMENT_FORMAT,
        ),
    ],
)
def test_not_a_package(office: OoxmlWorld, tmp_path: Path, content: bytes, reason: Reason) -> None:
    path = tmp_path / "mau.docx"
    path.write_bytes(content)
    report = office.judge(path)
    assert (report.verdict, report.reasons) == (Verdict.INVALID, (reason,))


def test_a_zip_of_something_else(office: OoxmlWorld, tmp_path: Path) -> None:
    report = office.judge(ooxml.write(tmp_path / "mau.docx", {"readme.txt": "MẪU"}))
    assert (report.verdict, report.reasons) == (Verdict.INVALID, (Reason.DOCUMENT_FORMAT,))


@pytest.mark.parametrize("name", ["../evil.xml", "word/../x.xml", "word\\x.xml", "/word/x.xml"])
def test_bad_names(office: OoxmlWorld, signed: Path, name: str) -> None:
    report = office.judge(edited(signed, added(name, b"<x/>")))
    assert (report.verdict, report.reasons) == (Verdict.INVALID, (Reason.DOCUMENT_BROKEN,))


@pytest.mark.parametrize("where", ["before", "after", "between"])
def test_bytes_outside_the_entries(office: OoxmlWorld, signed: Path, where: str) -> None:
    """A program that reads front to back would see another document than one that reads the directory."""
    data, evil = signed.read_bytes(), ooxml.docx(signed.with_name("evil.docx")).read_bytes()
    with zipfile.ZipFile(signed) as archive:
        start = archive.start_dir
    joined = {
        "before": evil + data,
        "after": data + evil[:100],
        "between": data[:start] + evil + data[start:],
    }
    path = signed.with_name("joined.docx")
    path.write_bytes(joined[where])
    report = office.judge(path)
    assert (report.verdict, report.reasons) == (Verdict.INVALID, (Reason.DOCUMENT_BROKEN,))


def test_unsigned(office: OoxmlWorld, tmp_path: Path) -> None:
    report = office.judge(ooxml.docx(tmp_path / "mau.docx"))
    assert (report.verdict, report.signatures, report.reasons) == (Verdict.UNSIGNED, (), ())


def test_unsigned_with_macros_says_so(office: OoxmlWorld, tmp_path: Path) -> None:
    report = office.judge(edited(ooxml.docx(tmp_path / "mau.docx"), MACRO))
    assert (report.verdict, report.reasons) == (Verdict.UNSIGNED, (Reason.DOCUMENT_ACTIVE_CONTENT,))


def test_metadata_may_change(office: OoxmlWorld, signed: Path) -> None:
    """Office rewrites it on saving and nobody reads it as content; the report names it as unsigned."""
    report = office.judge(edited(signed, replaced("docProps/core.xml", "MẪU".encode(), b"x")))
    assert (report.verdict, report.unsigned_metadata) == (Verdict.VALID, ("/docProps/core.xml",))


def test_damaged_files_never_raise_and_are_never_valid(office: OoxmlWorld, signed: Path) -> None:
    """Three hundred files with one to three bits changed or the end cut off, the same ones every time."""
    data, chance = signed.read_bytes(), random.Random(68)
    path, before, refused = signed.with_name("damaged.docx"), ooxml.parts_of(signed), 0
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        if chance.random() < 0.2:
            del damaged[chance.randrange(len(data)) :]
        path.write_bytes(damaged)
        if office.judge(path).verdict is Verdict.VALID:
            # Only the time or the attributes of an entry were hit: every part is still what it was.
            assert ooxml.parts_of(path) == before
        else:
            refused += 1
    assert refused > 250


def test_damaged_xml_never_raises_and_claims_nothing_else(office: OoxmlWorld, signed: Path) -> None:
    """The archive is sound, its XML is not: 300 changes in the signature, the relationships, the types."""
    genuine, chance, refused = ooxml.parts_of(signed), random.Random(30), 0
    expected = office.judge(signed)
    for _ in range(300):
        name = chance.choice([SIGNATURE, SIGNATURE, SIGNATURE, TYPES, "_rels/.rels", ARROWS])
        data, place = genuine[name], chance.randrange(len(genuine[name]))
        size = chance.choice([0, 1, 1, 20])
        new = chance.choice([b"", b"<", b"&x;", b"Id", b"\xff", bytes([data[place] ^ 1])])
        report = office.judge(edited(signed, added(name, data[:place] + new + data[place + size :])))
        if report.verdict is not Verdict.VALID:
            refused += 1
            continue
        # Nothing that is signed was hit, so nothing that the report claims may differ but the timestamp.
        assert (report.number, report.notation, report.date) == ("05", "CQM-TH", expected.date)
        assert report.signatures[0].certificate_fingerprint == expected.signatures[0].certificate_fingerprint
        assert report.signatures[0].signing_time == expected.signatures[0].signing_time
    assert refused > 150
