"""Signing envelope payloads with the keys of their senders: the hot path, so no row is written for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.protobuf.message import DecodeError
from lienthong import envelope
from lienthong.errors import InvalidArgument
from lienthong.rpc.server import MESSAGE_LIMIT
from lienthong.types.v1 import document_pb2, envelope_pb2

from services.signing.keys import HeldKey, KeyRing
from services.signing.workers import Workers

MAX_PAYLOADS: Final = 1000
# Around each payload in the answer: a P-256 signature, tags and lengths.
_OVERHEAD: Final = 128

Sender = tuple[str, str]


class EnvelopeSigner:
    """Signs batches; each distinct sender is looked up and checked once a batch."""

    def __init__(self, ring: KeyRing, workers: Workers) -> None:
        self._ring, self._workers = ring, workers

    async def sign(self, payloads: Sequence[bytes]) -> list[envelope_pb2.SignedEnvelope]:
        """One envelope for each payload in their order, or none at all.

        NotFound KEY_UNKNOWN, InvalidArgument TOO_MANY_ITEMS, PAYLOAD_INVALID, MESSAGE_TOO_LARGE,
        FailedPrecondition SIGNER_CERTIFICATE_*.
        """
        if len(payloads) > MAX_PAYLOADS:
            raise InvalidArgument("TOO_MANY_ITEMS", "too many payloads", field="payloads", limit=MAX_PAYLOADS)
        keys = await self._workers.run(self._keys, payloads)
        _check_size(payloads, keys)
        return await self._workers.run(_signed, payloads, keys)

    def _keys(self, payloads: Sequence[bytes]) -> list[HeldKey]:
        known: dict[Sender, HeldKey] = {}
        keys: list[HeldKey] = []
        for index, payload in enumerate(payloads):
            sender = _sender(payload, index)
            if sender not in known:
                known[sender] = self._key(sender)
            keys.append(known[sender])
        return keys

    def _key(self, sender: Sender) -> HeldKey:
        kind, code = sender
        return self._ring.node_envelope(code) if kind == "node" else self._ring.organization_envelope(code)


def _sender(payload: bytes, index: int) -> Sender:
    """Who sends, as the payload says; nothing else in it is read, and its bytes are signed as they are."""
    field = f"payloads[{index}]"
    try:
        parsed = document_pb2.EnvelopePayload.FromString(payload)
    except DecodeError:
        raise InvalidArgument("PAYLOAD_INVALID", "not an envelope's payload", field=field) from None
    match parsed.WhichOneof("sender"):
        case "organization":
            return "organization", parsed.organization
        case "node":
            return "node", parsed.node
        case _:
            raise InvalidArgument("PAYLOAD_INVALID", "the payload names no sender", field=field)


def _check_size(payloads: Sequence[bytes], keys: Sequence[HeldKey]) -> None:
    """Each envelope carries its chain, so the answer is larger than the request, perhaps too large."""
    chains = {id(held): sum(map(len, held.key.chain)) for held in keys}
    size = sum(
        len(payload) + chains[id(held)] + _OVERHEAD for payload, held in zip(payloads, keys, strict=True)
    )
    if size > MESSAGE_LIMIT:
        raise InvalidArgument(
            "MESSAGE_TOO_LARGE", "the signed envelopes would not fit a message", field="payloads", bytes=size
        )


def _signed(payloads: Sequence[bytes], keys: Sequence[HeldKey]) -> list[envelope_pb2.SignedEnvelope]:
    groups: dict[int, tuple[HeldKey, list[int]]] = {}
    for index, held in enumerate(keys):
        groups.setdefault(id(held), (held, []))[1].append(index)
    found: dict[int, envelope_pb2.SignedEnvelope] = {}
    for held, places in groups.values():
        signed = envelope.sign_many([payloads[place] for place in places], held.key)
        found.update(zip(places, signed, strict=True))
    return [found[index] for index in range(len(payloads))]
