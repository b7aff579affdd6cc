"""Drawing what is seen of a signature as one-page PDFs, cached by content: lines, handwriting, the seal.

Vector drawings of ours stand in where the owner gave no image. A seal drawn by us always says MẪU: we must
never make something that passes for an agency's real seal.
"""

import functools
import hashlib
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lienthong.errors import InvalidArgument
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.pdfgen.pathobject import PDFPathObject

from services.signing.domain import Appearance
from services.signing.pdf.fonts import fitting_size, font, text_width

# ND 30/2020 annex I: the leader's signature is blue, the seal red, text black.
BLUE: Final = (0.04, 0.16, 0.62)
RED: Final = (0.85, 0.05, 0.07)
BLACK: Final = (0.0, 0.0, 0.0)
_BASE: Final = 0.42  # where the line of handwriting runs, as a part of the height
MAX_IMAGE_BYTES: Final = 4 * 1024 * 1024


@functools.lru_cache(maxsize=1024)
def text_lines(
    lines: tuple[str, ...], width: float, height: float, size: float, *, italic: bool = False
) -> bytes:
    """Black lines of text, as large as fits up to `size`, centred in height."""
    each = height / len(lines)
    fitted = min(fitting_size(line, size, width, each, italic=italic) for line in lines)

    def draw(canvas: Canvas) -> None:
        canvas.setFillColorRGB(*BLACK)
        canvas.setFont(font(italic=italic), fitted)
        step = min(each, fitted * 1.3)
        top = (height + step * len(lines)) / 2
        for index, line in enumerate(lines):
            canvas.drawString(0, top - step * (index + 1) + step * 0.28, line)

    return _page(width, height, draw)


def personal_signature(appearance: Appearance, width: float, height: float) -> bytes:
    """The owner's image, or strokes in blue drawn from the name."""
    if appearance.image is not None:
        return _image(appearance.image, appearance.image.stat().st_mtime_ns, width, height)
    return _handwriting(appearance.name, width, height, specimen=appearance.specimen)


def agency_seal(appearance: Appearance, width: float, height: float) -> bytes:
    """The agency's image, or a round red specimen with its name."""
    if appearance.image is not None:
        return _image(appearance.image, appearance.image.stat().st_mtime_ns, width, height)
    return _seal(appearance.name, width, height)


@functools.lru_cache(maxsize=64)
def _image(path: Path, changed: int, width: float, height: float) -> bytes:  # noqa: ARG001  (`changed` is the cache's)
    """A PNG with its transparency, as large as fits, undistorted."""
    if path.stat().st_size > MAX_IMAGE_BYTES:
        raise InvalidArgument("IMAGE_TOO_LARGE", "the image of a signature is too large")

    def draw(canvas: Canvas) -> None:
        try:
            picture = ImageReader(str(path))
            canvas.drawImage(picture, 0, 0, width, height, mask="auto", preserveAspectRatio=True, anchor="c")
        except (OSError, ValueError, SyntaxError) as error:
            raise InvalidArgument("IMAGE_UNREADABLE", "the image of a signature cannot be read") from error

    return _page(width, height, draw)


@functools.lru_cache(maxsize=256)
def _handwriting(name: str, width: float, height: float, *, specimen: bool) -> bytes:
    """A slanted chain of loops closed by a flourish; the same name always gives the same strokes."""

    def draw(canvas: Canvas) -> None:
        canvas.setStrokeColorRGB(*BLUE)
        canvas.setFillColorRGB(*BLUE)
        canvas.setLineCap(1)
        canvas.setLineJoin(1)
        canvas.setLineWidth(max(0.9, height / 42))
        path = canvas.beginPath()
        _flourish(path, _loops(path, name, width, height), width, height)
        canvas.drawPath(path, stroke=1, fill=0)
        if specimen:
            canvas.setFont(font(), max(5.0, height * 0.12))
            canvas.drawRightString(width * 0.98, height * 0.02, "MẪU")

    return _page(width, height, draw)


