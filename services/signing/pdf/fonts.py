"""The embedded typeface: Noto Serif has every Vietnamese letter; it is read once, for that takes long."""

import threading
from typing import Final

import fontpkg_noto_serif
from lienthong.errors import InvalidArgument
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

_FILES: Final = {
    "LienThongSerif": "NotoSerif[wdth,wght].ttf",
    "LienThongSerif-Italic": "NotoSerif-Italic[wdth,wght].ttf",
}
MIN_SIZE: Final = 6.0


_REGISTERING: Final = threading.Lock()


def font(*, italic: bool = False) -> str:
    """The name under which reportlab knows the typeface."""
    name = "LienThongSerif-Italic" if italic else "LienThongSerif"
    # Twice the same face in one process would leave drawings half in one, half in the other.
    with _REGISTERING:
        if name not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(name, str(fontpkg_noto_serif.ROOT / "files" / _FILES[name])))
    return name


def text_width(text: str, size: float, *, italic: bool = False) -> float:
    """Width in points."""
    return float(pdfmetrics.stringWidth(text, font(italic=italic), size))


def fitting_size(text: str, wanted: float, width: float, height: float, *, italic: bool = False) -> float:
    """The largest size up to `wanted` at which one line fits; text too small to read is refused."""
    unit = text_width(text, 1.0, italic=italic)
    size = min(wanted, width / unit if unit else wanted, height / 1.2)
    if size < MIN_SIZE:
        raise InvalidArgument("TEXT_DOES_NOT_FIT", "the text does not fit its place on the page", text=text)
    return size
