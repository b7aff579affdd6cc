"""PDF documents to test with, made here: Vietnamese text, marked MẪU, with gaps where number and date go."""

# mypy: allow-untyped-calls

from collections.abc import Callable
from pathlib import Path

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from services.signing.domain import FieldPlacements, Rectangle, seal_over
from services.signing.pdf.fonts import font

LEADER_PLACE = Rectangle(page=0, left=350, bottom=250, width=160, height=70)
PLACEMENTS = FieldPlacements(
    number=Rectangle(page=0, left=112, bottom=741, width=28, height=18),
    date=Rectangle(page=0, left=372, bottom=741, width=180, height=18),
    leader=LEADER_PLACE,
    agency=seal_over(LEADER_PLACE),
)

_LETTER = (
    "Kính gửi: Ủy ban nhân dân các tỉnh, thành phố (văn bản MẪU, không có giá trị pháp lý).",
    "Nội dung có đủ dấu tiếng Việt: ăn, ấm, ế, ệ, ỏ, ỡ, ự, ỹ, Đ, đ.",
    "Đề nghị các đơn vị nhận văn bản và báo cáo kết quả trước ngày 15 tháng 12 năm 2026.",
)


def letter(path: Path, *, pages: int = 1, notation: str = "CQM-TH") -> Path:
    """An official letter whose first page leaves room for `PLACEMENTS`."""
    canvas = _canvas(path)
    canvas.setFont(font(), 11)
    canvas.drawCentredString(150, 790, "CƠ QUAN MẪU TRUNG ƯƠNG")
    canvas.drawCentredString(430, 790, "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM")
    canvas.drawCentredString(430, 774, "Độc lập - Tự do - Hạnh phúc")
    canvas.setFont(font(), 13)
    canvas.drawString(84, 746, "Số:")
    canvas.drawString(140, 746, f"/{notation}")
    canvas.setFont(font(italic=True), 13)
    canvas.drawRightString(370, 746, "Hà Nội,")
    canvas.setFont(font(), 12)
    for index, line in enumerate(_LETTER):
        canvas.drawString(60, 690 - 22 * index, line)
    canvas.drawCentredString(430, 350, "TL. THỦ TRƯỞNG")
    canvas.drawCentredString(430, 334, "CHÁNH VĂN PHÒNG")
    canvas.drawCentredString(430, 226, "Nguyễn Thị Mẫu")
    canvas.showPage()
    _more_pages(canvas, pages - 1)
    canvas.save()
    return path


def annex(path: Path) -> Path:
    """An annex in a file of its own."""
    canvas = _canvas(path)
    canvas.setFont(font(), 14)
    canvas.drawCentredString(297, 740, "PHỤ LỤC MẪU")
    canvas.showPage()
    canvas.save()
    return path


def encrypted(path: Path) -> Path:
    """A letter that wants a password."""
    canvas = Canvas(str(path), pagesize=A4, encrypt="bí mật MẪU")
    canvas.drawString(60, 700, "MAU")
    canvas.showPage()
    canvas.save()
    return path


def updated(source: Path, output: Path, change: Callable[[IncrementalPdfFileWriter], None]) -> Path:
    """An incremental update, as an editor or an attacker makes it."""
    with source.open("rb") as stream:
        writer = IncrementalPdfFileWriter(stream)
        change(writer)
        with output.open("wb") as target:
            writer.write(target)
    return output


def set_text(name: str, value: str) -> Callable[[IncrementalPdfFileWriter], None]:
    """Changes the value of a text field."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        for reference in writer.root["/AcroForm"]["/Fields"]:
            field = reference.get_object()
            if field["/T"] == name:
                field["/V"] = generic.pdf_string(value)
                writer.mark_update(reference)

    return change


def swap_first_page(writer: IncrementalPdfFileWriter) -> None:
    """Shows other words on the first page."""
    page = writer.root["/Pages"]["/Kids"][0]
    words = generic.StreamObject(stream_data=b"BT /F1 12 Tf 72 700 Td (GIA MAO) Tj ET")
    page[generic.pdf_name("/Contents")] = writer.add_object(words)
    writer.update_container(page)


def run_script_on_open(writer: IncrementalPdfFileWriter) -> None:
    """Adds a script that runs when the document is opened."""
    writer.root[generic.pdf_name("/OpenAction")] = _action("/JavaScript")
    writer.update_root()


def launch_from_a_bookmark(writer: IncrementalPdfFileWriter) -> None:
    """Adds a bookmark that starts a program, behind an innocent action."""
    first = _action("/GoTo")
    first[generic.pdf_name("/Next")] = generic.ArrayObject([_action("/Launch")])
    item = writer.add_object(generic.DictionaryObject({generic.pdf_name("/A"): first}))
    outline = generic.DictionaryObject({generic.pdf_name("/First"): item})
    writer.root[generic.pdf_name("/Outlines")] = writer.add_object(outline)
    writer.update_root()


def add_xfa(writer: IncrementalPdfFileWriter) -> None:
    """Adds a form that draws itself from XML."""
    form = {
        generic.pdf_name("/XFA"): generic.pdf_string("MAU"),
        generic.pdf_name("/Fields"): generic.ArrayObject(),
    }
    writer.root[generic.pdf_name("/AcroForm")] = generic.DictionaryObject(form)
    writer.update_root()


def _action(kind: str) -> generic.DictionaryObject:
    return generic.DictionaryObject({generic.pdf_name("/S"): generic.pdf_name(kind)})


def add_indirect_form(writer: IncrementalPdfFileWriter) -> None:
    """A form and annotations behind references, as office programs write them; viewers are to redraw."""
    flag = {generic.pdf_name("/NeedAppearances"): generic.BooleanObject(True)}
    form = generic.DictionaryObject(flag)
    form[generic.pdf_name("/Fields")] = writer.add_object(generic.ArrayObject())
    writer.root[generic.pdf_name("/AcroForm")] = writer.add_object(form)
    writer.update_root()
    page = writer.root["/Pages"]["/Kids"][0]
    page[generic.pdf_name("/Annots")] = writer.add_object(generic.ArrayObject())
    writer.update_container(page)


def multiply_fields(writer: IncrementalPdfFileWriter) -> None:
    """A form in which every field has the next one as its child twice."""
    kid = writer.add_object(generic.DictionaryObject({generic.pdf_name("/T"): generic.pdf_string("leaf")}))
    for _ in range(30):
        kids = {generic.pdf_name("/Kids"): generic.ArrayObject([kid, kid])}
        kid = writer.add_object(generic.DictionaryObject(kids))
    fields = {generic.pdf_name("/Fields"): generic.ArrayObject([kid])}
    writer.root[generic.pdf_name("/AcroForm")] = generic.DictionaryObject(fields)
    writer.update_root()


def _canvas(path: Path) -> Canvas:
    return Canvas(str(path), pagesize=A4, pageCompression=0, invariant=1)


def _more_pages(canvas: Canvas, count: int) -> None:
    for index in range(count):
        canvas.setFont(font(), 12)
        canvas.drawString(60, 760, f"Trang MẪU {index + 2}")
        canvas.showPage()
