"""Calling signing as its users do: the header first, then chunks; chunks back, last the result."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from lienthong.signing.v1 import signing_pb2 as pb

from services.signing.domain import FieldPlacements, Rectangle

PDF = "application/pdf"
_OPEN_XML = "application/vnd.openxmlformats-officedocument."
DOCX = f"{_OPEN_XML}wordprocessingml.document"
XLSX = f"{_OPEN_XML}spreadsheetml.sheet"
PPTX = f"{_OPEN_XML}presentationml.presentation"
DOCUMENT_ID = "0192f0c1-2345-7abc-8def-0123456789ab"
ISSUED: dict[str, Any] = {"number": 5, "notation": "CQM-TH", "issued_date": "2026-02-05"}


def placement(place: Rectangle) -> pb.Placement:
    return pb.Placement(
        page=place.page, left=place.left, bottom=place.bottom, width=place.width, height=place.height
    )


def prepare_header(places: FieldPlacements) -> pb.PrepareDocumentHeader:
    """The agency's place left to the service."""
    return pb.PrepareDocumentHeader(
        number=placement(places.number), date=placement(places.date), leader=placement(places.leader)
    )


def personal(organization: str, media_type: str = PDF) -> pb.SignDocumentHeader:
    return pb.SignDocumentHeader(
        purpose=pb.SIGNING_PURPOSE_PERSONAL,
        organization=organization,
        document_id=DOCUMENT_ID,
        media_type=media_type,
    )


def agency(
    organization: str,
    *,
    purpose: pb.SigningPurpose.ValueType = pb.SIGNING_PURPOSE_SEAL,
    media_type: str = PDF,
    clerk: str = "tran-thi-van-thu",
    **changed: Any,
) -> pb.SignDocumentHeader:
    return pb.SignDocumentHeader(
        purpose=purpose,
        organization=organization,
        document_id=DOCUMENT_ID,
        media_type=media_type,
        clerk=clerk,
        **(ISSUED | changed),
    )


async def parts(request: Any, header: Any, data: bytes, size: int = 64 * 1024) -> AsyncIterator[Any]:
    yield request(header=header)
    for start in range(0, len(data), size):
        yield request(chunk=data[start : start + size])


async def raw(messages: Iterable[Any]) -> AsyncIterator[Any]:
    for message in messages:
        yield message


async def answered(call: Any) -> bytes:
    """The bytes of a stream of answers, after checking its result against them."""
    received, result = bytearray(), None
    async for message in call:
        assert result is None, "nothing follows the result"
        if message.WhichOneof("part") == "chunk":
            assert 0 < len(message.chunk) <= 256 * 1024
            received += message.chunk
        else:
            result = message.result
    assert result is not None
    assert (result.sha256, result.size_bytes) == (hashlib.sha256(received).digest(), len(received))
    return bytes(received)


async def prepared(stub: Any, header: pb.PrepareDocumentHeader, data: bytes) -> bytes:
    return await answered(stub.PrepareDocument(parts(pb.PrepareDocumentRequest, header, data)))


async def signed(stub: Any, header: pb.SignDocumentHeader, data: bytes) -> bytes:
    return await answered(stub.SignDocument(parts(pb.SignDocumentRequest, header, data)))


async def extended(stub: Any, media_type: str, data: bytes) -> bytes:
    header = pb.ExtendSignatureHeader(media_type=media_type)
    return await answered(stub.ExtendSignature(parts(pb.ExtendSignatureRequest, header, data)))


async def validated(stub: Any, media_type: str, data: bytes) -> pb.ValidateDocumentResponse:
    header = pb.ValidateDocumentHeader(media_type=media_type)
    report: pb.ValidateDocumentResponse = await stub.ValidateDocument(
        parts(pb.ValidateDocumentRequest, header, data)
    )
    assert report.sha256 == hashlib.sha256(data).digest()
    return report
