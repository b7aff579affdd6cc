"""Links from the outside: who is let in, what is refused, first answers, and what becomes of a rejection.

The test plays the neighbour H01: it dials with H01's TEST certificate and speaks the protocol of the link.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lienthong import envelope
from lienthong.clock import SystemClock
from lienthong.errors import DomainError, InvalidArgument, PermissionDenied, Unavailable
from lienthong.pki.keys import load_signing_key
from lienthong.pki.testing import TestAuthority
from lienthong.routing.v1 import link_pb2, link_pb2_grpc, queue_pb2, submission_pb2, submission_pb2_grpc
from lienthong.settings import TlsSettings
from lienthong.times import to_timestamp
from lienthong.types.v1 import document_pb2, envelope_pb2

from tests.services.routing.inboxes import receipts_of
from tests.services.routing.papers import AWAY, CLERK, SENDER, SIXTH, Papers, client_of, send
from tests.services.routing.refusing import nothing_written, refused
from tests.support.node import Site, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

Outcome = link_pb2.TransferOutcome
ACCEPTED, REJECTED = Outcome.TRANSFER_OUTCOME_ACCEPTED, Outcome.TRANSFER_OUTCOME_REJECTED
# Not signed: it is delivered all the same, with its verdict.
PAGE = b"%PDF-1.7\nMAU"
NOT_DELIVERED = document_pb2.TRANSPORT_OUTCOME_NOT_DELIVERED


class Neighbour:
    """The other side of an open link."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def send(self, frame: link_pb2.LinkFrame) -> None:
        await self._call.write(link_pb2.ExchangeRequest(frame=frame))

    async def receive(self, kind: str) -> Any:
        """The next frame of a kind; others are passed over."""
        async with asyncio.timeout(20):
            while True:
                frame = (await self._call.read()).frame
                if frame.WhichOneof("frame") == kind:
                    return getattr(frame, kind)

    async def answers(self, *transfers: link_pb2.Transfer) -> list[tuple[Any, str]]:
        await self.send(link_pb2.LinkFrame(offer=link_pb2.Offer(transfers=transfers)))
        answer = await self.receive("answer")
        by_id = {a.transfer_id: (a.outcome, a.reason) for a in answer.answers}
        return [by_id[transfer.transfer_id] for transfer in transfers]

    async def offered(self, document_id: str) -> link_pb2.Offer:
        """The transfer of a document, alone; what else is on offer is accepted."""
        while True:
            offer = await self.receive("offer")
            wanted = [t for t in offer.transfers if _document_id(t) == document_id]
            others = [t for t in offer.transfers if _document_id(t) != document_id]
            await self.answer(link_pb2.Offer(transfers=others), ACCEPTED)
            if wanted:
                return link_pb2.Offer(transfers=wanted)

    async def answer(self, offer: link_pb2.Offer, outcome: Any, reason: str = "") -> None:
        answers = [
            link_pb2.TransferAnswer(transfer_id=t.transfer_id, outcome=outcome, reason=reason)
            for t in offer.transfers
        ]
        await self.send(link_pb2.LinkFrame(answer=link_pb2.Answer(answers=answers)))


def hello(node: str = AWAY, versions: tuple[int, ...] = (1,)) -> link_pb2.LinkFrame:
    return link_pb2.LinkFrame(hello=link_pb2.Hello(node=node, versions=versions, instance_id="test"))


async def arrived(site: Site) -> None:
    """Everything that was taken is delivered."""
    async with asyncio.timeout(20):
        while await site.rows("routing", "SELECT FROM queue_item WHERE queue = 'arrival'"):
            await asyncio.sleep(0.05)


@asynccontextmanager
async def linked(site: Site, node: str = AWAY) -> AsyncIterator[Neighbour]:
    call = link_pb2_grpc.LinkServiceStub(site.channel(f"node/{node}/node")).Exchange()
    neighbour = Neighbour(call)
    try:
        await neighbour.send(hello(node))
        await neighbour.receive("hello")
        yield neighbour
    finally:
        call.cancel()


