"""Large PDFs as scanners and drawing offices make them, written to disk piece by piece.

The pixels are random, so nothing compresses, and every piece begins differently, so nothing is equal.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

MIB: Final = 1024 * 1024
_ROW: Final = 1024
_FONT: Final = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
_SEED: Final = 20260205


def scanned(path: Path, size: int, page: int = MIB) -> Path:
    """Pages of one grey image of `page` bytes each, until the file has about `size` bytes."""
    return _document(path, [page // _ROW] * (size // page))


def embedded(path: Path, size: int) -> Path:
    """One page with one image of about `size` bytes, as a scanned plan is."""
    return _document(path, [size // _ROW])


def _document(path: Path, images: list[int]) -> Path:
    """One page for each image; an image is given by its rows."""
    with path.open("wb") as file:
        writer = _Objects(file)
        kids = b" ".join(b"%d 0 R" % _page_number(index) for index in range(len(images)))
        writer.put(1, b"<< /Type /Catalog /Pages 2 0 R >>")
        writer.put(2, b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(images), kids))
        writer.put(3, _FONT)
        pixels = random.Random(_SEED).randbytes(MIB)
        for index, rows in enumerate(images):
            number = _page_number(index)
            _page(writer, number, index)
            writer.stream(number + 2, _image(rows), rows * _ROW, _pieces(pixels, index, rows * _ROW))
        writer.end()
    return path


def _page_number(index: int) -> int:
    """Objects 1 to 3 are the catalog, the page tree and the font; then page, content, image for each page."""
    return 4 + 3 * index


def _page(writer: _Objects, number: int, index: int) -> None:
    content = b"q 400 0 0 400 97 250 cm /I Do Q BT /F 14 Tf 72 700 Td (TRANG MAU %d) Tj ET" % (index + 1)
    writer.put(
        number,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
        b" /Resources << /Font << /F 3 0 R >> /XObject << /I %d 0 R >> >> >>" % (number + 1, number + 2),
    )
    writer.stream(number + 1, b"", len(content), iter((content,)))


def _image(rows: int) -> bytes:
    shape = b"/ColorSpace /DeviceGray /BitsPerComponent 8 /Width %d /Height %d" % (_ROW, rows)
    return b"/Type /XObject /Subtype /Image " + shape


def _pieces(pixels: bytes, index: int, size: int) -> Iterator[bytes]:
    for start in range(0, size, MIB):
        mark = b"%08d%08d" % (index, start)
        yield mark
        yield pixels[len(mark) : min(MIB, size - start)]


class _Objects:
    """Writes numbered objects one after the other, and at last where each of them stands."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offsets: list[int] = []
        file.write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")

    def put(self, number: int, content: bytes) -> None:
        self._begin(number)
        self._file.write(content + b"\nendobj\n")

    def stream(self, number: int, entries: bytes, size: int, pieces: Iterator[bytes]) -> None:
        self._begin(number)
        self._file.write(b"<< %s /Length %d >>\nstream\n" % (entries, size))
        self._file.writelines(pieces)
        self._file.write(b"\nendstream\nendobj\n")

    def end(self) -> None:
        place = self._file.tell()
        count = len(self._offsets) + 1
        self._file.write(b"xref\n0 %d\n0000000000 65535 f \n" % count)
        self._file.writelines(b"%010d 00000 n \n" % offset for offset in self._offsets)
        self._file.write(b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, place))

    def _begin(self, number: int) -> None:
        assert number == len(self._offsets) + 1, "objects are written in order"
        self._offsets.append(self._file.tell())
        self._file.write(b"%d 0 obj\n" % number)
