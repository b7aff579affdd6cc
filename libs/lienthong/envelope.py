"""Signed bytes: making and judging the signatures of envelopes and receipts, whatever the payload means.

What is signed is the payload behind a domain separator, so that a signature made for something else (a grant,
a TLS handshake, a PDF) never passes for one here. Chains are validated once: see TrustStore.verify_der.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

from lienthong.errors import DomainError, InvalidArgument, PermissionDenied
from lienthong.pki.identity import Identity, Kind
from lienthong.pki.keys import Algorithm, SigningKey, is_signature
from lienthong.pki.trust import TrustStore, Usages
from lienthong.pki.usage import ENVELOPE_USAGES
from lienthong.types.v1 import envelope_pb2

ENVELOPE_DOMAIN: Final = b"lienthong envelope v1\0"
# A directory that a parent hands to a node that joins: signed with the TLS key of its registry.
SNAPSHOT_DOMAIN: Final = b"lienthong directory v1\0"
MAX_SIGNATURES: Final = 8

# Below this many in a batch, handing work to threads costs more than the signatures (30 to 90 us each).
_WORTH_THREADS: Final = 32

_TO_PROTO: Final = {
    Algorithm.ECDSA_P256_SHA256: envelope_pb2.SIGNATURE_ALGORITHM_ECDSA_P256_SHA256,
    Algorithm.RSA_PKCS1_SHA256: envelope_pb2.SIGNATURE_ALGORITHM_RSA_PKCS1_SHA256,
}
_FROM_PROTO: Final = {number: algorithm for algorithm, number in _TO_PROTO.items()}

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed, as proven by the certificate; `certificate_fingerprint` is SHA-256 in hexadecimal."""

    identity: Identity
    certificate_fingerprint: str


def sign(payload: bytes, key: SigningKey) -> envelope_pb2.SignedEnvelope:
    signature = make_signature(ENVELOPE_DOMAIN, payload, key)
    return envelope_pb2.SignedEnvelope(payload=payload, signatures=[signature])


def sign_many(payloads: Sequence[bytes], key: SigningKey) -> list[envelope_pb2.SignedEnvelope]:
    """One envelope for each payload, in their order. P-256 and RSA release the GIL, so threads help."""
    return _spread(lambda payload: sign(payload, key), payloads)


def verify(signed: envelope_pb2.SignedEnvelope, trust: TrustStore, at: datetime) -> Signer:
    """The sender: the first signer. Every further signature must be good too.

    SIGNATURE_MISSING, SIGNATURE_INVALID, the CERTIFICATE_ reasons of TrustStore, the IDENTITY_ reasons.
    """
    return verify_all(signed, trust, at)[0]


def verify_all(signed: envelope_pb2.SignedEnvelope, trust: TrustStore, at: datetime) -> tuple[Signer, ...]:
    """Every signer, in the order of the signatures."""
    if not signed.signatures:
        raise InvalidArgument("SIGNATURE_MISSING", "the envelope is not signed")
    if len(signed.signatures) > MAX_SIGNATURES:
        count = len(signed.signatures)
        raise InvalidArgument("SIGNATURE_INVALID", "the envelope has too many signatures", count=count)
    payload = signed.payload
    return tuple(
        check_signature(ENVELOPE_DOMAIN, payload, signature, trust, at, ENVELOPE_USAGES)
        for signature in signed.signatures
    )


def verify_many(
    envelopes: Sequence[envelope_pb2.SignedEnvelope], trust: TrustStore, at: datetime
) -> list[Signer | DomainError]:
    """Item by item, in order: the sender, or why this one is refused; one bad envelope spoils no other."""

    def judge(signed: envelope_pb2.SignedEnvelope) -> Signer | DomainError:
        try:
            return verify(signed, trust, at)
        except DomainError as refusal:
            return refusal

    return _spread(judge, envelopes)


def require_sender(
    signer: Signer,
    *,
    organization: str | None = None,
    node: str | None = None,
    trust_domain: str | None = None,
) -> None:
    """Nobody speaks for another: PermissionDenied("SENDER_MISMATCH") unless the signer is the one named.

    With both an organization and a node either will do, as for a receipt `01`, which the recipient's
    organization or its serving node signs. Persons and software of an organization are not the organization.
    """
    identity = signer.identity
    is_organization = (
        organization is not None
        and identity.kind is Kind.ORGANIZATION
        and identity.organization == organization
    )
    is_node = node is not None and identity.kind is Kind.NODE and identity.node == node
    at_home = trust_domain is None or identity.trust_domain == trust_domain
    if not (at_home and (is_organization or is_node)):
        raise PermissionDenied(
            "SENDER_MISMATCH",
            "the signer is not the sender",
            signer=identity.uri,
            organization=organization or "",
            node=node or "",
        )


def make_signature(domain: bytes, payload: bytes, key: SigningKey) -> envelope_pb2.Signature:
    return envelope_pb2.Signature(
        certificate_chain=key.chain, algorithm=_TO_PROTO[key.algorithm], value=key.sign(domain + payload)
    )


def check_signature(
    domain: bytes,
    payload: bytes,
    signature: envelope_pb2.Signature,
    trust: TrustStore,
    at: datetime,
    usages: Usages,
) -> Signer:
    """The signer of `payload` under the separator `domain`, with a certificate for one of `usages`."""
    algorithm = _FROM_PROTO.get(signature.algorithm)
    if algorithm is None:
        raise InvalidArgument("SIGNATURE_INVALID", "unknown algorithm", algorithm=signature.algorithm)
    leaf = trust.verify_der(signature.certificate_chain, at, usages)
    if not is_signature(algorithm, leaf.public_key, signature.value, domain + payload):
        raise InvalidArgument(
            "SIGNATURE_INVALID", "the signature does not match the bytes", fingerprint=leaf.fingerprint
        )
    return Signer(trust.identity_of(leaf), leaf.fingerprint)


def _spread(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    workers = os.cpu_count() or 1
    if len(items) < _WORTH_THREADS or workers == 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="envelope") as pool:
        parts = pool.map(lambda part: [work(item) for item in part], _parts(items, workers))
        return [result for part in parts for result in part]


def _parts(items: Sequence[T], count: int) -> Iterator[Sequence[T]]:
    size = -(-len(items) // count)
    return (items[start : start + size] for start in range(0, len(items), size))
