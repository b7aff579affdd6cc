"""Office Open XML documents to test with: minimal, Vietnamese, marked MẪU; and a world that signs."""

import itertools
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from lienthong.clock import FakeClock
from lienthong.pki import usage
from lienthong.pki.identity import Identity, Kind
from lienthong.pki.issuing import Authority, Issued, Profile, issue, name_of
from lienthong.pki.keys import FileKey, SigningKey, load_signing_key
from lienthong.pki.testing import TestAuthority, new_p256
from lienthong.pki.trust import TrustStore

from services.signing.domain import IssueMark, Timestamper
from services.signing.ooxml.findings import PackageReport
from services.signing.ooxml.sign import sign_package
from services.signing.ooxml.verify import PackageValidator
from services.signing.timestamps import LocalTimestamper
from services.signing.tsa import TimestampAuthority

SAMPLES = Path(__file__).parents[2] / "libs" / "lienthong" / "demo" / "samples"
MARK = IssueMark(5, "CQM-TH", date(2026, 2, 5))

_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_ARROWS = "http://schemas.openxmlformats.org/package/2006/relationships"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_SLIDES = "application/vnd.openxmlformats-officedocument.presentationml"
_CORE = "application/vnd.openxmlformats-package.core-properties+xml"
_CUSTOM = "application/vnd.openxmlformats-officedocument.custom-properties+xml"


def relationship(identifier: str, kind: str, target: str, *, external: bool = False) -> str:
    mode = ' TargetMode="External"' if external else ""
    base = kind if "/" in kind else f"{OFFICE}/{kind}"
    return f'<Relationship Id="{identifier}" Type="{base}" Target="{target}"{mode}/>'


def relationships(*arrows: str) -> str:
    """With the white space that some programs write, which the transform must not see."""
    lines = "".join(f"  {arrow}\n" for arrow in arrows)
    return f'{_HEAD}<Relationships xmlns="{_ARROWS}">\n  <!-- MẪU -->\n{lines}</Relationships>'


def content_types(overrides: Mapping[str, str], defaults: Mapping[str, str] | None = None) -> str:
    known = {"rels": "application/vnd.openxmlformats-package.relationships+xml", "xml": "application/xml"}
    lines = [
        f'<Default Extension="{e}" ContentType="{t}"/>' for e, t in (known | dict(defaults or {})).items()
    ]
    lines += [f'<Override PartName="{part}" ContentType="{kind}"/>' for part, kind in overrides.items()]
    return f'{_HEAD}<Types xmlns="{_TYPES}">{"".join(lines)}</Types>'


def docx(path: Path) -> Path:
    """A text with styles, a picture, a hyperlink, and custom properties that a field could show."""
    w = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    paragraphs = "".join(
        f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"
        for text in ("CƠ QUAN MẪU TRUNG ƯƠNG", "Kính gửi: Ủy ban nhân dân các tỉnh", "Văn bản MẪU")
    )
    body = f"<w:body>{paragraphs}</w:body>"
    core = (
        "<cp:coreProperties "
        'xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>MẪU</dc:title></cp:coreProperties>'
    )
    custom = '<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties"/>'
    return write(
        path,
        {
            "[Content_Types].xml": content_types(
                {
                    "/word/document.xml": f"{_WORD}.document.main+xml",
                    "/word/styles.xml": f"{_WORD}.styles+xml",
                    "/docProps/core.xml": _CORE,
                    "/docProps/custom.xml": _CUSTOM,
                },
                {"png": "image/png"},
            ),
            "_rels/.rels": relationships(
                relationship("rId1", "officeDocument", "word/document.xml"),
                relationship("rId2", f"{_ARROWS}/metadata/core-properties", "docProps/core.xml"),
                relationship("rId3", "custom-properties", "docProps/custom.xml"),
            ),
            "docProps/core.xml": _HEAD + core,
            "docProps/custom.xml": _HEAD + custom,
            "word/document.xml": f'{_HEAD}<w:document xmlns:w="{w}">{body}</w:document>',
            "word/styles.xml": f'{_HEAD}<w:styles xmlns:w="{w}"/>',
            "word/media/image1.png": bytes(range(256)) * 8,
            "word/_rels/document.xml.rels": relationships(
                relationship("rId2", "styles", "styles.xml"),
                relationship("rId10", "image", "media/image1.png"),
                relationship("rId1", "hyperlink", "https://mau.example/", external=True),
            ),
        },
    )