async def first_frame(site: Site, who: str, frame: link_pb2.LinkFrame) -> None:
    """Dial, say one frame, and read until the link ends."""
    call = link_pb2_grpc.LinkServiceStub(site.channel(who)).Exchange()

    async def talk() -> None:
        await call.write(link_pb2.ExchangeRequest(frame=frame))
        while await call.read():
            pass

    async with asyncio.timeout(20):
        await talk()


def parcel(
    world: World,
    recipients: tuple[str, ...] = (SIXTH,),
    *,
    signer: str = f"org/{AWAY}",
    label: str = "",
    named: tuple[str, ...] | None = None,
    hops: tuple[str, ...] = (AWAY,),
    expires: timedelta = timedelta(days=1),
    version: int = 1,
    content: bytes = PAGE,
    blobs: tuple[bytes, ...] = (PAGE,),
    **fields: Any,
) -> link_pb2.Transfer:
    """A transfer of a document of AWAY with one small file, which rides in the batch."""
    main = document_pb2.Attachment(
        name="tep.pdf",
        role=document_pb2.ATTACHMENT_ROLE_MAIN,
        media_type="application/pdf",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).digest(),
    )
    facts = {"organization": AWAY, "subject": "MẪU", "attachments": [main], **fields}
    signed = document_pb2.EnvelopePayload(
        format_version=version,
        envelope_id=str(uuid.uuid4()),
        organization=AWAY,
        expire_time=to_timestamp(datetime.now(UTC) + expires),
        recipients=[document_pb2.Recipient(organization=code) for code in named or recipients],
        document=document_pb2.Document(
            document_id=str(uuid.uuid4()), number=3, notation="TM-BC", issued_date="2026-02-05", **facts
        ),
    )
    issued = world.authority.issued(signer, "envelope", label)
    key = load_signing_key(issued.key_path, issued.chain_path)
    return link_pb2.Transfer(
        transfer_id=str(uuid.uuid4()),
        envelope=envelope.sign(signed.SerializeToString(), key),
        recipients=recipients,
        hops=[document_pb2.HopFact(node=node) for node in hops],
        blobs=[link_pb2.InlineBlob(sha256=hashlib.sha256(b).digest(), content=b) for b in blobs],
    )


def _document_id(transfer: link_pb2.Transfer) -> str:
    return document_pb2.EnvelopePayload.FromString(transfer.envelope.payload).document.document_id


def envelope_id_of(transfer: link_pb2.Transfer) -> str:
    return document_pb2.EnvelopePayload.FromString(transfer.envelope.payload).envelope_id


@pytest.mark.parametrize(
    ("who", "frame", "kind", "reason"),
    [
        ("node/Z99/node", hello("Z99"), PermissionDenied, "NODE_UNKNOWN"),
        ("node/H01.15/node", hello("H01.15"), PermissionDenied, "NODE_NOT_NEIGHBOUR"),
        ("node/G22/node", hello("G22"), PermissionDenied, "ROLE_REFUSED"),
        (CLERK, hello(SENDER), PermissionDenied, "ROLE_REFUSED"),
        ("node/H01/node", hello("H01.15"), InvalidArgument, "HELLO_MISSING"),
        (
            "node/H01/node",
            link_pb2.LinkFrame(heartbeat=link_pb2.Heartbeat()),
            InvalidArgument,
            "HELLO_MISSING",
        ),
    ],
)
async def test_who_is_not_let_in(
    site: Site, who: str, frame: link_pb2.LinkFrame, kind: type[DomainError], reason: str
) -> None:
    async with nothing_written(site):
        await refused(first_frame(site, who, frame), kind, reason)


async def test_a_certificate_of_another_root_gets_no_connection(site: Site, tmp_path: Path) -> None:
    other = TestAuthority.create(tmp_path / "other", SystemClock(), "lienthong.test")
    for issued in (other.tls_client(SENDER, "clerk", "van-thu"), other.tls_node(AWAY)):
        tls = TlsSettings(
            certificate=issued.chain_path, key=issued.key_path, roots=site.world.authority.roots_path
        )
        channel = site.channel("", tls)
        stub = submission_pb2_grpc.SubmissionServiceStub(channel)
        with pytest.raises(Unavailable) as refusal:
            await stub.ListSubmissions(submission_pb2.ListSubmissionsRequest(), timeout=10)
        assert refusal.value.reason in ("TLS_REFUSED", "PEER_UNAVAILABLE")


