"""Envelope signatures: each with its sender's key, in batches, and only for senders of this node."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from lienthong import envelope
from lienthong.errors import DomainError, FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from lienthong.pki.trust import TrustStore
from lienthong.signing.v1 import signing_pb2 as pb
from lienthong.types.v1 import document_pb2

from tests.services.signing.conftest import AGENCY, AS_CLIENT, EXPIRED, KEYLESS, NODE, ROUTING, Site


def from_organization(code: str, number: int = 0, size: int = 0) -> bytes:
    payload = document_pb2.EnvelopePayload(format_version=1, envelope_id=f"TEST-{number}", organization=code)
    payload.document.subject = "MẪU" + "x" * size
    return payload.SerializeToString()


def from_node(code: str, number: int = 0) -> bytes:
    return document_pb2.EnvelopePayload(
        format_version=1, envelope_id=f"TEST-{number}", node=code
    ).SerializeToString()


async def envelopes(site: Site, payloads: Sequence[bytes], who: str = ROUTING) -> pb.SignEnvelopesResponse:
    answer: pb.SignEnvelopesResponse = await site.signing(who).SignEnvelopes(
        pb.SignEnvelopesRequest(payloads=payloads)
    )
    return answer


async def test_two_hundred_verify_in_their_order_each_by_its_sender(site: Site) -> None:
    payloads = [
        from_node(NODE, number) if number % 3 == 0 else from_organization(AGENCY, number)
        for number in range(200)
    ]
    answer = await envelopes(site, payloads)
    assert [signed.payload for signed in answer.envelopes] == payloads
    authority = site.pki.authority
    trust = TrustStore.load(authority.roots_path, authority.document_chain_path, authority.crl_paths)
    signers = envelope.verify_many(answer.envelopes, trust, datetime.now(UTC))
    for number, signer in enumerate(signers):
        assert isinstance(signer, envelope.Signer), signer
        expected = f"node/{NODE}" if number % 3 == 0 else f"org/{AGENCY}"
        assert signer.identity.path == expected
    assert len(answer.envelopes[0].signatures[0].certificate_chain) == 2, "the root is left out"


async def test_payload_bytes_are_signed_as_they_came(site: Site) -> None:
    # A field of a later version, and fields out of order: a re-serialised payload would differ.
    odd = b"\xfa\x3f\x03new" + from_organization(AGENCY) + b"\x08\x07"
    answer = await envelopes(site, [odd])
    assert answer.envelopes[0].payload == odd


@pytest.mark.parametrize(
    ("payload", "kind", "reason"),
    [
        (from_organization(KEYLESS), NotFound, "KEY_UNKNOWN"),
        # This folder happens to hold the other node's key: it is refused all the same.
        (from_node("G22"), NotFound, "KEY_UNKNOWN"),
        (from_organization(EXPIRED), FailedPrecondition, "SIGNER_CERTIFICATE_EXPIRED"),
        (from_organization(f"{AGENCY}/leader/nguyen-thi-mau"), NotFound, "KEY_UNKNOWN"),
        (from_organization(""), NotFound, "KEY_UNKNOWN"),
        (b"", InvalidArgument, "PAYLOAD_INVALID"),
        (b"\xff\xff\xff", InvalidArgument, "PAYLOAD_INVALID"),
    ],
)
async def test_one_bad_payload_refuses_the_batch(
    site: Site, payload: bytes, kind: type[DomainError], reason: str
) -> None:
    with pytest.raises(kind) as refusal:
        await envelopes(site, [from_organization(AGENCY), payload])
    assert refusal.value.reason == reason


async def test_batches_have_limits(site: Site) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await envelopes(site, [from_node(NODE)] * 1001)
    assert refusal.value.reason == "TOO_MANY_ITEMS"
    with pytest.raises(InvalidArgument) as refusal:
        await envelopes(site, [from_organization(AGENCY, size=1600)] * 1000)
    assert refusal.value.reason == "MESSAGE_TOO_LARGE"
    assert (await envelopes(site, [])).envelopes == []


@pytest.mark.parametrize("who", [AS_CLIENT, "node/G22/routing", f"node/{NODE}/storage", "operator/an"])
async def test_only_routing_of_this_node(site: Site, who: str) -> None:
    with pytest.raises(PermissionDenied) as refusal:
        await envelopes(site, [from_organization(AGENCY)], who)
    assert refusal.value.reason == "ROLE_REFUSED"


async def test_a_service_key_of_the_node_signs_nothing_but_envelopes(site: Site) -> None:
    keys = (await site.signing("operator/an").ListKeys(pb.ListKeysRequest())).keys
    assert [key.identity for key in keys if "/node/" in key.identity] == [
        "spiffe://lienthong.test/node/G22",
        f"spiffe://lienthong.test/node/{NODE}",
    ], "TLS keys beside them are left alone"
