"""Writing a package: untouched entries keep their compressed bytes, changed and new parts are deflated."""

import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from services.signing.ooxml.package import Entry, Package

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_UTF8_NAME: Final = 0x800
# 1980-01-01 00:00: the same input gives the same bytes.
_TIME, _DATE = 0, (1 << 5) | 1
_COPY_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _Header:
    """What local header and directory both say about an entry; no zip64, the limits on reading exclude it."""

    name: bytes
    flags: int
    method: int
    time: int
    date: int
    crc: int
    compressed: int
    size: int

    def local(self) -> bytes:
        fixed = (20, self.flags, self.method, self.time, self.date, self.crc, self.compressed, self.size)
        return _LOCAL.pack(b"PK\x03\x04", *fixed, len(self.name), 0) + self.name

    def central(self, offset: int) -> bytes:
        fixed = (20, 20, self.flags, self.method, self.time, self.date, self.crc, self.compressed, self.size)
        return _CENTRAL.pack(b"PK\x01\x02", *fixed, len(self.name), 0, 0, 0, 0, 0, offset) + self.name


def rewrite(source: Package, target: Path, changed: Mapping[str, bytes]) -> None:
    """Write `source` with the `changed` parts (old or new) to `target`: complete or not at all."""
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("wb") as output:
            directory: list[bytes] = []
            for part, entry in source.entries.items():
                if part in changed:
                    directory.append(_write(output, entry.info.orig_filename.encode(), changed[part]))
                else:
                    directory.append(_copy(output, source.file, entry))
            new = (part for part in changed if part not in source.entries)
            directory.extend(_write(output, part[1:].encode(), changed[part]) for part in new)
            start = output.tell()
            output.writelines(directory)
            size, count = output.tell() - start, len(directory)
            output.write(_END.pack(b"PK\x05\x06", 0, 0, count, count, size, start, 0))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _write(output: BinaryIO, name: bytes, data: bytes) -> bytes:
    deflater = zlib.compressobj(6, zlib.DEFLATED, -15)
    packed = deflater.compress(data) + deflater.flush()
    method = zipfile.ZIP_DEFLATED
    if len(packed) >= len(data):
        packed, method = data, zipfile.ZIP_STORED
    flags = 0 if name.isascii() else _UTF8_NAME
    header = _Header(name, flags, method, _TIME, _DATE, zlib.crc32(data), len(packed), len(data))
    offset = output.tell()
    output.write(header.local() + packed)
    return header.central(offset)


def _copy(output: BinaryIO, source: BinaryIO, entry: Entry) -> bytes:
    info = entry.info
    year, month, day, hour, minute, second = info.date_time
    time, date = hour << 11 | minute << 5 | second // 2, (year - 1980) << 9 | month << 5 | day
    utf8 = info.flag_bits & _UTF8_NAME
    name = info.orig_filename.encode("utf-8" if utf8 else "cp437")
    # Sizes and CRC go into the header here, so the flag that announces a data descriptor is dropped.
    header = _Header(name, utf8, info.compress_type, time, date, info.CRC, info.compress_size, info.file_size)
    offset = output.tell()
    output.write(header.local())
    source.seek(entry.data_offset)
    remaining = info.compress_size
    while remaining and (piece := source.read(min(_COPY_BYTES, remaining))):
        output.write(piece)
        remaining -= len(piece)
    return header.central(offset)
