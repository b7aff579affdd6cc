"""ReplicationService: blobs between nodes. The peer's side (PullBlobs, PushBlobs) and the order to dial."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from lienthong.rpc.identity import current_caller
from lienthong.rpc.streams import Gate, patient
from lienthong.storage.v1 import storage_pb2, storage_pb2_grpc
from lienthong.types.v1 import grant_pb2

from services.storage import convert
from services.storage.domain import Purpose
from services.storage.grants import GrantDesk
from services.storage.replicator import Replicator
from services.storage.service import Context
from services.storage.shelf import Shelf


class ReplicationService(storage_pb2_grpc.ReplicationServiceServicer):
    """Serves peers that dial, and tells our own dialler what to fetch or bring."""

    def __init__(
        self,
        shelf: Shelf,
        replicator: Replicator,
        grants: GrantDesk,
        gate: Gate,
        patience: float,
    ) -> None:
        self._shelf = shelf
        self._replicator = replicator
        self._grants = grants
        self._gate = gate
        self._patience = patience

    async def Replicate(
        self,
        request: storage_pb2.ReplicateRequest,
        context: Context,  # noqa: ARG002
    ) -> storage_pb2.ReplicateResponse:
        digests = convert.replicated_digests(request.digests)
        direction = convert.direction_from_proto(request.direction)
        moved = await self._replicator.replicate(request.peer_node, direction, digests, request.grant)
        return storage_pb2.ReplicateResponse(moved_bytes=moved)

    async def PullBlobs(
        self,
        request: storage_pb2.PullBlobsRequest,
        context: Context,  # noqa: ARG002
    ) -> AsyncIterator[storage_pb2.PullBlobsResponse]:
        digests = convert.replicated_digests(request.digests)
        self._grants.check(request.grant, Purpose.PULL, current_caller().node, frozenset(digests))
        async with self._gate.passed():
            blobs = await self._shelf.find(digests)
            async with aclosing(self._shelf.parts(blobs, request.offset)) as parts:
                async for part in parts:
                    yield convert.pulled_to_proto(part)

    async def PushBlobs(
        self,
        request_iterator: AsyncIterator[storage_pb2.PushBlobsRequest],
        context: Context,  # noqa: ARG002
    ) -> storage_pb2.PushBlobsResponse:
        messages = patient(request_iterator, self._patience)
        granted = self._pushed_digests(await anext(messages, None))
        async with self._gate.passed(), self._shelf.assembly(granted) as assembly:
            async for message in messages:
                await assembly.add(convert.part_from_proto(message))
            assembly.check_complete()
        # With nothing sent, this tells the dialler what it need not send.
        missing = set(await self._shelf.missing(granted))
        return storage_pb2.PushBlobsResponse(digests=[digest for digest in granted if digest not in missing])

    def _pushed_digests(self, first: storage_pb2.PushBlobsRequest | None) -> tuple[bytes, ...]:
        signed = grant_pb2.SignedGrant() if first is None else first.grant
        grant = self._grants.check(signed, Purpose.PUSH, current_caller().node, frozenset())
        return tuple(sorted(grant.digests))