def _loops(path: PDFPathObject, name: str, width: float, height: float) -> float:
    """One loop a letter, the first a capital, some with a tail below; returns where the pen stands."""
    strokes = hashlib.sha256(name.encode()).digest()
    count = max(4, min(9, len(name.replace(" ", "")) // 2 + 2))
    x, y, step = width * 0.08, height * _BASE, width * 0.78 / count
    path.moveTo(x, y)
    for index in range(count):
        rise = height * (0.5 if index == 0 else 0.12 + strokes[index] / 255 * 0.26)
        drop = height * (0.22 if strokes[index + 9] > 208 else 0.05)
        lean = x + step * 0.55
        path.curveTo(x + step * 0.22, y + rise * 0.4, lean + step * 0.5, y + rise * 1.15, lean, y + rise)
        path.curveTo(lean - step * 0.4, y + rise * 0.8, x + step * 0.2, y - drop * 1.6, lean, y - drop)
        path.curveTo(x + step * 0.8, y - drop * 0.4, x + step * 0.85, y - 1, x + step, y)
        x += step
    return x


def _flourish(path: PDFPathObject, x: float, width: float, height: float) -> None:
    base, reach = height * _BASE, width * 0.1
    path.curveTo(
        x + reach, base + height * 0.34, x + reach / 2, base - height * 0.3, width * 0.5, base * 0.42
    )
    path.curveTo(width * 0.3, base * 0.3, width * 0.12, base * 0.34, width * 0.2, base * 0.52)
    path.curveTo(width * 0.34, base * 0.74, width * 0.75, base * 0.62, width * 0.97, base * 0.8)


@functools.lru_cache(maxsize=256)
def _seal(name: str, width: float, height: float) -> bytes:
    """Two rings, the name along the upper arc, TEST along the lower, a star, MẪU across."""
    radius = min(width, height) / 2 - 1

    def draw(canvas: Canvas) -> None:
        canvas.translate(width / 2, height / 2)
        canvas.setStrokeColorRGB(*RED)
        canvas.setFillColorRGB(*RED)
        canvas.setLineWidth(radius * 0.045)
        canvas.circle(0, 0, radius * 0.97)
        canvas.setLineWidth(radius * 0.018)
        canvas.circle(0, 0, radius * 0.9)
        canvas.circle(0, 0, radius * 0.6)
        size = _arc_size(name.upper(), radius)
        _arc(canvas, name.upper(), radius * 0.75 - size * 0.36, size)
        _arc(canvas, "* TEST *", radius * 0.75 - radius * 0.06, radius * 0.17, lower=True)
        _star(canvas, radius * 0.1, radius * 0.3)
        canvas.setFont(font(), radius * 0.28)
        canvas.drawCentredString(0, -radius * 0.45, "MẪU")

    return _page(width, height, draw)


def _arc_size(text: str, radius: float) -> float:
    """The name may take four fifths of the ring's upper 250 degrees."""
    room = math.radians(230) * radius * 0.7
    return min(radius * 0.17, room / max(text_width(text, 1.0), 1.0))


def _arc(canvas: Canvas, text: str, radius: float, size: float, *, lower: bool = False) -> None:
    """Letters along a circle, each turned with it; the lower arc reads from left to right too."""
    sign = 1 if lower else -1
    baseline = radius + size * 0.72 if lower else radius
    angle = -sign * text_width(text, size) / 2 / radius + (-math.pi / 2 if lower else math.pi / 2)
    canvas.setFont(font(), size)
    for letter in text:
        advance = text_width(letter, size) / radius
        middle = angle + sign * advance / 2
        canvas.saveState()
        canvas.translate(baseline * math.cos(middle), baseline * math.sin(middle))
        canvas.rotate(math.degrees(middle) + (90 if lower else -90))
        canvas.drawCentredString(0, 0, letter)
        canvas.restoreState()
        angle += sign * advance


def _star(canvas: Canvas, centre: float, radius: float) -> None:
    path = canvas.beginPath()
    for point in range(10):
        reach = radius if point % 2 == 0 else radius * 0.382
        angle = math.pi / 2 + point * math.pi / 5
        (path.lineTo if point else path.moveTo)(reach * math.cos(angle), centre + reach * math.sin(angle))
    path.close()
    canvas.drawPath(path, stroke=0, fill=1)


def _page(width: float, height: float, draw: Callable[[Canvas], None]) -> bytes:
    """One page of exactly this size. `invariant` leaves dates and ids out: equal input gives equal bytes."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=(width, height), pageCompression=1, invariant=1)
    draw(canvas)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()
