"""Reading an OPC package (a zip) from a hostile file: limits, unambiguous structure, streamed digests."""

import functools
import hashlib
import mmap
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self
from urllib.parse import quote

from lxml import etree

from services.signing.domain import Reason
from services.signing.ooxml import xml
from services.signing.ooxml.errors import unacceptable
from services.signing.ooxml.names import CONTENT_TYPES

CONTENT_TYPES_PART: Final = "/[Content_Types].xml"
_CHUNK: Final = 1 << 20
_OLE_MAGIC: Final = bytes.fromhex("D0CF11E0A1B11AE1")
_BINARY_OFFICE: Final = ("WordDocument", "Workbook", "PowerPoint Document")
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_DESCRIPTOR_SIZES: Final = frozenset({0, 12, 16, 20, 24})
_SPELLINGS: Final = tuple("<!DOCTYPE".encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be"))
_ZIP_ERRORS: Final = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OverflowError, RuntimeError, struct.error,
    UnicodeDecodeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """What a package may cost; beyond it is refused before it is unpacked."""

    entries: int = 10_000
    part_bytes: int = 256 << 20
    total_bytes: int = 512 << 20
    xml_bytes: int = 16 << 20
    ratio: int = 200
    ratio_from_bytes: int = 1 << 20


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True)
class Entry:
    """One part as the zip holds it; `data_offset` is where its compressed bytes start."""

    part: str
    info: zipfile.ZipInfo
    data_offset: int


