"""The last step of submissions, for one or many: sign the envelopes, then one commit of everything.

Documents that the organization issued itself have nothing to seal and nothing to stamp. They go to a queue of
their own, so that a flood of them waits for no timestamp authority, and are taken there in batches: one call
of the register, one of signing, one commit. What fails together is then tried one by one (submission.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lienthong import queue
from lienthong.db import Transaction
from lienthong.events import NewEvent, append
from lienthong.ids import sub_id
from lienthong.queue import Item
from lienthong.routing.v1 import queue_pb2
from lienthong.telemetry import current_traceparent, span_from
from lienthong.times import to_timestamp
from lienthong.types.v1 import document_pb2, envelope_pb2

from services.routing import submission_store as store
from services.routing.attachments import Attachments
from services.routing.dispatch import Dispatch, Parcel, keep, small
from services.routing.domain import FORMAT_VERSION, for_readers, priority
from services.routing.seals import Seals
from services.routing.station import Station
from services.routing.submission_store import Submission

SUBMISSION: Final = "submission"
EXTERNAL: Final = "submission.external"
ISSUE: Final = "register.issue"
VOID: Final = "register.void"
EVENT: Final = "event"


@dataclass(frozen=True, slots=True)
class _Made:
    """A signed envelope that waits for its commit."""

    submission: Submission
    payload: document_pb2.EnvelopePayload
    parcel: Parcel


class Issuing:
    """Signs and commits."""

    def __init__(self, station: Station, attachments: Attachments, seals: Seals, dispatch: Dispatch) -> None:
        self._node = station.node
        self._db = station.db
        self._attachments = attachments
        self._seals = seals
        self._dispatch = dispatch
        self._wakeups = station.wakeups
        self._clock = station.clock
        self._new_id = station.new_id
        self._checkpoint = station.checkpoint

    async def issue(self, submissions: Sequence[Submission]) -> None:
        """All of them, or none; what another worker issued first stays as it is."""
        issue_time = self._clock.now()
        payloads = [self._payload(submission, issue_time) for submission in submissions]
        signed = await self._seals.sign(payloads)
        blobs = await self._small(submissions)
        made = [
            await self._made(submission, payload, envelope, blobs)
            for submission, payload, envelope in zip(submissions, payloads, signed, strict=True)
        ]
        await self._checkpoint("submission.issue.signed")
        envelopes = {m.submission.submission_id: m.parcel.envelope.envelope_id for m in made}
        async with self._db.transaction() as tx:
            ours = await store.mark_issued(tx, envelopes, issue_time)
            await self._commit(tx, [m for m in made if m.submission.submission_id in ours])

    def _payload(self, submission: Submission, issue_time: datetime) -> document_pb2.EnvelopePayload:
        return document_pb2.EnvelopePayload(
            format_version=FORMAT_VERSION,
            envelope_id=str(self._new_id()),
            organization=submission.organization,
            create_time=to_timestamp(issue_time),
            expire_time=to_timestamp(submission.expire_time),
            urgency=submission.document.urgency,
            recipients=[document_pb2.Recipient(organization=code) for code in sorted(submission.recipients)],
            document=submission.document,
        )

    async def _small(self, submissions: Sequence[Submission]) -> dict[bytes, bytes]:
        """The attachments that ride in the batch, each digest read once."""
        digests = sorted({a.sha256 for s in submissions for a in small(s.document)})
        contents = await asyncio.gather(*(self._attachments.read(digest) for digest in digests))
        return dict(zip(digests, contents, strict=True))

    async def _made(
        self,
        submission: Submission,
        payload: document_pb2.EnvelopePayload,
        envelope: envelope_pb2.SignedEnvelope,
        blobs: Mapping[bytes, bytes],
    ) -> _Made:
        with span_from(submission.traceparent, "issue") as span:
            hop = document_pb2.HopFact(
                node=self._node,
                in_time=payload.create_time,
                span_id=format(span.get_span_context().span_id, "016x"),
            )
            parcel = await self._dispatch.parcel(
                keep(envelope, payload, {a.sha256: blobs[a.sha256] for a in small(submission.document)}),
                sorted(submission.recipients),
                [hop],
                traceparent=current_traceparent() or submission.traceparent,
            )
        return _Made(submission, payload, parcel)

    async def _commit(self, tx: Transaction, made: Sequence[_Made]) -> None:
        if not made:
            return
        await self._dispatch.commit(tx, [m.parcel for m in made])
        recipients = {m.parcel.envelope.envelope_id: m.submission.recipients for m in made}
        await store.insert_recipients(tx, recipients)
        await append(tx, [self._event(m) for m in made])
        self._wakeups.notify_after(tx, EVENT)
        here = [register_work(m.submission, ISSUE) for m in made if not m.submission.is_external]
        if here:
            await queue.put(tx, here, self._wakeups)

    def _event(self, made: _Made) -> NewEvent:
        submission, payload = made.submission, made.payload
        event = queue_pb2.IssuedEvent(
            document=for_readers(submission.document),
            envelope_id=payload.envelope_id,
            recipients=sorted(submission.recipients),
            submit_time=to_timestamp(submission.create_time),
            issue_time=payload.create_time,
        )
        return NewEvent(
            self._new_id(),
            "routing.issued",
            submission.document.document_id,
            event.SerializeToString(),
            submission.traceparent,
        )


def submission_work(submission: Submission) -> Item:
    """The queue item that drives one submission."""
    return Item(
        sub_id(submission.submission_id, SUBMISSION),
        EXTERNAL if submission.is_external else SUBMISSION,
        submission.submission_id.bytes,
        priority=priority(submission.document.urgency),
        traceparent=submission.traceparent,
    )


def register_work(submission: Submission, what: str) -> Item:
    """The outbox item that tells the register what became of a number."""
    return Item(
        sub_id(submission.submission_id, what),
        what,
        submission.submission_id.bytes,
        traceparent=submission.traceparent,
    )
