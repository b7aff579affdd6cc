"""Reading a PDF without the data of its streams, so that memory does not grow with scanned pages.

pyHanko reads the data of every stream object that it meets and keeps it, and to compare two revisions it
meets them all: 300 MB of memory for a file of 300 MB, and as much again until its circular references are
collected. Nearly all of it is never looked at. Here a stream object knows where its data stands in the file,
and reads it when somebody asks for it.

The second place (after `hexstrings`) where we replace a function of the library, which is why its version is
pinned exactly. A test holds the replaced code against the one we know.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import io
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from lienthong.errors import InvalidArgument
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.decode_limits import DecodeLimits, DecodePurpose, DocumentDecodeBudget
from pyhanko.pdf_utils.misc import PdfReadError
from pyhanko.pdf_utils.reader import HistoricalResolver, PdfFileReader

_MIB: Final = 1024 * 1024
# Below it an object that knows its place costs as much as the data.
_SMALL: Final = 512
# The most that is read of one stream. What pyHanko decodes to judge a signature (objects, cross references,
# metadata, revocation lists) is far below it, and images it does not decode.
_MAX_DATA: Final = 16 * _MIB
# pyHanko's own default grows with the file.
_DECODED: Final = DecodeLimits(document_budget=DocumentDecodeBudget(base_allowance=128 * _MIB, max_ratio=0))
# Read at once by whoever reads the dictionary, through no reader.
_READ_AT_ONCE: Final = frozenset({"/XRef", "/ObjStm"})
_CHUNK: Final = 256 * 1024
_ORIGINAL: Final = generic._maybe_read_stream_payload


class Extent:
    """The data of a stream as its place in the file: has a length, can be compared and read, nothing else."""

    __slots__ = ("_file", "_offset", "_size")

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file, self._offset, self._size = file, offset, size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> Extent:
        start, end, step = part.indices(self._size)
        if step != 1:
            raise ValueError("only a run of bytes has a place")
        return Extent(self._file, self._offset + start, max(0, end - start))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Extent):
            return NotImplemented
        return self._size == other._size and (self._stands_at(other) or self._reads_as(other))

    __hash__ = None  # type: ignore[assignment]  # equal data at two places: nothing cheap to hash

    def read(self) -> bytes:
        """The data. Refused where it is more than any judgement needs."""
        if self._size > _MAX_DATA:
            raise PdfReadError(f"{self._size} bytes of one stream are not read into memory")
        return self._piece(0, self._size)

    def _stands_at(self, other: Extent) -> bool:
        return self._file is other._file and self._offset == other._offset

    def _reads_as(self, other: Extent) -> bool:
        return all(
            self._piece(start, _CHUNK) == other._piece(start, _CHUNK)
            for start in range(0, self._size, _CHUNK)
        )

    def _piece(self, start: int, size: int) -> bytes:
        position = self._file.tell()
        try:
            self._file.seek(self._offset + start)
            return self._file.read(min(size, self._size - start))
        finally:
            self._file.seek(position)


class LazyStream(generic.StreamObject):
    """A stream object of a file. What it decodes it keeps, as pyHanko's does."""

    def read_data(
        self, purpose: DecodePurpose = DecodePurpose.GENERIC, expected_size: int | None = None
    ) -> bytes:
        if self._data is None:
            with self._at_hand():
                return super().read_data(purpose, expected_size)
        return super().read_data(purpose, expected_size)

    def write_to_stream(self, stream: Any, handler: Any = None, container_ref: Any = None) -> None:
        with self._at_hand():
            super().write_to_stream(stream, handler, container_ref)

    @contextmanager
    def _at_hand(self) -> Iterator[None]:
        """The data in memory, for as long as the library works on it."""
        place: Any = self._encoded_data
        if isinstance(place, Extent):
            self._encoded_data = place.read()
        try:
            yield
        finally:
            self._encoded_data = place


class LazyReader(PdfFileReader):
    """pyHanko's reader over a file that stays open; `release` ends it."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream, strict=True, decode_limits=_DECODED)

    def _read_object(self, *arguments: Any, **named: Any) -> generic.PdfObject:
        return _lazy(super()._read_object(*arguments, **named))

    def get_historical_resolver(self, revision: int) -> HistoricalResolver:
        resolvers = self._historical_resolver_cache
        if revision not in resolvers:
            resolvers[revision] = _LazyResolver(self, revision)
        return resolvers[revision]

    def release(self) -> None:
        """Let go of what was read. Objects and reader name each other, so it would wait for a collection."""
        for resolver in self._historical_resolver_cache.values():
            resolver.cache.clear()
            resolver._indirect_object_access_cache = None
        self._historical_resolver_cache.clear()
        self.resolved_objects.clear()
        self._embedded_signatures = None


class _LazyResolver(HistoricalResolver):
    """One revision of the file; its objects are copies that share the data's place."""

    def _subsume_object(self, obj: generic.PdfObject) -> generic.PdfObject:
        return _lazy(super()._subsume_object(obj))


class MeteredFile(io.BufferedReader):
    """A file of which a parser may ask for so much. What is hashed or copied goes by `readinto`: uncounted.

    The budget bounds time and memory: what is no stream data becomes objects, many times its size.
    """

    def __init__(self, raw: io.RawIOBase, budget: int) -> None:
        super().__init__(raw)
        # A closure: the parser reads byte by byte, and a method that asks its instance takes twice the time.
        read, left = super().read, budget

        def metered(size: int | None = -1, /) -> bytes:
            nonlocal left
            asked = left + 1 if size is None or size < 0 else size
            left -= asked
            if left < 0:
                raise InvalidArgument("DOCUMENT_TOO_COMPLEX", "too much of the document is no stream data")
            return read(asked)

        self.read = metered  # type: ignore[method-assign]


def install() -> None:
    """Let pyHanko read streams with ours; calling it again changes nothing."""
    generic._maybe_read_stream_payload = _read_payload


def _lazy(found: generic.PdfObject) -> generic.PdfObject:
    if not isinstance(found, generic.StreamObject):
        return found
    place: Any = found._encoded_data
    if not isinstance(place, Extent):
        return found
    if type(found) is not generic.StreamObject:  # metadata, which somebody asked for by its name
        found._encoded_data = place.read()
        return found
    stream = LazyStream(found, encoded_data=place)  # type: ignore[arg-type]  # what it is all about
    stream.container_ref = found.container_ref
    return stream


def _read_payload(stream: Any, data: dict[str, Any], handler: object) -> bytes | None:
    """The library's function, over a file of which it reads the data of a stream as an `Extent`."""
    of_a_file = isinstance(handler, LazyReader) and stream is handler.stream
    if of_a_file and data.get("/Type") not in _READ_AT_ONCE:
        stream = _Places(stream)
    payload: bytes | None = _ORIGINAL(stream, data, handler)
    return payload


class _Places:
    """A file seen by one call of `_maybe_read_stream_payload`: what it reads in one long run is the data."""

    __slots__ = ("_file", "seek", "tell")

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes | Extent:
        size = operator.index(size)
        if size <= _SMALL and size != -1:
            return self._file.read(size)
        start = self._file.tell()
        rest = self._file.seek(0, os.SEEK_END) - start
        extent = Extent(self._file, start, max(0, rest if size == -1 else min(size, rest)))
        self._file.seek(start + len(extent))
        return extent
