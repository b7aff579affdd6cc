"""Remembers requests and their answers, so that a repeat is answered and not done again (promise 2).

    async with db.transaction() as tx:
        answer = await recall(tx, caller, request_id, request_hash)
        if answer is None:
            answer = (await do(tx)).SerializeToString()
            await record(tx, caller, request_id, answer)

The row is inserted first, in the transaction of the change. A concurrent request with the same id waits on
that row: when the first commits it gets the first's answer, when it rolls back the second does the work.
A request that was refused leaves no row; its repeat is judged anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeAlias, TypeVar
from uuid import UUID

from google.protobuf.message import Message
from lienthong.db import Queries, Transaction
from lienthong.errors import Aborted, AlreadyExists, Internal

REQUEST_DDL: Final = """
CREATE TABLE request (
    caller       text        NOT NULL,
    request_id   uuid        NOT NULL,
    request_hash bytea       NOT NULL,
    response     bytea,
    create_time  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, request_id)
);
CREATE INDEX request_create_time ON request (create_time);
"""

Recalled: TypeAlias = bytes | AlreadyExists | Aborted | None


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it is remembered. The hash covers the whole content except the id."""

    caller: str
    request_id: UUID
    request_hash: bytes

    @property
    def key(self) -> tuple[str, UUID]:
        """What makes it the same request."""
        return self.caller, self.request_id


M = TypeVar("M", bound=Message)


def content_hash(request: M) -> bytes:
    """Of the whole content except the id, so that a repeat is told from a reuse."""
    content = type(request)()
    content.CopyFrom(request)
    content.ClearField("request_id")
    return hashlib.sha256(content.SerializeToString(deterministic=True)).digest()


async def recall(tx: Transaction, caller: str, request_id: UUID, request_hash: bytes) -> bytes | None:
    """The first answer to this request, or None when it is new and now ours to do (then `record`).

    Raises AlreadyExists("REQUEST_ID_REUSED") when the id came before with other content.
    """
    [recalled] = await recall_many(tx, [Request(caller, request_id, request_hash)])
    if isinstance(recalled, Exception):
        raise recalled
    return recalled


async def record(tx: Transaction, caller: str, request_id: UUID, response: bytes) -> None:
    """Remember the answer of a request that `recall` found new in this transaction."""
    await record_many(tx, [((caller, request_id), response)])


async def recall_many(tx: Transaction, requests: Sequence[Request]) -> list[Recalled]:
    """`recall` for a batch, in its order; what a single recall would raise stands in its place."""
    # Sorted: two batches with common ids in opposite order would deadlock on each other's rows.
    ordered = sorted({request.key: request for request in reversed(requests)}.values(), key=lambda r: r.key)
    arguments = (
        [request.caller for request in ordered],
        [request.request_id for request in ordered],
        [request.request_hash for request in ordered],
    )
    inserted = await tx.fetch(
        "INSERT INTO request (caller, request_id, request_hash)"
        " SELECT * FROM unnest($1::text[], $2::uuid[], $3::bytea[])"
        " ON CONFLICT DO NOTHING RETURNING caller, request_id",
        *arguments,
    )
    new = {(row["caller"], row["request_id"]) for row in inserted}
    known: dict[tuple[str, UUID], tuple[bytes, bytes | None]] = {}
    if len(new) < len(ordered):
        # A statement of its own: its snapshot sees what the insert waited for.
        rows = await tx.fetch(
            "SELECT caller, request_id, request_hash, response FROM request"
            " JOIN unnest($1::text[], $2::uuid[]) AS asked(caller, request_id) USING (caller, request_id)",
            *arguments[:2],
        )
        known = {(r["caller"], r["request_id"]): (r["request_hash"], r["response"]) for r in rows}
    return _answers(requests, new, known)


async def record_many(tx: Transaction, answers: Sequence[tuple[tuple[str, UUID], bytes]]) -> None:
    """`record` for a batch."""
    ordered = sorted(answers, key=lambda answer: answer[0])
    tag = await tx.execute(
        "UPDATE request SET response = answer.response"
        " FROM unnest($1::text[], $2::uuid[], $3::bytea[]) AS answer(caller, request_id, response)"
        " WHERE request.caller = answer.caller AND request.request_id = answer.request_id"
        " AND request.response IS NULL",
        [key[0] for key, _ in ordered],
        [key[1] for key, _ in ordered],
        [response for _, response in ordered],
    )
    if tag != f"UPDATE {len(ordered)}":
        raise Internal("REQUEST_NOT_RECALLED", "an answer was recorded for a request that is not ours to do")


async def forget_many(tx: Transaction, keys: Sequence[tuple[str, UUID]]) -> None:
    """Take back what `recall_many` found new in this transaction: those requests were refused after all."""
    await tx.execute(
        "DELETE FROM request USING unnest($1::text[], $2::uuid[]) AS refused(caller, request_id)"
        " WHERE request.caller = refused.caller AND request.request_id = refused.request_id",
        [caller for caller, _ in keys],
        [request_id for _, request_id in keys],
    )


async def forget(queries: Queries, before: datetime, limit: int = 10_000) -> int:
    """Remove up to `limit` requests older than `before`, and say how many went."""
    tag = await queries.execute(
        "DELETE FROM request USING (SELECT caller, request_id FROM request WHERE create_time < $1"
        " ORDER BY create_time LIMIT $2 FOR UPDATE SKIP LOCKED) AS old"
        " WHERE request.caller = old.caller AND request.request_id = old.request_id",
        before,
        limit,
    )
    return int(tag.removeprefix("DELETE "))


def _answers(
    requests: Sequence[Request],
    new: set[tuple[str, UUID]],
    known: dict[tuple[str, UUID], tuple[bytes, bytes | None]],
) -> list[Recalled]:
    answers: list[Recalled] = []
    ours: dict[tuple[str, UUID], bytes] = {}
    for request in requests:
        if request.key not in new:
            answers.append(_known(request, *known[request.key]))
        elif request.key not in ours:
            ours[request.key] = request.request_hash
            answers.append(None)
        elif ours[request.key] != request.request_hash:
            answers.append(_reused(request))
        else:  # the same request twice in one batch: its answer does not exist yet
            answers.append(Aborted("REQUEST_IN_PROGRESS", "the same request is being done", retry_after=0.1))
    return answers


def _known(request: Request, request_hash: bytes, response: bytes | None) -> bytes | AlreadyExists:
    if request_hash != request.request_hash:
        return _reused(request)
    if response is None:
        raise Internal("REQUEST_NOT_RECORDED", "a request was committed without its answer")
    return response


def _reused(request: Request) -> AlreadyExists:
    return AlreadyExists(
        "REQUEST_ID_REUSED",
        "this request id came before with other content",
        field="request_id",
        request_id=request.request_id,
    )