class Package:
    """An opened package: part names to entries, content types, streams. Use as a context manager."""

    def __init__(self, file: BinaryIO, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self.file = file
        try:
            self._zip = zipfile.ZipFile(file)
            self.entries = _entries(self._zip, file, limits)
        except _ZIP_ERRORS as error:
            raise unacceptable(Reason.DOCUMENT_BROKEN, "the file is not a sound zip archive") from error
        if CONTENT_TYPES_PART not in self.entries:
            raise unacceptable(Reason.DOCUMENT_FORMAT, "the file is not an Office Open XML package")
        self._types = ContentTypes(self.read_xml(CONTENT_TYPES_PART))
        self._digests: dict[tuple[str, str], bytes] = {}
        self.with_doctype: set[str] = set()

    @classmethod
    def open(cls, path: Path, limits: Limits = DEFAULT_LIMITS) -> Self:
        """Open the file at `path`. InvalidArgument with a Reason where it is no acceptable package."""
        file = path.open("rb")
        try:
            _refuse_ole(file)
            return cls(file, limits)
        except BaseException:
            file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zip.close()
        self.file.close()

    def __contains__(self, part: str) -> bool:
        return part in self.entries

    def content_type(self, part: str) -> str | None:
        return self._types.of(part)

    def read(self, part: str) -> bytes:
        """The bytes of a small part (XML of the package itself); larger ones are streamed."""
        size = self.entries[part].info.file_size
        if size > self._limits.xml_bytes:
            raise unacceptable(
                Reason.DOCUMENT_TOO_COMPLEX, "a part is too large to be parsed", part=part, size=size
            )
        return b"".join(self.stream(part))

    def read_xml(self, part: str) -> etree._Element:
        return xml.parse(self.read(part), part)

    def stream(self, part: str) -> Iterator[bytes]:
        """The part's bytes in pieces; zipfile stops at the declared size and checks the CRC."""
        try:
            with self._zip.open(self.entries[part].info) as stream:
                yield from iter(functools.partial(stream.read, _CHUNK), b"")
        except _ZIP_ERRORS as error:
            raise unacceptable(Reason.DOCUMENT_BROKEN, "a part cannot be unpacked", part=part) from error

    def digest(self, part: str, algorithm: str) -> bytes:
        """Digest of the raw bytes, remembered, so that several signatures cost one pass.

        The same pass looks for a document type: a part with one is read differently by different programs.
        """
        key = (part, algorithm)
        if key not in self._digests:
            watch, state, tail = self._is_markup(part), hashlib.new(algorithm), b""
            for piece in self.stream(part):
                state.update(piece)
                if watch and any(spelling in tail + piece for spelling in _SPELLINGS):
                    self.with_doctype.add(part)
                tail = piece[-32:]
            self._digests[key] = state.digest()
        return self._digests[key]

    def _is_markup(self, part: str) -> bool:
        kind = (self.content_type(part) or "").lower()
        # Drawings that were pasted in as SVG legitimately carry one.
        return kind.endswith(("+xml", "/xml")) and not kind.startswith("image/")


class ContentTypes:
    """`[Content_Types].xml`: an Override for the part, else the Default of its extension."""

    def __init__(self, root: etree._Element) -> None:
        self._defaults: dict[str, str] = {}
        self._overrides: dict[str, str] = {}
        for element in root.iterchildren(f"{{{CONTENT_TYPES}}}Default"):
            _add(self._defaults, (element.get("Extension") or "").lower(), element)
        for element in root.iterchildren(f"{{{CONTENT_TYPES}}}Override"):
            _add(self._overrides, normal_name(element.get("PartName") or "").lower(), element)

    def of(self, part: str) -> str | None:
        """The type of a part; `/_rels/.rels` has an empty stem: what follows the last dot counts."""
        extension = part.rpartition("/")[2].rpartition(".")[2].lower()
        return self._overrides.get(part.lower()) or self._defaults.get(extension)


def normal_name(path: str) -> str:
    """A part name in the one spelling we compare: what is outside ASCII percent-encoded."""
    return quote(path, safe="/%:@!$&'()*+,;=~[]")


def _add(types: dict[str, str], key: str, element: etree._Element) -> None:
    if key in types:
        raise unacceptable(Reason.DUPLICATE_ENTRY, "a content type is declared twice", part=key)
    types[key] = element.get("ContentType") or ""


def _refuse_ole(file: BinaryIO) -> None:
    """An encrypted OOXML document is an OLE container; so are the binary formats before 2007."""
    if file.read(len(_OLE_MAGIC)) == _OLE_MAGIC:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            has: Callable[[str], bool] = lambda name: content.find(name.encode("utf-16-le")) >= 0  # noqa: E731
            if not has("EncryptedPackage") and any(map(has, _BINARY_OFFICE)):
                raise unacceptable(
                    Reason.DOCUMENT_FORMAT, "a binary Office file from before 2007 is not accepted"
                )
        raise unacceptable(Reason.DOCUMENT_ENCRYPTED, "the document is encrypted with a password")
    file.seek(0)


def _entries(archive: zipfile.ZipFile, file: BinaryIO, limits: Limits) -> dict[str, Entry]:
    infos = archive.infolist()
    if len(infos) > limits.entries:
        raise unacceptable(
            Reason.DOCUMENT_TOO_COMPLEX, "the package has too many entries", entries=len(infos)
        )
    if sum(info.file_size for info in infos) > limits.total_bytes:
        raise unacceptable(Reason.DOCUMENT_TOO_COMPLEX, "the package is too large when unpacked")
    offsets = _layout(archive, file)
    entries: dict[str, Entry] = {}
    seen: set[str] = set()
    for info in infos:
        part = _part_name(info)
        # OPC 6.3.5: names that differ only in case are the same part, and readers choose differently.
        if part.lower() in seen:
            raise unacceptable(Reason.DUPLICATE_ENTRY, "a part is in the archive twice", part=part)
        seen.add(part.lower())
        _check_size(info, part, limits)
        if not info.is_dir():
            entries[part] = Entry(part, info, offsets[info.header_offset])
    return entries


def _part_name(info: zipfile.ZipInfo) -> str:
    name = info.orig_filename
    pieces = name.removesuffix("/").split("/")
    if "\\" in name or "\0" in name or any(piece in ("", ".", "..") for piece in pieces):
        raise unacceptable(
            Reason.DOCUMENT_BROKEN, "an entry has a name that no part may have", part=name[:200]
        )
    return normal_name("/" + name)


def _check_size(info: zipfile.ZipInfo, part: str, limits: Limits) -> None:
    if info.flag_bits & 1:
        raise unacceptable(Reason.DOCUMENT_ENCRYPTED, "an entry of the package is encrypted", part=part)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or (
        info.is_dir() and info.file_size
    ):
        raise unacceptable(Reason.DOCUMENT_BROKEN, "an entry is stored as OPC does not allow", part=part)
    if info.file_size > limits.part_bytes:
        raise unacceptable(Reason.DOCUMENT_TOO_COMPLEX, "a part is too large when unpacked", part=part)
    if info.file_size > limits.ratio_from_bytes and info.file_size > limits.ratio * max(
        info.compress_size, 1
    ):
        raise unacceptable(Reason.COMPRESSION_RATIO, "a part unpacks to far more than it holds", part=part)


def _layout(archive: zipfile.ZipFile, file: BinaryIO) -> dict[int, int]:
    """Header offset to data offset of each entry.

    Entries must follow each other without gaps or overlap from the first byte to the directory, and nothing
    may follow it: a program that reads front to back then sees what one that reads the directory sees.
    """
    expected, slack, offsets = 0, False, dict[int, int]()
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        gap = info.header_offset - expected
        if gap < 0 or (gap and not slack) or gap not in _DESCRIPTOR_SIZES:
            raise zipfile.BadZipFile("entries overlap or leave a gap")
        file.seek(info.header_offset)
        offsets[info.header_offset] = _data_offset(file, info)
        expected = offsets[info.header_offset] + info.compress_size
        slack = bool(info.flag_bits & 8)
    gap = archive.start_dir - expected
    if gap < 0 or (gap and not slack) or gap not in _DESCRIPTOR_SIZES:
        raise zipfile.BadZipFile("the directory does not follow the last entry")
    file.seek(-22 - len(archive.comment), 2)
    if file.read(4) != b"PK\x05\x06" or b"PK\x05\x06" in archive.comment:
        raise zipfile.BadZipFile("bytes follow the directory")
    return offsets


def _data_offset(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Where an entry's bytes start; its own header must say what the directory says."""
    header = _LOCAL.unpack(file.read(_LOCAL.size))
    magic, _, flags, method, _, _, crc, compressed, size, name_size, extra_size = header
    name = file.read(name_size).decode("utf-8" if flags & 0x800 else "cp437")
    same = (method, name, flags & 8) == (info.compress_type, info.orig_filename, info.flag_bits & 8)
    if not flags & 8:
        # All ones: the numbers are in a zip64 field, which some programs write even for small files.
        pairs = ((compressed, info.compress_size), (size, info.file_size))
        same &= crc == info.CRC and all(local in (known, 0xFFFFFFFF) for local, known in pairs)
    if magic != b"PK\x03\x04" or not same:
        raise zipfile.BadZipFile("an entry contradicts the directory")
    return info.header_offset + _LOCAL.size + int(name_size) + int(extra_size)
