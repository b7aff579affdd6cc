"""What an agency's own software does before it submits as `AlreadyIssued`: it prints number and date, and
signs with its own keys, the leader first, then the agency, each signature stamped (PAdES B-T).

It is an outside program: pyHanko and reportlab used plainly, key files of its own, a timestamp authority over
HTTP, nothing of the node. The signatures that a node makes are services/signing's.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio
import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import aiohttp
import fontpkg_noto_serif
from lienthong.pki.issuing import Issued
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign.fields import (
    FieldMDPAction,
    FieldMDPSpec,
    MDPPerm,
    SigFieldSpec,
    SigSeedSubFilter,
    append_signature_field,
)
from pyhanko.sign.signers import PdfSignatureMetadata, PdfSigner, SimpleSigner
from pyhanko.sign.timestamps import HTTPTimeStamper, TimeStamper
from pyhanko.stamp import StaticStampStyle
from reportlab.lib.pagesizes import A4
from reportlab.lib.utils import simpleSplit
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

LEADER_FIELD: Final = "LeaderSignature"
AGENCY_FIELD: Final = "AgencySignature"

_LEADER_BOX: Final = (345, 270, 535, 340)
# Decree 30/2020, annex I: the seal lies over the left third of the signature, 36 mm across.
_AGENCY_BOX: Final = (306, 254, 408, 356)
# Hexadecimal digits left for the signature with its certificates and token.
_RESERVED: Final = 32 * 1024
# Another organization's authority answers in 2 to 131 seconds (measured).
_TIMESTAMP_SECONDS: Final = 180
_BLUE: Final = (0.04, 0.16, 0.62)
_RED: Final = (0.85, 0.05, 0.07)


@dataclass(frozen=True, slots=True)
class Letter:
    """An official letter; number and date are printed as the agency's own register gave them."""

    agency: str
    number: int
    notation: str
    place: str
    day: date
    subject: str
    addressees: Sequence[str]
    paragraphs: Sequence[str]
    position: str
    signer: str
    superior: str = ""

    @property
    def code(self) -> str:
        """Number and notation as printed: a number below 10 takes a leading zero."""
        return f"{self.number:02d}/{self.notation}"


def write_letter(letter: Letter, target: Path) -> Path:
    """The unsigned PDF in the layout of decree 30/2020, annex I (one page)."""
    canvas = Canvas(str(target), pagesize=A4)
    canvas.setTitle(f"{letter.code} {letter.subject}")
    _head(canvas, letter)
    height = 650.0
    _centred(canvas, 297, height, "Kính gửi: " + "; ".join(letter.addressees), 13)
    for paragraph in letter.paragraphs:
        for line in simpleSplit("      " + paragraph, _font(), 13, 460):
            height -= 22
            _left(canvas, 75, height, line, 13)
    _centred(canvas, 440, 365, letter.position.upper(), 13)
    _centred(canvas, 440, 250, letter.signer, 13)
    _left(canvas, 75, 40, "VĂN BẢN MẪU - không có giá trị pháp lý", 9)
    canvas.showPage()
    canvas.save()
    return target


async def sign_letter(
    source: Path, target: Path, *, leader: Issued, agency: Issued, signer: str, timestamps_url: str
) -> Path:
    """Write `target`: `source` with the leader's signature, then the agency's, which locks everything."""
    async with aiohttp.ClientSession() as session:
        stamps = HTTPTimeStamper(timestamps_url, timeout=_TIMESTAMP_SECONDS, session=session)
        with tempfile.TemporaryDirectory(prefix="agency-signing-") as name:
            folder = Path(name)
            signed = folder / "signed.pdf"
            await _sign(
                source, signed, _Act(leader, LEADER_FIELD, "Ký duyệt", _drawn(folder, signer)), stamps
            )
            seal = _Act(agency, AGENCY_FIELD, "Phát hành", _drawn(folder, ""))
            await _sign(signed, target, seal, stamps)
    return target


@dataclass(frozen=True, slots=True)
class _Act:
    key: Issued
    field: str
    statement: str
    drawing: Path


