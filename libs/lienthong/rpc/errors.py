"""DomainError <-> google.rpc.Status, both ways: the only file that knows the canonical codes.

A status carries one ErrorInfo{reason, domain "lienthong", metadata}, the field violations, a RetryInfo where
there is a delay, and what a clerk does next in Vietnamese and English. All of it stays under 4 KiB, because
it travels in trailers, whose limit (8 KiB for everything) a peer may have lowered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from lienthong import errors
from lienthong.advice import ADVICE
from lienthong.errors import DomainError, FieldViolation

DOMAIN: Final = "lienthong"
TRAILER: Final = "grpc-status-details-bin"
TRAILER_LIMIT: Final = 4096
_RESERVE: Final = 160  # names of the trailers, grpc-status, padding

Code = grpc.StatusCode

CODES: Final[Mapping[type[DomainError], grpc.StatusCode]] = {
    errors.InvalidArgument: Code.INVALID_ARGUMENT,
    errors.NotFound: Code.NOT_FOUND,
    errors.AlreadyExists: Code.ALREADY_EXISTS,
    errors.FailedPrecondition: Code.FAILED_PRECONDITION,
    errors.PermissionDenied: Code.PERMISSION_DENIED,
    errors.Unauthenticated: Code.UNAUTHENTICATED,
    errors.ResourceExhausted: Code.RESOURCE_EXHAUSTED,
    errors.Unavailable: Code.UNAVAILABLE,
    errors.Aborted: Code.ABORTED,
    errors.DeadlineExceeded: Code.DEADLINE_EXCEEDED,
    errors.DataLoss: Code.DATA_LOSS,
    errors.Internal: Code.INTERNAL,
}
_BY_NUMBER: Final = {code.value[0]: code for code in Code}
_CLASSES: Final = {code: kind for kind, code in CODES.items()}

# What a status without our details means: it comes from gRPC itself, a proxy, or a foreign server.
_BARE: Final[Mapping[grpc.StatusCode, tuple[type[DomainError], str]]] = {
    Code.UNAVAILABLE: (errors.Unavailable, "PEER_UNAVAILABLE"),
    Code.DEADLINE_EXCEEDED: (errors.DeadlineExceeded, "DEADLINE_EXCEEDED"),
    # A local cancellation is a CancelledError, never a status: this one is the peer (or a proxy) giving up.
    Code.CANCELLED: (errors.Unavailable, "CALL_CANCELLED"),
    Code.RESOURCE_EXHAUSTED: (errors.ResourceExhausted, "PEER_OVERLOADED"),
    Code.UNIMPLEMENTED: (errors.FailedPrecondition, "METHOD_UNKNOWN"),
    Code.ABORTED: (errors.Aborted, "ABORTED"),
    Code.DATA_LOSS: (errors.DataLoss, "DATA_LOST"),
    Code.INTERNAL: (errors.Internal, "PEER_FAILED"),
    Code.UNKNOWN: (errors.Internal, "PEER_FAILED"),
    Code.OUT_OF_RANGE: (errors.InvalidArgument, "CALL_REFUSED"),
}
# A peer that only went away during the handshake is unavailable like any other; these texts are refusals.
_TLS: Final = re.compile(
    r"certificate|verification check|SSL_ERROR_SSL|TSI_PROTOCOL|peer name", re.IGNORECASE
)
_TOO_LARGE: Final = re.compile(r"message larger than max|message size .* exceeds", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Abort:
    """The arguments of `context.abort`."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def code_of(error: DomainError) -> grpc.StatusCode:
    """The canonical code of an error's class, or of the nearest class above it."""
    for kind in type(error).__mro__:
        if kind in CODES:
            return CODES[kind]
    return Code.INTERNAL


def to_abort(error: DomainError) -> Abort:
    """What a server says to end a call with this error."""
    status = to_status(error)
    return Abort(code_of(error), status.message, ((TRAILER, status.SerializeToString()),))


def to_status(error: DomainError) -> status_pb2.Status:
    """The error as a status, also for the items of a batch answer; cut where it would not fit a trailer."""
    status = _status(error, text=1024, items=64)
    for text, items in ((512, 32), (192, 12), (64, 6), (32, 2)):
        if _trailer_size(status) <= TRAILER_LIMIT:
            break
        status = _status(error, text=text, items=items)
    return status


