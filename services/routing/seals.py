"""Asks signing for envelope signatures, and judges those of others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from lienthong import envelope
from lienthong.clock import Clock
from lienthong.errors import DomainError, InvalidArgument, PermissionDenied
from lienthong.ids import parse_id
from lienthong.pki.trust import TrustStore
from lienthong.signing.v1 import signing_pb2
from lienthong.types.v1 import document_pb2, envelope_pb2

from services.routing.domain import FORMAT_VERSION, check_document

if TYPE_CHECKING:
    from lienthong.signing.v1.signing_pb2_grpc import SigningServiceAsyncStub

# An answer carries the payload and the signer's chain (1.6 KB); a message is at most 2 MiB.
_BATCH_BYTES: Final = 1_500_000
_CHAIN_BYTES: Final = 2_500
_MAX_RECEIPTS: Final = 256


class Seals:
    """Envelope signatures: ours through signing's keys, others' with the trust roots."""

    def __init__(self, signing: SigningServiceAsyncStub, trust: TrustStore, clock: Clock) -> None:
        self._signing = signing
        self._trust = trust
        self._clock = clock

    async def sign(
        self, payloads: Sequence[document_pb2.EnvelopePayload]
    ) -> list[envelope_pb2.SignedEnvelope]:
        """Sign each payload with the key of its sender, in as few calls as fit."""
        signed: list[envelope_pb2.SignedEnvelope] = []
        for batch in _batches([payload.SerializeToString() for payload in payloads]):
            request = signing_pb2.SignEnvelopesRequest(payloads=batch)
            signed.extend((await self._signing.SignEnvelopes(request)).envelopes)
        return signed

    async def judge(
        self, envelopes: Sequence[envelope_pb2.SignedEnvelope]
    ) -> list[document_pb2.EnvelopePayload | DomainError]:
        """The payload of each envelope whose signature is its sender's, or why it is refused."""
        now = self._clock.now()
        return await asyncio.to_thread(self._judge_all, envelopes, now)

    def _judge_all(
        self, envelopes: Sequence[envelope_pb2.SignedEnvelope], now: datetime
    ) -> list[document_pb2.EnvelopePayload | DomainError]:
        signers = envelope.verify_many(envelopes, self._trust, now)
        return [
            signer if isinstance(signer, DomainError) else _judged(signed, signer)
            for signed, signer in zip(envelopes, signers, strict=True)
        ]


def _batches(payloads: Sequence[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    room = _BATCH_BYTES
    for payload in payloads:
        size = len(payload) + _CHAIN_BYTES
        if batch and size > room:
            yield batch
            batch, room = [], _BATCH_BYTES
        batch.append(payload)
        room -= size
    if batch:
        yield batch


def _judged(
    signed: envelope_pb2.SignedEnvelope, signer: envelope.Signer
) -> document_pb2.EnvelopePayload | DomainError:
    try:
        payload = document_pb2.EnvelopePayload.FromString(signed.payload)
        check_payload(payload)
        envelope.require_sender(signer, organization=payload.organization or None, node=payload.node or None)
    except DecodeError:
        return InvalidArgument("PAYLOAD_INVALID", "the signed bytes are no envelope payload")
    except DomainError as refusal:
        return refusal
    return payload


def check_payload(payload: document_pb2.EnvelopePayload) -> None:
    """The shape that every node relies on; the signature was judged before.

    Of a newer version only what carries it on is looked at: a relay need not understand what it relays.
    """
    parse_id(payload.envelope_id, "envelope_id")
    if not payload.recipients or not payload.HasField("expire_time"):
        raise InvalidArgument("PAYLOAD_INVALID", "an envelope has recipients and an expiry")
    if payload.format_version < FORMAT_VERSION:
        raise InvalidArgument(
            "FORMAT_VERSION", "no such version of the format", version=payload.format_version
        )
    if payload.format_version > FORMAT_VERSION:
        return
    kind = payload.WhichOneof("message")
    if kind == "document":
        parse_id(payload.document.document_id, "document.document_id")
        if payload.document.organization != payload.organization:
            raise PermissionDenied("SENDER_MISMATCH", "the document is another organization's")
        # What a register could not take, or what may not travel, goes no further than here.
        check_document(payload.document)
    elif kind != "receipts" or len(payload.receipts.receipts) > _MAX_RECEIPTS:
        raise InvalidArgument("PAYLOAD_INVALID", "an envelope carries a document or receipts")
