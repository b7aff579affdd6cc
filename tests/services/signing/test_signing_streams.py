"""Uploads that are not what they should be, crowds, and callers who go away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from lienthong.errors import DomainError, InvalidArgument, ResourceExhausted, Unavailable
from lienthong.signing.v1 import signing_pb2 as pb
from lienthong.types.v1 import document_pb2

from services.signing.orders import Format, actual_format, declared_format
from services.signing.settings import SigningSettings
from services.signing.spool import Spool
from tests.services.signing import wire
from tests.services.signing.conftest import AGENCY, AS_LEADER, ROUTING, Site

HEADER = pb.ValidateDocumentRequest(header=pb.ValidateDocumentHeader(media_type=wire.PDF))
CHUNK = pb.ValidateDocumentRequest(chunk=b"%PDF-1.7")
SIGN = pb.SignDocumentRequest(header=wire.personal(AGENCY))


MALFORMED: list[tuple[list[pb.ValidateDocumentRequest], type[DomainError], str]] = [
    ([], InvalidArgument, "UPLOAD_HEADER_MISSING"),
    ([CHUNK], InvalidArgument, "UPLOAD_HEADER_MISSING"),
    ([pb.ValidateDocumentRequest()], InvalidArgument, "UPLOAD_HEADER_MISSING"),
    ([HEADER, HEADER], InvalidArgument, "STREAM_MALFORMED"),
    ([HEADER, CHUNK, pb.ValidateDocumentRequest()], InvalidArgument, "STREAM_MALFORMED"),
    (
        [HEADER, pb.ValidateDocumentRequest(chunk=bytes(512 * 1024 + 1))],
        InvalidArgument,
        "CHUNK_TOO_LARGE",
    ),
    (
        [HEADER, *[pb.ValidateDocumentRequest(chunk=bytes(512 * 1024))] * 9],
        ResourceExhausted,
        "DOCUMENT_TOO_LARGE",
    ),
]


async def test_a_stream_of_another_shape_is_refused(site: Site) -> None:
    stub = site.validation()
    for messages, kind, reason in MALFORMED:
        with pytest.raises(kind) as refusal:
            await stub.ValidateDocument(wire.raw(messages))
        assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "UPLOAD_HEADER_MISSING"),
        ([SIGN], "DOCUMENT_FORMAT"),
        ([SIGN, pb.SignDocumentRequest(chunk=b"%PDF-1.7 and nothing else")], "DOCUMENT_BROKEN"),
        ([SIGN, SIGN], "STREAM_MALFORMED"),
    ],
)
async def test_nothing_is_signed_that_is_no_document(
    site: Site, messages: list[pb.SignDocumentRequest], reason: str
) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await wire.answered(site.signing(AS_LEADER).SignDocument(wire.raw(messages)))
    assert refusal.value.reason == reason


@pytest.mark.parametrize("media_type", [wire.PDF, wire.DOCX, wire.XLSX, "text/html", ""])
@pytest.mark.parametrize(
    "data", [b"", b"%PDF-1.7", b"PK\x03\x04", bytes(5000), b"PK\x03\x04%PDF-1.7 trailer"]
)
async def test_a_bad_file_is_a_verdict(site: Site, media_type: str, data: bytes) -> None:
    report = await wire.validated(site.validation(), media_type, data)
    assert report.verdict == document_pb2.VERDICT_INVALID
    assert report.reasons
    assert report.level == ""


async def test_an_unsigned_document_is_unsigned(site: Site, letter_bytes: bytes) -> None:
    report = await wire.validated(site.validation(), f"{wire.PDF}; x=y", letter_bytes)
    assert (report.verdict, report.level) == (document_pb2.VERDICT_UNSIGNED, "")


def test_formats_are_told_by_name_and_by_content() -> None:
    assert declared_format("Application/PDF; version=1.7") is Format.PDF
    assert [declared_format(kind) for kind in (wire.DOCX, wire.XLSX, wire.PPTX)] == [Format.OOXML] * 3
    assert declared_format("wordprocessingml.document") is None
    assert declared_format("application/vnd.ms-word.document.macroEnabled.12") is None
    assert actual_format(b"PK\x03\x04" + b"%PDF-1.7") is Format.OOXML, "a polyglot passes for no PDF"


class TestCrowd:
    """One place only, and little patience."""

    @pytest.fixture
    def settings(self, settings: SigningSettings) -> SigningSettings:
        return settings.model_copy(
            update={"validating_places": 1, "busy_patience": 0.2, "stall_patience": 1.5}
        )

    async def test_who_finds_no_place_is_told_to_come_back(self, site: Site, letter_bytes: bytes) -> None:
        held = asyncio.create_task(self.dawdle(site, hold := asyncio.Event()))
        await hold.wait()
        await asyncio.sleep(0.3)
        with pytest.raises(ResourceExhausted) as refusal:
            await wire.validated(site.validation(ROUTING), wire.PDF, letter_bytes)
        assert (refusal.value.reason, refusal.value.retry_after) == ("SIGNING_BUSY", 1.0)
        with pytest.raises(Unavailable) as ended:
            await held
        assert ended.value.reason == "TRANSFER_STALLED"
        report = await wire.validated(site.validation(ROUTING), wire.PDF, letter_bytes)
        assert report.verdict == document_pb2.VERDICT_UNSIGNED, "the place is free again"

    async def test_a_caller_who_goes_away_leaves_nothing(self, site: Site) -> None:
        held = asyncio.create_task(self.dawdle(site, hold := asyncio.Event()))
        await hold.wait()
        while not list(site.spool.iterdir()):
            await asyncio.sleep(0.01)
        held.cancel()
        async with asyncio.timeout(5):
            while list(site.spool.iterdir()):
                await asyncio.sleep(0.02)

    @staticmethod
    async def dawdle(site: Site, hold: asyncio.Event) -> Any:
        async def messages() -> AsyncIterator[pb.ValidateDocumentRequest]:
            yield HEADER
            yield CHUNK
            hold.set()
            await asyncio.sleep(30)

        return await site.validation().ValidateDocument(messages())


async def test_what_a_killed_process_left_goes_at_start(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 1000)
    spool.open()
    async with spool.workspace() as files:
        files.source.write_bytes(b"MAU")
        assert files.source.parent.stat().st_mode & 0o777 == 0o700
        Spool(tmp_path / "spool", 1000).open()
        assert not files.source.exists()


async def test_received_files_are_private(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"MAU"

    spool = Spool(tmp_path / "spool", 1000)
    spool.open()
    async with spool.workspace() as files:
        assert (await files.receive(chunks())).size == 3
        assert files.source.stat().st_mode & 0o777 == 0o600