async def _sign(source: Path, target: Path, act: _Act, stamps: TimeStamper) -> None:
    signer = SimpleSigner.load(
        str(act.key.key_path), str(act.key.certificate_path), ca_chain_files=(str(act.key.chain_path),)
    )
    metadata = PdfSignatureMetadata(
        field_name=act.field,
        md_algorithm="sha256",
        subfilter=SigSeedSubFilter.PADES,
        reason=act.statement,
        docmdp_permissions=None,  # type: ignore[arg-type]  # the lock of the agency's field decides
    )
    style = StaticStampStyle.from_pdf_file(str(act.drawing), border_width=0)
    maker = PdfSigner(metadata, signer=signer, timestamper=stamps, stamp_style=style)
    with (
        await asyncio.to_thread(source.open, "rb") as content,
        await asyncio.to_thread(target.open, "w+b") as output,
    ):
        writer = IncrementalPdfFileWriter(content)
        if act.field == LEADER_FIELD:
            _place_fields(writer)
        await maker.async_sign_pdf(writer, existing_fields_only=True, bytes_reserved=_RESERVED, output=output)


def _place_fields(writer: IncrementalPdfFileWriter) -> None:
    """Both fields before the first signature, so that the second adds nothing to what was signed."""
    append_signature_field(writer, SigFieldSpec(LEADER_FIELD, box=_LEADER_BOX))
    # Without the lock a page can be changed after the seal while every signature stays valid (seen).
    lock = FieldMDPSpec(FieldMDPAction.ALL)
    append_signature_field(
        writer,
        SigFieldSpec(
            AGENCY_FIELD, box=_AGENCY_BOX, field_mdp_spec=lock, doc_mdp_update_value=MDPPerm.NO_CHANGES
        ),
    )


def _head(canvas: Canvas, letter: Letter) -> None:
    _centred(canvas, 165, 800, letter.superior.upper(), 11)
    _centred(canvas, 165, 784, letter.agency.upper(), 11)
    _centred(canvas, 420, 800, "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", 11)
    _centred(canvas, 420, 784, "Độc lập - Tự do - Hạnh phúc", 11)
    _centred(canvas, 165, 745, f"Số: {letter.code}", 13)
    # Annex I: days below 10, and of the months only 1 and 2, take a leading zero.
    month = f"{letter.day.month:02d}" if letter.day.month <= 2 else str(letter.day.month)
    day = f"{letter.place}, ngày {letter.day.day:02d} tháng {month} năm {letter.day.year}"
    _centred(canvas, 420, 745, day, 12)
    for index, line in enumerate(simpleSplit(f"V/v {letter.subject}", _font(), 11, 200)[:3]):
        _centred(canvas, 165, 726 - 14 * index, line, 11)


def _drawn(folder: Path, signer: str) -> Path:
    """What is seen of a signature: the signer's name in blue, or (without one) a round red specimen."""
    if signer:
        return _drawing(folder / "signature.pdf", (190, 70), lambda canvas: _autograph(canvas, signer))
    return _drawing(folder / "seal.pdf", (102, 102), _specimen)


def _drawing(path: Path, size: tuple[float, float], draw: Callable[[Canvas], None]) -> Path:
    canvas = Canvas(str(path), pagesize=size)
    draw(canvas)
    canvas.showPage()
    canvas.save()
    return path


def _autograph(canvas: Canvas, signer: str) -> None:
    canvas.setStrokeColorRGB(*_BLUE)
    canvas.setFillColorRGB(*_BLUE)
    canvas.setLineWidth(1.6)
    canvas.bezier(20, 25, 60, 75, 70, -5, 110, 45)
    canvas.bezier(110, 45, 130, 65, 120, 10, 175, 35)
    canvas.setFont(_font(), 8)
    canvas.drawRightString(186, 4, f"{signer} (MẪU)")


def _specimen(canvas: Canvas) -> None:
    """Never the likeness of a real seal: MẪU is what it says."""
    canvas.setStrokeColorRGB(*_RED)
    canvas.setFillColorRGB(*_RED)
    canvas.setLineWidth(2)
    canvas.circle(51, 51, 49)
    canvas.setLineWidth(0.8)
    canvas.circle(51, 51, 44)
    _centred(canvas, 51, 52, "MẪU", 20)
    _centred(canvas, 51, 36, "TEST", 11)


def _left(canvas: Canvas, x: float, y: float, text: str, size: float) -> None:
    canvas.setFont(_font(), size)
    canvas.drawString(x, y, text)


def _centred(canvas: Canvas, x: float, y: float, text: str, size: float) -> None:
    canvas.setFont(_font(), size)
    canvas.drawCentredString(x, y, text)


@functools.cache
def _font() -> str:
    """The typeface with every Vietnamese letter, registered once."""
    name = "AgencySerif"
    pdfmetrics.registerFont(TTFont(name, str(fontpkg_noto_serif.ROOT / "files" / "NotoSerif[wdth,wght].ttf")))
    return name
