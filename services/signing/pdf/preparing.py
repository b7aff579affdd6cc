"""Placing the number, date and signature fields in one incremental update, before the first signature.

The agency's field carries a lock: without it the number can be changed after the seal and every judge still
says valid (seen). FieldMDP ALL freezes the fields, DocMDP 1 everything else.
"""

# mypy: allow-untyped-calls

from pathlib import Path
from typing import Final

from lienthong.errors import FailedPrecondition, InvalidArgument
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name, pdf_string
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import FieldMDPAction, FieldMDPSpec, MDPPerm, SigFieldSpec, append_signature_field

from services.signing.domain import (
    AGENCY_FIELD,
    DATE_FIELD,
    LEADER_FIELD,
    NUMBER_FIELD,
    FieldPlacements,
    PreparedFields,
    Rectangle,
)
from services.signing.pdf.active import refuse_active_content
from services.signing.pdf.opening import (
    DEFAULT_LIMITS,
    Limits,
    entry,
    form_fields,
    inherited,
    is_signed,
    opened,
    pages,
)

_PRINT: Final = 4
_TOOLTIPS: Final = {
    NUMBER_FIELD: "Số văn bản",
    DATE_FIELD: "Ngày ban hành",
    LEADER_FIELD: "Chữ ký của người có thẩm quyền",
    AGENCY_FIELD: "Chữ ký số của cơ quan",
}


def prepare(
    source: Path, output: Path, placements: FieldPlacements, limits: Limits = DEFAULT_LIMITS
) -> PreparedFields:
    """Write to `output` the document of `source` with the four fields, as an incremental update."""
    with opened(source, limits) as reader:
        if is_signed(reader):
            raise FailedPrecondition(
                "DOCUMENT_ALREADY_SIGNED", "fields are placed before the first signature"
            )
        refuse_active_content(reader, limits)
        taken = sorted(placements.by_name().keys() & form_fields(reader).keys())
        if taken:
            raise FailedPrecondition(
                "DOCUMENT_ALREADY_PREPARED", "the fields are there already", fields=",".join(taken)
            )
        boxes = {name: page_box(reader, place, name, limits) for name, place in placements.by_name().items()}
        writer = IncrementalPdfFileWriter.from_reader(reader)
        _place_text_fields(writer, reader, placements, boxes, limits)
        append_signature_field(writer, signature_field(LEADER_FIELD, placements.leader, boxes[LEADER_FIELD]))
        append_signature_field(
            writer, signature_field(AGENCY_FIELD, placements.agency, boxes[AGENCY_FIELD], lock=True)
        )
        _let_nobody_redraw(writer)
        with output.open("wb") as target:
            writer.write(target)
    return PreparedFields(placements.by_name())


def page_box(
    reader: PdfFileReader, place: Rectangle, name: str, limits: Limits = DEFAULT_LIMITS
) -> tuple[float, float, float, float]:
    """The placement in the page's own coordinates, which need not start at 0; refused outside the page."""
    left, bottom, width, height = shown_area(reader, place.page, limits)
    if place.right > width or place.top > height:
        raise InvalidArgument("PLACEMENT_OUTSIDE_PAGE", "a placement is outside its page", field=name)
    return left + place.left, bottom + place.bottom, left + place.right, bottom + place.top


def shown_area(
    reader: PdfFileReader, index: int, limits: Limits = DEFAULT_LIMITS
) -> tuple[float, float, float, float]:
    """Left, bottom, width and height of what is shown of a page, in the page's own coordinates."""
    all_pages = pages(reader, limits)
    if index >= len(all_pages):
        raise InvalidArgument("PLACEMENT_OUTSIDE_PAGE", "there is no such page", page=index)
    page = all_pages[index].get_object()
    if int(str(inherited(page, "/Rotate") or 0)) % 360:
        raise InvalidArgument("PAGE_ROTATED", "fields cannot be placed on a rotated page", page=index)
    shown = inherited(page, "/CropBox") or inherited(page, "/MediaBox")
    if not isinstance(shown, generic.ArrayObject) or len(shown) != 4:
        raise InvalidArgument("DOCUMENT_BROKEN", "a page has no size")
    x1, y1, x2, y2 = (float(edge) for edge in shown)
    return min(x1, x2), min(y1, y2), abs(x2 - x1), abs(y2 - y1)


def signature_field(
    name: str, place: Rectangle, box: tuple[float, float, float, float], *, lock: bool = False
) -> SigFieldSpec:
    """A visible signature field; a lock freezes the whole document from its signature on."""
    left, bottom, right, top = (round(edge, 2) for edge in box)
    return SigFieldSpec(
        name,
        on_page=place.page,
        box=(left, bottom, right, top),  # type: ignore[arg-type]  # floats are fine in a PDF rectangle
        field_mdp_spec=FieldMDPSpec(FieldMDPAction.ALL) if lock else None,
        doc_mdp_update_value=MDPPerm.NO_CHANGES if lock else None,
        readable_field_name=_TOOLTIPS.get(name),
    )


def _place_text_fields(
    writer: IncrementalPdfFileWriter,
    reader: PdfFileReader,
    placements: FieldPlacements,
    boxes: dict[str, tuple[float, float, float, float]],
    limits: Limits,
) -> None:
    form = entry(writer.root, "/AcroForm")
    if form is None:
        form = writer.root["/AcroForm"] = generic.DictionaryObject()
        writer.update_root()
    fields = form.setdefault(pdf_name("/Fields"), generic.ArrayObject()).get_object()
    all_pages = pages(reader, limits)
    for name, place in ((NUMBER_FIELD, placements.number), (DATE_FIELD, placements.date)):
        page = all_pages[place.page]
        widget = writer.add_object(_text_field(name, boxes[name], page))
        fields.append(widget)
        writer.register_annotation(generic.IndirectObject(page.idnum, page.generation, writer), widget)
    writer.update_container(fields)


def _text_field(
    name: str, box: tuple[float, float, float, float], page: generic.IndirectObject
) -> generic.DictionaryObject:
    return generic.DictionaryObject(
        {
            pdf_name("/Type"): pdf_name("/Annot"),
            pdf_name("/Subtype"): pdf_name("/Widget"),
            pdf_name("/FT"): pdf_name("/Tx"),
            pdf_name("/T"): pdf_string(name),
            pdf_name("/TU"): pdf_string(_TOOLTIPS[name]),
            pdf_name("/F"): generic.NumberObject(_PRINT),
            pdf_name("/P"): page,
            pdf_name("/Rect"): generic.ArrayObject(generic.FloatObject(round(edge, 2)) for edge in box),
            pdf_name("/DA"): generic.TextStringObject("/Helv 0 Tf 0 g"),
        }
    )


def _let_nobody_redraw(writer: IncrementalPdfFileWriter) -> None:
    """NeedAppearances lets a viewer draw fields its own way: what is shown must be what was signed."""
    form = writer.root["/AcroForm"]
    if form.pop("/NeedAppearances", None) is not None:
        writer.update_container(form)