def xlsx(path: Path) -> Path:
    """A workbook with one sheet."""
    s = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    row = '<row r="1"><c r="A1" t="inlineStr"><is><t>Phụ lục MẪU</t></is></c></row>'
    data = f"<sheetData>{row}</sheetData>"
    book = f'<sheets><sheet name="MẪU" sheetId="1" r:id="rId1" xmlns:r="{OFFICE}"/></sheets>'
    return write(
        path,
        {
            "[Content_Types].xml": content_types(
                {
                    "/xl/workbook.xml": f"{_SHEET}.sheet.main+xml",
                    "/xl/worksheets/sheet1.xml": f"{_SHEET}.worksheet+xml",
                }
            ),
            "_rels/.rels": relationships(relationship("rId1", "officeDocument", "xl/workbook.xml")),
            "xl/workbook.xml": f'{_HEAD}<workbook xmlns="{s}">{book}</workbook>',
            "xl/_rels/workbook.xml.rels": relationships(
                relationship("rId1", "worksheet", "worksheets/sheet1.xml")
            ),
            "xl/worksheets/sheet1.xml": f'{_HEAD}<worksheet xmlns="{s}">{data}</worksheet>',
        },
    )


def pptx(path: Path) -> Path:
    """A presentation with one slide, its layout and its master."""
    p = "http://schemas.openxmlformats.org/presentationml/2006/main"
    a = "http://schemas.openxmlformats.org/drawingml/2006/main"
    space = f'xmlns:p="{p}" xmlns:a="{a}" xmlns:r="{OFFICE}"'
    own = '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
    words = (
        '<p:sp><p:nvSpPr><p:cNvPr id="2" name="Tiêu đề"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/>'
        "<p:txBody><a:bodyPr/><a:p><a:r><a:t>Trình bày MẪU</a:t></a:r></a:p></p:txBody></p:sp>"
    )
    colors = " ".join(
        f'{name}="{value}"'
        for name, value in (
            ("bg1", "lt1"), ("tx1", "dk1"), ("bg2", "lt2"), ("tx2", "dk2"), ("hlink", "hlink"),
            ("folHlink", "folHlink"), *((f"accent{n}", f"accent{n}") for n in range(1, 7)),
        )
    )  # fmt: skip
    book = (
        '<p:sldMasterIdLst><p:sldMasterId id="2147483648" r:id="rId1"/></p:sldMasterIdLst>'
        '<p:sldIdLst><p:sldId id="256" r:id="rId2"/></p:sldIdLst><p:notesSz cx="1" cy="1"/>'
    )
    layouts = '<p:sldLayoutIdLst><p:sldLayoutId id="2147483649" r:id="rId1"/></p:sldLayoutIdLst>'
    empty, full = (f"<p:cSld><p:spTree>{own}{inner}</p:spTree></p:cSld>" for inner in ("", words))
    return write(
        path,
        {
            "[Content_Types].xml": content_types(
                {
                    "/ppt/presentation.xml": f"{_SLIDES}.presentation.main+xml",
                    "/ppt/slides/slide1.xml": f"{_SLIDES}.slide+xml",
                    "/ppt/slideLayouts/slideLayout1.xml": f"{_SLIDES}.slideLayout+xml",
                    "/ppt/slideMasters/slideMaster1.xml": f"{_SLIDES}.slideMaster+xml",
                }
            ),
            "_rels/.rels": relationships(relationship("rId1", "officeDocument", "ppt/presentation.xml")),
            "ppt/presentation.xml": f"{_HEAD}<p:presentation {space}>{book}</p:presentation>",
            "ppt/_rels/presentation.xml.rels": relationships(
                relationship("rId1", "slideMaster", "slideMasters/slideMaster1.xml"),
                relationship("rId2", "slide", "slides/slide1.xml"),
            ),
            "ppt/slides/slide1.xml": f"{_HEAD}<p:sld {space}>{full}</p:sld>",
            "ppt/slides/_rels/slide1.xml.rels": relationships(
                relationship("rId1", "slideLayout", "../slideLayouts/slideLayout1.xml")
            ),
            "ppt/slideLayouts/slideLayout1.xml": f"{_HEAD}<p:sldLayout {space}>{empty}</p:sldLayout>",
            "ppt/slideLayouts/_rels/slideLayout1.xml.rels": relationships(
                relationship("rId1", "slideMaster", "../slideMasters/slideMaster1.xml")
            ),
            "ppt/slideMasters/slideMaster1.xml": (
                f"{_HEAD}<p:sldMaster {space}>{empty}<p:clrMap {colors}/>{layouts}</p:sldMaster>"
            ),
            "ppt/slideMasters/_rels/slideMaster1.xml.rels": relationships(
                relationship("rId1", "slideLayout", "../slideLayouts/slideLayout1.xml")
            ),
        },
    )


