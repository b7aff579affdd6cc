"""Grants: short-lived statements of a node's routing service that storage checks before it moves bytes.

A digest is no bearer token: who may read or write a blob is decided by routing, said in a grant, signed with
the TLS key of the routing service, and checked by storage of the same node or of a peer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import DecodeError
from lienthong.clock import Clock
from lienthong.envelope import check_signature, make_signature
from lienthong.errors import InvalidArgument, PermissionDenied
from lienthong.pki.identity import Identity, Kind
from lienthong.pki.keys import SigningKey
from lienthong.pki.trust import TrustStore
from lienthong.pki.usage import TRANSPORT_USAGES
from lienthong.types.v1 import grant_pb2

GRANT_DOMAIN: Final = b"lienthong grant v1\0"
MAX_GRANT_BYTES: Final = 256 * 1024
DIGEST_BYTES: Final = 32
GRANTORS: Final = frozenset({"routing", "node"})
"""Services whose word counts: routing, or one process with all five."""


@dataclass(frozen=True, slots=True)
class VerifiedGrant:
    """`signer.node` gave it; whether that node's word counts here is for the one who asked."""

    signer: Identity
    payload: grant_pb2.GrantPayload


def sign_grant(payload: grant_pb2.GrantPayload, key: SigningKey) -> grant_pb2.SignedGrant:
    """Refuses to sign what no one would accept: InvalidArgument("GRANT_INVALID")."""
    _check_shape(payload)
    data = payload.SerializeToString(deterministic=True)
    return grant_pb2.SignedGrant(payload=data, signature=make_signature(GRANT_DOMAIN, data, key))


def verify_grant(signed: grant_pb2.SignedGrant, trust: TrustStore, clock: Clock) -> VerifiedGrant:
    """Who gave the grant and what it allows; the caller compares digests, organization and peer.

    SIGNATURE_MISSING, SIGNATURE_INVALID, GRANT_INVALID, GRANT_EXPIRED, CERTIFICATE_ and IDENTITY_ reasons.
    """
    now = clock.now()
    if not signed.HasField("signature"):
        raise InvalidArgument("SIGNATURE_MISSING", "the grant is not signed")
    if len(signed.payload) > MAX_GRANT_BYTES:
        raise InvalidArgument("GRANT_INVALID", "the grant is too large", size=len(signed.payload))
    signer = check_signature(GRANT_DOMAIN, signed.payload, signed.signature, trust, now, TRANSPORT_USAGES)
    if signer.identity.kind is not Kind.NODE or signer.identity.service not in GRANTORS:
        raise PermissionDenied("GRANT_INVALID", "only routing gives grants", signer=signer.identity.uri)
    payload = _parse(signed.payload)
    _check_shape(payload)
    if now >= _expiry(payload):
        raise PermissionDenied("GRANT_EXPIRED", "the grant has expired", expired=_expiry(payload).isoformat())
    return VerifiedGrant(signer.identity, payload)


def _parse(data: bytes) -> grant_pb2.GrantPayload:
    try:
        return grant_pb2.GrantPayload.FromString(data)
    except DecodeError as error:
        raise InvalidArgument("GRANT_INVALID", "the grant cannot be read") from error


def _check_shape(payload: grant_pb2.GrantPayload) -> None:
    named = {
        grant_pb2.GRANT_PURPOSE_DOWNLOAD: payload.organization,
        grant_pb2.GRANT_PURPOSE_PULL: payload.peer_node,
        grant_pb2.GRANT_PURPOSE_PUSH: payload.peer_node,
    }
    if not named.get(payload.purpose):
        raise InvalidArgument(
            "GRANT_INVALID", "the grant names no purpose, or nobody", purpose=payload.purpose
        )
    if not payload.digests or any(len(digest) != DIGEST_BYTES for digest in payload.digests):
        raise InvalidArgument("GRANT_INVALID", "a grant covers SHA-256 digests", count=len(payload.digests))
    _expiry(payload)


def _expiry(payload: grant_pb2.GrantPayload) -> datetime:
    if not payload.HasField("expire_time"):
        raise InvalidArgument("GRANT_INVALID", "the grant never expires")
    try:
        return payload.expire_time.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidArgument("GRANT_INVALID", "the grant's expiry is no time") from error
