"""The SDK's dealings with files and with a node that is away: names, whole files, patience."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lienthong.client.connection import Waiting
from lienthong.client.files import arriving, media_type_of, receive, safe_name, sending
from lienthong.clock import FakeClock
from lienthong.errors import DataLoss, DomainError, InvalidArgument, NotFound, ResourceExhausted, Unavailable
from lienthong.signing.v1 import signing_pb2

Piece = signing_pb2.PrepareDocumentResponse


async def pieces(*chunks: bytes, promised: bytes) -> AsyncIterator[Piece]:
    for chunk in chunks:
        yield Piece(chunk=chunk)
    yield Piece(result=signing_pb2.FileResult(sha256=promised, size_bytes=sum(map(len, chunks))))


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("Công văn số 5.pdf", "Công văn số 5.pdf"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("C:\\Windows\\x.docx", "C__Windows_x.docx"),
        ("a\x00b\x1b[31m\u202e.pdf", "ab[31m.pdf"),
        ("...", "tep"),
        ("", "tep"),
        (".pdf", "pdf"),
        ("a.pdf.part", "a.pdf.part_"),
    ],
)
def test_a_senders_file_name_is_tamed(given_name: str, kept: str) -> None:
    assert safe_name(given_name, set()) == kept


def test_equal_names_do_not_overwrite_each_other() -> None:
    taken: set[str] = set()

    assert [safe_name(name, taken) for name in ("a.pdf", "A.pdf", "a.pdf", "a.PDF")] == [
        "a.pdf",
        "A-2.pdf",
        "a-3.pdf",
        "a-4.PDF",
    ]


@given(st.lists(st.text(max_size=600), max_size=5))
def test_no_name_leaves_the_folder_or_is_too_long(names: list[str]) -> None:
    taken: set[str] = set()
    kept = [safe_name(name, taken) for name in names]

    for name in kept:
        assert Path(name).name == name
        assert name not in ("", ".", "..")
        assert len((name + ".part").encode()) <= 255
    assert len({name.casefold() for name in kept}) == len(names)


async def test_a_file_is_sent_whole_after_its_header(tmp_path: Path) -> None:
    content = bytes(range(256)) * 3000
    source = tmp_path / "a.pdf"
    source.write_bytes(content)

    header, *chunks = [part async for part in sending(b"header", lambda piece: piece, source)]

    assert header == b"header"
    assert b"".join(chunks) == content
    assert max(map(len, chunks)) <= 512 * 1024


@pytest.mark.parametrize("offset", [0, 1, 300_000, 768_000])
async def test_a_file_is_sent_from_where_it_broke(tmp_path: Path, offset: int) -> None:
    content = bytes(range(256)) * 3000
    source = tmp_path / "a.pdf"
    source.write_bytes(content)
    told: list[int] = []

    header, *chunks = [
        part async for part in sending(b"header", lambda piece: piece, source, offset, told.append)
    ]

    assert header == b"header"
    assert b"".join(chunks) == content[offset:]
    assert told == [len(chunk) for chunk in chunks]


async def test_what_is_received_is_what_was_promised(tmp_path: Path) -> None:
    target = tmp_path / "a.pdf"
    digest = hashlib.sha256(b"onetwo").digest()

    assert await receive(pieces(b"one", b"two", promised=digest), target) == digest
    assert target.read_bytes() == b"onetwo"
    assert list(tmp_path.iterdir()) == [target]


async def test_other_bytes_than_promised_leave_no_file(tmp_path: Path) -> None:
    target = tmp_path / "a.pdf"
    target.write_bytes(b"old")

    with pytest.raises(DataLoss, match="DIGEST_MISMATCH"):
        await receive(pieces(b"one", promised=hashlib.sha256(b"two").digest()), target)

    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


async def test_a_stream_without_a_result_leaves_no_file(tmp_path: Path) -> None:
    async def cut_off() -> AsyncIterator[Piece]:
        yield Piece(chunk=b"half")

    with pytest.raises(DataLoss):
        await receive(cut_off(), tmp_path / "a.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_while_arriving_leaves_no_file(tmp_path: Path) -> None:
    def half() -> None:
        with arriving(tmp_path / "a") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert list(tmp_path.iterdir()) == []


def test_only_known_formats_are_sent() -> None:
    assert media_type_of(Path("A.PDF")) == "application/pdf"
    with pytest.raises(InvalidArgument, match="ATTACHMENT_FORMAT"):
        media_type_of(Path("a.exe"))


async def asked(
    errors: list[DomainError], clock: FakeClock, patience: float
) -> tuple[int, str | DomainError]:
    """How often a call was made that fails with these errors in turn, and how it ended."""
    calls = 0

    async def call() -> str:
        nonlocal calls
        calls += 1
        if errors:
            raise errors.pop(0)
        return "answer"

    task = asyncio.create_task(Waiting(clock, patience).repeat(call))
    while not task.done():
        await asyncio.sleep(0)
        clock.advance(0.1)
    error = task.exception()
    if error is not None:
        assert isinstance(error, DomainError)
        return calls, error
    return calls, task.result()


async def test_a_node_that_is_away_is_asked_again() -> None:
    away: list[DomainError] = [Unavailable("NODE_AWAY") for _ in range(3)]

    assert await asked(away, FakeClock(), 30.0) == (4, "answer")


async def test_patience_ends() -> None:
    calls, error = await asked([Unavailable("NODE_AWAY") for _ in range(100)], FakeClock(), 2.0)

    assert isinstance(error, Unavailable)
    assert 2 <= calls <= 6


@pytest.mark.parametrize("error", [NotFound("X_UNKNOWN"), ResourceExhausted("ATTACHMENT_TOO_LARGE")])
async def test_a_refusal_is_not_repeated(error: DomainError) -> None:
    assert await asked([error], FakeClock(), 30.0) == (1, error)


async def test_the_servers_delay_is_kept() -> None:
    clock = FakeClock()

    assert await asked([ResourceExhausted("BUSY", retry_after=5.0)], clock, 30.0) == (2, "answer")
    assert clock.monotonic() >= 5.0
