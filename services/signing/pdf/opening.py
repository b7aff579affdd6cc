"""Opening a PDF that may be hostile, and the clear errors for what cannot be signed."""

# mypy: allow-untyped-calls

import io
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from lienthong.errors import InvalidArgument
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader

from services.signing.pdf import hexstrings, lazy
from services.signing.pdf.lazy import LazyReader, MeteredFile

MAX_TREE_DEPTH: Final = 64
# What a file of this size can do is bounded by its size; metering costs a twentieth of the parser's time.
_UNMETERED: Final = 4 * 1024 * 1024

hexstrings.install()
lazy.install()

# What parsers raise on bytes they did not expect. pyHanko's own errors are among the rarer of them: malformed
# CMS, for one, escapes as a bare ValueError. Defects of ours (NameError, ImportError) stay visible.
HOSTILE_INPUT: Final = (
    PdfError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError,
    RecursionError, NotImplementedError, EOFError, MemoryError, zlib.error, struct.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """What we are willing to read; far above any real document, far below what hurts."""

    max_bytes: int = 512 * 1024 * 1024
    max_objects: int = 500_000
    max_pages: int = 10_000
    max_annotations: int = 20_000
    max_signatures: int = 32
    # What the parser may read of a large file besides the data of streams; it reads much of it twice. A page
    # takes 1 KB of it.
    max_parsed_bytes: int = 64 * 1024 * 1024
    max_seconds: float = 30.0


DEFAULT_LIMITS: Final = Limits()


def check_format(stream: BinaryIO, limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse what is no PDF or too large, before any parser sees it."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size > limits.max_bytes:
        raise InvalidArgument("DOCUMENT_TOO_LARGE", "the document is too large to parse", bytes=size)
    # ISO 32000-1 annex H.3.4.1: the header is within the first 1024 bytes.
    if b"%PDF-" not in stream.read(1024):
        raise InvalidArgument("DOCUMENT_FORMAT", "this is not a PDF")
    stream.seek(0)


@contextmanager
def reading(path: Path, limits: Limits = DEFAULT_LIMITS) -> Iterator[PdfFileReader]:
    """A strict reader of a file, or the reason why there is none. What it read is let go afterwards."""
    with _file(path, limits) as stream:
        reader = _reader(stream, limits)
        try:
            yield reader
        finally:
            reader.release()


def _file(path: Path, limits: Limits) -> BinaryIO:
    if path.stat().st_size <= _UNMETERED:
        return path.open("rb")
    return MeteredFile(io.FileIO(path), limits.max_parsed_bytes)


def _reader(stream: BinaryIO, limits: Limits) -> LazyReader:
    check_format(stream, limits)
    try:
        reader = LazyReader(stream)
        if reader.encrypted or reader.security_handler is not None:
            raise InvalidArgument("DOCUMENT_ENCRYPTED", "the document is encrypted")
        if int(reader.trailer["/Size"]) > limits.max_objects:
            raise InvalidArgument("DOCUMENT_TOO_COMPLEX", "the document has too many objects")
        if reader.root["/Pages"]["/Type"] != "/Pages":
            raise InvalidArgument("DOCUMENT_BROKEN", "the document has no pages")
        _check_form(reader, limits)
    except HOSTILE_INPUT as error:
        cause = type(error).__name__
        raise InvalidArgument("DOCUMENT_BROKEN", "the document cannot be read", cause=cause) from error
    return reader


def _check_form(reader: PdfFileReader, limits: Limits) -> None:
    """Refuse a form that is no tree: shared kids thirty levels deep would take pyHanko's walk for ever."""
    form = entry(reader.root, "/AcroForm")
    waiting = (
        [(kid, 0) for kid in entry(form, "/Fields", ())] if isinstance(form, generic.DictionaryObject) else []
    )
    seen: set[tuple[int, int]] = set()
    while waiting:
        reference, depth = waiting.pop()
        if not isinstance(reference, generic.IndirectObject):
            raise InvalidArgument("DOCUMENT_BROKEN", "a form field is not an indirect object")
        key = (reference.idnum, reference.generation)
        if key in seen or depth > MAX_TREE_DEPTH:
            raise InvalidArgument("DOCUMENT_BROKEN", "the form is not a tree")
        if len(seen) > limits.max_annotations:
            raise InvalidArgument("DOCUMENT_TOO_COMPLEX", "the document has too many fields")
        seen.add(key)
        field = reference.get_object()
        if isinstance(field, generic.DictionaryObject):
            waiting += [(kid, depth + 1) for kid in entry(field, "/Kids", ())]


@contextmanager
def opened(path: Path, limits: Limits = DEFAULT_LIMITS) -> Iterator[PdfFileReader]:
    """The reader of a file; parse errors inside the block become DOCUMENT_BROKEN."""
    with reading(path, limits) as reader:
        try:
            yield reader
        except HOSTILE_INPUT as error:
            cause = type(error).__name__
            raise InvalidArgument("DOCUMENT_BROKEN", "the document cannot be read", cause=cause) from error


def entry(holder: generic.DictionaryObject, name: str, default: Any = None) -> Any:
    """The value under a name, followed where it is a reference; `get` of pyHanko's dictionaries is raw."""
    if name not in holder:
        return default
    return holder[name]


def pages(reader: PdfFileReader, limits: Limits = DEFAULT_LIMITS) -> list[generic.IndirectObject]:
    """References of all pages in order. Our own walk: it bounds depth and number and sees cycles."""
    found: list[generic.IndirectObject] = []
    seen: set[tuple[int, int]] = set()

    def walk(reference: object, depth: int) -> None:
        if not isinstance(reference, generic.IndirectObject):
            raise InvalidArgument("DOCUMENT_BROKEN", "a page is not an indirect object")
        key = (reference.idnum, reference.generation)
        if key in seen or depth > MAX_TREE_DEPTH:
            raise InvalidArgument("DOCUMENT_BROKEN", "the page tree is not a tree")
        seen.add(key)
        node = reference.get_object()
        if "/Kids" not in node:
            found.append(reference)
            if len(found) > limits.max_pages:
                raise InvalidArgument("DOCUMENT_TOO_COMPLEX", "the document has too many pages")
            return
        for kid in node["/Kids"]:
            walk(kid, depth + 1)

    walk(reader.root.raw_get("/Pages"), 0)
    return found


def inherited(page: generic.DictionaryObject, name: str) -> generic.PdfObject | None:
    """An inheritable page attribute (ISO 32000-1 7.7.3.4)."""
    node, depth = page, 0
    while name not in node:
        if "/Parent" not in node or depth > MAX_TREE_DEPTH:
            return None
        node, depth = node["/Parent"], depth + 1
    value: generic.PdfObject = node[name]
    return value


def form_fields(reader: PdfFileReader) -> dict[str, generic.DictionaryObject]:
    """The top-level form fields by name."""
    form = entry(reader.root, "/AcroForm")
    if not isinstance(form, generic.DictionaryObject):
        return {}
    fields: dict[str, generic.DictionaryObject] = {}
    for reference in entry(form, "/Fields", ()):
        field = reference.get_object()
        if isinstance(field, generic.DictionaryObject) and "/T" in field:
            fields.setdefault(str(field["/T"]), field)
    return fields


def is_signed(reader: PdfFileReader) -> bool:
    """Whether any signature field has a value, ours or not."""
    return any(True for _ in reader.embedded_signatures)


def field_text(field: generic.DictionaryObject | None) -> str:
    """The value of a text field, empty where there is none."""
    value = entry(field, "/V") if field is not None else None
    return str(value).strip() if isinstance(value, generic.TextStringObject) else ""