def _status(error: DomainError, text: int, items: int) -> status_pb2.Status:
    cut = _Cut(text)
    metadata = {cut(key, 64): cut(value) for key, value in list(error.metadata.items())[:items]}
    violations = [
        error_details_pb2.BadRequest.FieldViolation(field=cut(v.field, 128), description=cut(v.description))
        for v in error.violations[:items]
    ]
    message = cut(error.message)
    if cut.happened or len(error.metadata) > items or len(error.violations) > items:
        # A reader must know that this is not the whole story; our log has it.
        metadata["truncated"] = "true"
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=metadata)
    ]
    if violations:
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(max(0, round(error.retry_after * 1e9)))
        details.append(retry)
    if advice := ADVICE.get(error.reason):
        details.append(error_details_pb2.LocalizedMessage(locale="vi", message=advice.vi))
        details.append(error_details_pb2.LocalizedMessage(locale="en", message=advice.en))
    return status_pb2.Status(code=code_of(error).value[0], message=message, details=map(_packed, details))


class _Cut:
    """Shortens texts, and remembers whether it had to."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.happened = False

    def __call__(self, text: str, limit: int | None = None) -> str:
        limit = min(self.limit, limit or self.limit)
        if len(text) <= limit:
            return text
        self.happened = True
        return text[: limit - 1] + "…"


def _packed(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def _trailer_size(status: status_pb2.Status) -> int:
    # The text is sent percent-encoded (grpc-message), the status again in base64.
    return _RESERVE + len(quote(status.message)) + (int(status.ByteSize()) + 2) // 3 * 4


def from_rpc_error(error: grpc.aio.AioRpcError) -> DomainError:
    """The domain error that the server raised, or what gRPC's own failure means to us."""
    trailers: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == TRAILER and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:
                break
            # The code of the call counts: a status that says otherwise was tampered with or is a defect.
            if status.code == error.code().value[0]:
                return from_status(status)
            break
    return _bare(error.code(), error.details() or "")


def from_status(status: status_pb2.Status) -> DomainError:
    """The domain error in a status (of a call, or of one item of a batch answer)."""
    code = _BY_NUMBER.get(status.code, Code.UNKNOWN)
    info = error_details_pb2.ErrorInfo()
    bad = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for message in (info, bad, retry):
            if detail.Is(message.DESCRIPTOR):
                try:
                    detail.Unpack(message)
                except DecodeError:
                    return _bare(code, status.message)
    if info.domain != DOMAIN or code not in _CLASSES:
        return _bare(code, status.message)
    try:
        error = _CLASSES[code](
            info.reason,
            status.message,
            retry_after=retry.retry_delay.ToNanoseconds() / 1e9 if retry.HasField("retry_delay") else None,
            violations=[FieldViolation(v.field, v.description) for v in bad.field_violations],
        )
    except ValueError:  # not a reason: the peer is no better than a foreign server
        return _bare(code, status.message)
    error.metadata.update(info.metadata)
    return error


def _bare(code: grpc.StatusCode, details: str) -> DomainError:
    if code is Code.OK:
        return errors.Internal("STATUS_UNKNOWN", "an error with status ok")
    if code is Code.UNAVAILABLE and _TLS.search(details):
        return errors.Unavailable("TLS_REFUSED", "the secure connection was refused", details=details)
    if code is Code.RESOURCE_EXHAUSTED and _TOO_LARGE.search(details):
        # gRPC has no code of its own for it, and this one would be repeated for ever.
        return errors.InvalidArgument("MESSAGE_TOO_LARGE", "the message is too large", details=details)
    kind, reason = _BARE.get(code, (_CLASSES.get(code, errors.Internal), "CALL_REFUSED"))
    return kind(reason, f"the call ended with {code.name.lower()}", details=details)


def code_name(error: BaseException | None) -> str:
    """The canonical code that ended a call, for logs and spans."""
    if error is None:
        return Code.OK.name
    if not isinstance(error, Exception):  # CancelledError, or the closing of an abandoned stream
        return Code.CANCELLED.name
    return code_of(error).name if isinstance(error, DomainError) else Code.INTERNAL.name
