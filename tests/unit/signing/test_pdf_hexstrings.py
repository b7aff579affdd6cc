"""Our reader of hexadecimal strings against the library's."""

import io

import pytest
from pyhanko.pdf_utils.misc import PdfStreamError

from services.signing.pdf import hexstrings


@pytest.mark.parametrize(
    "text",
    [
        b"<>rest", b"<41>", b"<414>x", b"<4 1\n4\t2\r\f\0>", b"<feff1eaa>", b"<%note\n41>rest",
        b"<%a>b\n41>rest", b"<" + b"30" * 40_000 + b">" + b"tail", b"<" + b" " * 9000 + b"4>",
    ],
)  # fmt: skip
def test_it_reads_what_the_library_reads(text: bytes) -> None:
    ours, theirs = io.BytesIO(b"before" + text), io.BytesIO(b"before" + text)
    ours.seek(6)
    theirs.seek(6)
    assert hexstrings.read_hex_string(ours) == hexstrings._ORIGINAL(theirs)
    assert ours.tell() == theirs.tell()


@pytest.mark.parametrize("text", [b"<4", b"<", b"<4g>", "<Ữ>".encode()])
def test_it_refuses_what_the_library_refuses(text: bytes) -> None:
    for read in (hexstrings.read_hex_string, hexstrings._ORIGINAL):
        with pytest.raises(PdfStreamError):
            read(io.BytesIO(text))
