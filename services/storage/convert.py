"""Proto <-> domain of storage, nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from lienthong.errors import InvalidArgument
from lienthong.grant import VerifiedGrant
from lienthong.storage.v1 import storage_pb2
from lienthong.times import from_timestamp, to_timestamp
from lienthong.types.v1 import grant_pb2

from services.storage.domain import (
    MAX_HOLDER_LETTERS,
    MAX_HOLDS,
    MAX_REPLICATED,
    MAX_STAT_DIGESTS,
    Announced,
    BlobStat,
    Content,
    Direction,
    Fault,
    Finding,
    Grant,
    Hold,
    Progress,
    Purpose,
    Summary,
    check_digest,
    check_digests,
    check_hold,
    unique,
)

_PURPOSES = {
    grant_pb2.GRANT_PURPOSE_DOWNLOAD: Purpose.DOWNLOAD,
    grant_pb2.GRANT_PURPOSE_PULL: Purpose.PULL,
    grant_pb2.GRANT_PURPOSE_PUSH: Purpose.PUSH,
}
_DIRECTIONS = {
    storage_pb2.REPLICATION_DIRECTION_PULL: Direction.PULL,
    storage_pb2.REPLICATION_DIRECTION_PUSH: Direction.PUSH,
}

_FAULTS = {
    Fault.MISSING: storage_pb2.BLOB_FAULT_MISSING,
    Fault.SIZE: storage_pb2.BLOB_FAULT_SIZE,
    Fault.DIGEST: storage_pb2.BLOB_FAULT_DIGEST,
    Fault.UNRECORDED: storage_pb2.BLOB_FAULT_UNRECORDED,
}

Part = Content | bytes
"""One message of a stream of blobs: the next one begins, or a piece of it."""


def announced_from_proto(header: storage_pb2.UploadHeader) -> Announced:
    if header.sha256:
        check_digest(header.sha256, "header.sha256")
    return Announced(header.sha256, header.size_bytes)


def upload_from_proto(request: storage_pb2.GetUploadRequest) -> Content:
    return Content(check_digest(request.sha256, "sha256"), request.size_bytes)


def upload_to_proto(content: Content, expire_time: datetime) -> storage_pb2.UploadResponse:
    return storage_pb2.UploadResponse(
        sha256=content.sha256, size_bytes=content.size, expire_time=to_timestamp(expire_time)
    )


def stat_digests(request: storage_pb2.StatBlobsRequest) -> tuple[bytes, ...]:
    return check_digests(request.digests, "digests", MAX_STAT_DIGESTS)


def stats_to_proto(stats: Iterable[BlobStat]) -> storage_pb2.StatBlobsResponse:
    return storage_pb2.StatBlobsResponse(
        blobs=[
            storage_pb2.BlobStat(
                sha256=stat.sha256, present=stat.present, size_bytes=stat.size, granted=stat.granted
            )
            for stat in stats
        ]
    )


def holds_from_proto(request: storage_pb2.PlaceHoldsRequest) -> list[Hold]:
    if len(request.holds) > MAX_HOLDS:
        raise InvalidArgument("TOO_MANY_HOLDS", f"at most {MAX_HOLDS} holds", field="holds", limit=MAX_HOLDS)
    return [
        check_hold(hold.holder, hold.digests, f"holds[{place}]") for place, hold in enumerate(request.holds)
    ]


def holders_from_proto(request: storage_pb2.ReleaseHoldsRequest) -> list[str]:
    if len(request.holders) > MAX_HOLDS:
        raise InvalidArgument(
            "TOO_MANY_HOLDS", f"at most {MAX_HOLDS} holders", field="holders", limit=MAX_HOLDS
        )
    for place, holder in enumerate(request.holders):
        if not 0 < len(holder) <= MAX_HOLDER_LETTERS:
            raise InvalidArgument("HOLDER_MALFORMED", "not the name of a holder", field=f"holders[{place}]")
    return list(request.holders)


def grant_from_proto(verified: VerifiedGrant) -> Grant:
    payload = verified.payload
    purpose = _PURPOSES[payload.purpose]
    return Grant(
        signer_domain=verified.signer.trust_domain,
        signer_node=verified.signer.node,
        purpose=purpose,
        digests=frozenset(payload.digests),
        beneficiary=payload.organization if purpose is Purpose.DOWNLOAD else payload.peer_node,
        expire_time=from_timestamp(payload.expire_time),
    )


def direction_from_proto(direction: storage_pb2.ReplicationDirection.ValueType) -> Direction:
    if direction not in _DIRECTIONS:
        raise InvalidArgument("DIRECTION_MISSING", "say which way the blobs move", field="direction")
    return _DIRECTIONS[direction]


def replicated_digests(digests: Iterable[bytes]) -> tuple[bytes, ...]:
    """Each digest once, in the order asked."""
    return unique(check_digests(tuple(digests), "digests", MAX_REPLICATED))


def verified_to_proto(part: Finding | Progress | Summary) -> storage_pb2.VerifyBlobsResponse:
    match part:
        case Finding():
            return storage_pb2.VerifyBlobsResponse(
                finding=storage_pb2.BlobFinding(
                    sha256=part.sha256,
                    fault=_FAULTS[part.fault],
                    size_bytes=part.size,
                    found_bytes=part.found,
                    holds=part.holds,
                )
            )
        case Progress():
            return storage_pb2.VerifyBlobsResponse(
                progress=storage_pb2.VerifyBlobsProgress(compared=part.compared, recorded=part.recorded)
            )
        case Summary():
            return storage_pb2.VerifyBlobsResponse(
                summary=storage_pb2.VerifyBlobsSummary(
                    recorded=part.recorded, recorded_bytes=part.recorded_bytes, findings=part.findings
                )
            )


def pulled_to_proto(part: Part) -> storage_pb2.PullBlobsResponse:
    if isinstance(part, bytes):
        return storage_pb2.PullBlobsResponse(chunk=part)
    return storage_pb2.PullBlobsResponse(start=_start(part))


def pushed_to_proto(part: Part) -> storage_pb2.PushBlobsRequest:
    if isinstance(part, bytes):
        return storage_pb2.PushBlobsRequest(chunk=part)
    return storage_pb2.PushBlobsRequest(start=_start(part))


def part_from_proto(message: storage_pb2.PullBlobsResponse | storage_pb2.PushBlobsRequest) -> Part:
    """The part, or InvalidArgument("STREAM_MALFORMED") for a message that is none."""
    kind = message.WhichOneof("part")
    if kind == "chunk":
        return message.chunk
    if kind == "start":
        return Content(check_digest(message.start.sha256, "start.sha256"), message.start.size_bytes)
    raise InvalidArgument("STREAM_MALFORMED", "neither the start of a blob nor a piece of one")


def _start(content: Content) -> storage_pb2.BlobStart:
    return storage_pb2.BlobStart(sha256=content.sha256, size_bytes=content.size)