def write(path: Path, parts: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return path


def parts_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def edited(path: Path, change: Callable[[dict[str, bytes]], None]) -> Path:
    """A copy of the package with its parts changed, as an attacker with a zip program would."""
    parts = parts_of(path)
    change(parts)
    return write(path.with_name(f"edited-{path.name}"), parts)


def with_duplicate(path: Path, name: str, data: bytes) -> Path:
    """A copy with a second entry of the same name."""
    target = path.with_name(f"duplicate-{path.name}")
    target.write_bytes(path.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile knows it is wrong
        with zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, data)
    return target


def compressed_bytes(path: Path, name: str) -> bytes:
    """An entry's bytes as they lie in the archive."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(name)
    data = path.read_bytes()
    lengths = struct.unpack("<HH", data[info.header_offset + 26 : info.header_offset + 30])
    start = info.header_offset + 30 + sum(lengths)
    return data[start : start + info.compress_size]


@dataclass
class OoxmlWorld:
    """A TEST hierarchy with a leader, an agency, timestamps; everything at the fake clock's time."""

    authority: TestAuthority
    clock: FakeClock
    trust: TrustStore
    leader: SigningKey
    agency: SigningKey
    tsa: TimestampAuthority
    timestamper: Timestamper

    @classmethod
    def create(cls, folder: Path) -> "OoxmlWorld":
        clock = FakeClock()
        authority = TestAuthority.create(folder, clock)
        leader = authority.leader("G22", "mau", "Nguyễn Thị Mẫu", "Cơ quan Mẫu Trung ương")
        tsa = timestamp_authority(authority.timestamp_authority(), clock)
        return cls(
            authority,
            clock,
            TrustStore.load(authority.roots_path, authority.document_chain_path, authority.crl_paths),
            key_of(leader),
            key_of(authority.agency_seal("G22", "Cơ quan Mẫu Trung ương")),
            tsa,
            LocalTimestamper(tsa),
        )

    def p256_key(self, ends: datetime | None = None) -> SigningKey:
        """A P-256 document key: the hierarchy itself issues RSA for documents."""
        issuer = Authority.load(self.authority.folder / "ca" / "document")
        identity = Identity(self.authority.trust_domain, Kind.LEADER, organization="G22", name="mau-p256")
        profile = Profile(
            "Mẫu P-256 (TEST)", (usage.DOCUMENT_SIGNING,), organization_code="G22", non_repudiation=True
        )
        key, now = new_p256(), self.clock.now()
        validity = (now - timedelta(days=1), ends or now + timedelta(days=100))
        certificate = issue(issuer, name_of(profile), key.public_key(), validity, profile, identity.uri)
        chain = tuple(c.public_bytes(Encoding.DER) for c in (certificate, issuer.certificate))
        return FileKey(key, certificate, chain)

    async def sign(
        self, source: Path, key: SigningKey, *, mark: IssueMark | None = None, stamped: bool = True
    ) -> Path:
        target = source.with_name(f"signed-{source.name}")
        stamper = self.timestamper if stamped else None
        await sign_package(source, target, key, time=self.clock.now(), mark=mark, timestamper=stamper)
        return target

    def judge(self, path: Path, trust: TrustStore | None = None) -> PackageReport:
        return PackageValidator(trust or self.trust, self.trust, self.clock).validate(path)


def key_of(issued: Issued) -> SigningKey:
    return load_signing_key(issued.key_path, issued.chain_path)


def timestamp_authority(issued: Issued, clock: FakeClock, **options: object) -> TimestampAuthority:
    key = key_of(issued)
    given = {"serials": itertools.count(1).__next__} | options
    return TimestampAuthority(
        key.sign,
        issued.certificate(),
        issued.chain(),
        clock=clock,
        **given,  # type: ignore[arg-type]
    )
