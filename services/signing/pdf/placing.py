"""Bringing a drawing (a one-page PDF) into a document: as a field's appearance, or as a signature's stamp."""

# mypy: allow-untyped-calls

import hashlib
import io

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.content import PdfContent
from pyhanko.pdf_utils.layout import AxisAlignment, BoxConstraints, InnerScaling, Margins, SimpleBoxLayoutRule
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.pdf_utils.writer import BasePdfFileWriter
from pyhanko.stamp import StaticStampStyle

from services.signing.pdf.opening import entry


class DrawnPage(PdfContent):
    """The first page of a PDF held in memory. pyHanko's own reads its file again for each signature."""

    def __init__(self, page: bytes, width: float, height: float) -> None:
        super().__init__(box=BoxConstraints(width=width, height=height))
        self._page = page

    def render(self) -> bytes:
        writer = self.writer
        if writer is None:
            raise ValueError("a drawing is rendered into a document")
        name = f"/Drawing{hashlib.sha256(self._page).hexdigest()[:16]}"
        self.resources.xobject[name] = import_drawing(writer, self._page)
        return name.encode() + b" Do"


def import_drawing(writer: BasePdfFileWriter, page: bytes) -> generic.IndirectObject:
    """The drawing as a form XObject of the document."""
    reference: generic.IndirectObject = writer.import_page_as_xobject(PdfFileReader(io.BytesIO(page)))
    return reference


def stamp_style(page: bytes, width: float, height: float) -> StaticStampStyle:
    """The drawing as it is: no border, no margin, not scaled."""
    return StaticStampStyle(
        border_width=0,
        background=DrawnPage(page, width, height),
        background_layout=SimpleBoxLayoutRule(
            x_align=AxisAlignment.ALIGN_MID,
            y_align=AxisAlignment.ALIGN_MID,
            margins=Margins.uniform(0),
            inner_content_scaling=InnerScaling.NO_SCALING,
        ),
    )


def rectangle_size(field: generic.DictionaryObject | None) -> tuple[float, float]:
    """Width and height of a widget; zero for an invisible one, or none."""
    edges = entry(field, "/Rect") if field is not None else None
    if not isinstance(edges, generic.ArrayObject) or len(edges) != 4:
        return 0.0, 0.0
    x1, y1, x2, y2 = (float(edge) for edge in edges)
    return abs(x2 - x1), abs(y2 - y1)
