"""Reading hexadecimal strings in blocks. pyHanko reads them byte by byte: 25 ms for one signature's 32 KiB.

Here and in `lazy` we replace a function of a library, which is why its version is pinned exactly. A test
holds ours against the original.
"""

import binascii
import io
from typing import IO, Final

from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.misc import PdfStreamError

# Most strings are identifiers; a signature's is 32 KiB.
_FIRST, _BLOCK = 64, 4096
_WHITE_SPACE: Final = b"\0\t\n\f\r "
_ORIGINAL: Final = generic.read_hex_string_from_stream


def read_hex_string(stream: IO[bytes]) -> generic.ByteStringObject | generic.TextStringObject:
    """The string at the stream's `<`; the stream stands behind its `>` afterwards."""
    start = stream.tell()
    stream.seek(1, io.SEEK_CUR)
    found: list[bytes] = []
    while True:
        block = stream.read(_BLOCK if found else _FIRST)
        if not block:
            raise PdfStreamError("Stream ended prematurely")
        end = block.find(b">")
        found.append(block if end < 0 else block[:end])
        if end >= 0:
            break
    stream.seek(end + 1 - len(block), io.SEEK_CUR)
    digits = b"".join(found)
    if b"%" in digits:  # a comment inside: rare enough for the slow way
        stream.seek(start)
        return _ORIGINAL(stream)
    digits = digits.translate(None, _WHITE_SPACE)
    try:
        return generic.pdf_string(binascii.unhexlify(digits + b"0" * (len(digits) % 2)))
    except ValueError as error:
        raise PdfStreamError("Unexpected token in hex string") from error


def install() -> None:
    """Let pyHanko read with ours; calling it again changes nothing."""
    generic.read_hex_string_from_stream = read_hex_string