async def test_an_offer_is_answered_once_and_delivered_once(site: Site, world: World) -> None:
    transfer = parcel(world)
    again = link_pb2.Transfer()
    again.CopyFrom(transfer)
    again.transfer_id = str(uuid.uuid4())  # the same envelope on another way
    async with linked(site) as neighbour:
        assert await neighbour.answers(transfer) == [(ACCEPTED, "")]
        assert await neighbour.answers(transfer) == [(ACCEPTED, "")]
        assert await neighbour.answers(again) == [(ACCEPTED, "")]
    async with linked(site) as neighbour:
        assert await neighbour.answers(transfer) == [(ACCEPTED, "")]
    await arrived(site)
    inbox = await site.agency(client_of(SIXTH)).inbox.all()
    assert [d.envelope_id for d in inbox].count(envelope_id_of(transfer)) == 1


async def test_what_is_wrong_is_rejected_item_by_item_and_for_good(site: Site, world: World) -> None:
    good = parcel(world)
    tampered = parcel(world)
    tampered.envelope.payload = parcel(world).envelope.payload
    unsigned = parcel(world)
    del unsigned.envelope.signatures[:]
    twice = parcel(world, ("X99",), named=(SIXTH,))
    swapped = parcel(world)
    swapped.blobs[0].content = PAGE[:-1] + b"!"
    cases = {
        "SIGNATURE_INVALID": tampered,
        "SIGNATURE_MISSING": unsigned,
        "SENDER_MISMATCH": parcel(world, signer=f"org/{SENDER}"),
        "CERTIFICATE_REVOKED": parcel(world, label="revoked"),
        "RECIPIENT_FOREIGN": twice,
        "LOOP": parcel(world, hops=(SENDER, AWAY)),
        "EXPIRED": parcel(world, expires=timedelta(seconds=-1)),
        "SECRET_REFUSED": parcel(world, secrecy=document_pb2.SECRECY_CONFIDENTIAL),
        "INLINE_ATTACHMENT_MISSING": parcel(world, blobs=()),
        "INLINE_ATTACHMENT_TOO_LARGE": parcel(world, blobs=(PAGE, bytes(64 * 1024 + 1))),
        "INLINE_ATTACHMENT_BROKEN": swapped,
        "MAIN_ATTACHMENT_MISSING": parcel(world, attachments=[]),
        "SUBJECT_TOO_LONG": parcel(world, subject="ề" * 501),
        "FORMAT_VERSION": parcel(world, version=0),
    }
    async with linked(site) as neighbour:
        answers = await neighbour.answers(good, *cases.values())
        assert answers == [(ACCEPTED, ""), *((REJECTED, reason) for reason in cases)]
        assert await neighbour.answers(*cases.values()) == answers[1:], "the first answer stands"
    kept = {str(row["envelope_id"]) for row in await site.rows("routing", "SELECT envelope_id FROM envelope")}
    assert envelope_id_of(good) in kept
    for reason, transfer in cases.items():
        # What was tampered with names, in its payload, an envelope that nobody sent.
        assert envelope_id_of(transfer) not in kept, f"{reason} must not be in custody"


async def test_a_newer_version_is_carried_and_where_it_ends_it_is_answered_for(
    site: Site, world: World
) -> None:
    """A relay need not understand what it relays; who should deliver it says that it cannot (R3)."""
    transfer = parcel(world, version=2)
    async with linked(site) as neighbour:
        assert await neighbour.answers(transfer) == [(ACCEPTED, "")]
        while True:
            offer = await neighbour.receive("offer")
            await neighbour.answer(offer, ACCEPTED)
            payloads = [document_pb2.EnvelopePayload.FromString(t.envelope.payload) for t in offer.transfers]
            receipts = [r for p in payloads for r in p.receipts.receipts]
            mine = [r for r in receipts if r.envelope_id == envelope_id_of(transfer)]
            if mine:
                break
    [receipt] = mine
    assert (receipt.outcome, receipt.reason_code) == (NOT_DELIVERED, "FORMAT_VERSION")
    inbox = await site.agency(client_of(SIXTH)).inbox.all()
    assert envelope_id_of(transfer) not in {d.envelope_id for d in inbox}


async def test_too_large_an_offer_is_deferred_and_nothing_is_taken(site: Site, world: World) -> None:
    transfers = [parcel(world)]
    for _ in range(64):
        copy = link_pb2.Transfer()
        copy.CopyFrom(transfers[0])
        copy.transfer_id = str(uuid.uuid4())
        transfers.append(copy)
    await arrived(site)
    async with linked(site) as neighbour, nothing_written(site):
        answers = await neighbour.answers(*transfers)
        assert set(answers) == {(Outcome.TRANSFER_OUTCOME_DEFERRED, "OFFER_TOO_LARGE")}


async def test_a_rejection_comes_to_the_sender_as_a_signed_negative_receipt(
    site: Site, papers: Papers
) -> None:
    """R3: only an explicit rejection; until it is answered the transfer is merely unconfirmed."""
    clerk = site.agency(CLERK)
    sent = await send(site, papers, [AWAY])
    document_id = sent.document.document_id
    async with linked(site) as neighbour:
        offer = await neighbour.offered(document_id)
        assert [t.recipients for t in offer.transfers] == [[AWAY]]
        assert not await clerk.all_receipts(document_id), "offered is not answered"
    # The link broke without an answer: offered again, still no receipt of any kind.
    async with linked(site) as neighbour:
        again = await neighbour.offered(document_id)
        assert [t.transfer_id for t in again.transfers] == [t.transfer_id for t in offer.transfers]
        assert not await clerk.all_receipts(document_id)
        await neighbour.answer(again, REJECTED, "SECRET_REFUSED")
        [receipt] = await receipts_of(clerk, document_id, 1)
    assert (receipt.outcome, receipt.reason_code, receipt.status) == (NOT_DELIVERED, "SECRET_REFUSED", "")
    assert (receipt.recipient, receipt.node) == (AWAY, SENDER)
    [state] = (await clerk.submission(document_id=document_id)).recipients
    assert (state.outcome, state.reason, state.status) == (NOT_DELIVERED, "SECRET_REFUSED", "")
    [proof] = await site.rows(
        "routing",
        "SELECT e.signed FROM receipt r JOIN envelope e ON e.envelope_id = r.proof_id"
        " WHERE r.receipt_id = $1",
        uuid.UUID(receipt.receipt_id),
    )
    signed = envelope_pb2.SignedEnvelope.FromString(proof["signed"])
    signer = envelope.verify(signed, site.connection(CLERK).trust, datetime.now(UTC))
    envelope.require_sender(signer, node=SENDER)


async def test_the_same_offer_is_not_made_to_one_who_is_away(site: Site, papers: Papers) -> None:
    """R4: what waits for a neighbour that is not connected costs no attempt."""
    sent = await send(site, papers, [AWAY])
    await asyncio.sleep(0.5)
    [transfer], _ = await site.operator().transfers(document_id=sent.document.document_id)
    assert (transfer.next_hop, transfer.attempts) == (AWAY, 0)
    destinations = {d.node: d for d in await site.operator().destinations()}
    assert not destinations[AWAY].connected
    assert destinations[AWAY].waiting >= 1
    async with linked(site) as neighbour:
        offer = await neighbour.offered(sent.document.document_id)
        await neighbour.answer(offer, ACCEPTED)
        operator = site.operator()
        async with asyncio.timeout(20):
            while transfer.state != queue_pb2.TRANSFER_STATE_ACCEPTED:
                [transfer], _ = await operator.transfers(document_id=sent.document.document_id)
                await asyncio.sleep(0.05)
