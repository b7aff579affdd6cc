"""DomainError and its way through google.rpc.Status, for every class there is."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from lienthong import errors
from lienthong.advice import ADVICE, Advice, merge
from lienthong.errors import DomainError, FieldViolation
from lienthong.rpc.errors import (
    CODES,
    TRAILER,
    TRAILER_LIMIT,
    code_of,
    from_rpc_error,
    from_status,
    to_abort,
    to_status,
)


def walk(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    for sub in kind.__subclasses__():
        yield sub
        yield from walk(sub)


LIBRARY = [kind for kind in walk(DomainError) if kind.__module__ == "lienthong.errors"]


@pytest.mark.parametrize("kind", LIBRARY, ids=lambda kind: kind.__name__)
def test_every_class_comes_back_as_itself(kind: type[DomainError]) -> None:
    sent = kind(
        "REQUEST_ID_REUSED",
        "số 15 đã dùng",
        field="request_id",
        retry_after=1.25,
        violations=[FieldViolation("a.b", "too long")],
        request_id=15,
    )
    got = from_status(status_pb2.Status.FromString(to_status(sent).SerializeToString()))
    assert type(got) is kind
    assert (got.reason, got.message, got.metadata) == (sent.reason, sent.message, {"request_id": "15"})
    assert got.violations == (
        FieldViolation("request_id", "số 15 đã dùng"),
        FieldViolation("a.b", "too long"),
    )
    assert got.retry_after == 1.25


def test_the_table_has_every_class_and_no_code_twice() -> None:
    assert set(CODES) == set(LIBRARY)
    assert len(set(CODES.values())) == len(CODES)


def test_a_service_s_own_subclass_has_the_code_of_its_parent() -> None:
    class NumberTaken(errors.AlreadyExists):
        pass

    assert code_of(NumberTaken("NUMBER_TAKEN")) is grpc.StatusCode.ALREADY_EXISTS


def test_advice_travels_in_both_languages() -> None:
    messages = {}
    for detail in to_status(errors.Unavailable("PEER_UNAVAILABLE")).details:
        text = error_details_pb2.LocalizedMessage()
        if detail.Unpack(text):
            messages[text.locale] = text.message
    assert messages == {"vi": ADVICE["PEER_UNAVAILABLE"].vi, "en": ADVICE["PEER_UNAVAILABLE"].en}


@pytest.mark.parametrize("letter", ["x", "ộ", "\n"])
def test_a_huge_error_fits_the_trailer_and_says_that_it_was_cut(letter: str) -> None:
    error = errors.InvalidArgument(
        "PEER_UNAVAILABLE",
        letter * 9000,
        violations=[FieldViolation(f"f{n}" * 50, letter * 900) for n in range(200)],
        **{f"key{n}": letter * 3000 for n in range(100)},  # type: ignore[arg-type]
    )
    abort = to_abort(error)
    value = abort.trailing_metadata[0][1]
    assert isinstance(value, bytes)
    on_wire = len(value) * 4 // 3 + sum(len(c.encode()) * (1 if c == "x" else 3) for c in abort.details)
    assert on_wire < TRAILER_LIMIT
    got = from_status(status_pb2.Status.FromString(value))
    assert got.metadata["truncated"] == "true"
    assert got.reason == "PEER_UNAVAILABLE"
    assert got.violations


def test_a_small_error_is_not_cut() -> None:
    error = errors.NotFound("ID_MALFORMED", "m" * 300, **{f"k{n}": "v" * 30 for n in range(10)})  # type: ignore[arg-type]
    got = from_status(to_status(error))
    assert got.metadata == error.metadata
    assert got.message == error.message


def bare(code: grpc.StatusCode, details: str = "", trailer: bytes | None = None) -> DomainError:
    trailers = grpc.aio.Metadata() if trailer is None else grpc.aio.Metadata((TRAILER, trailer))
    return from_rpc_error(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details))


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_code_without_details_means_something_with_advice(code: grpc.StatusCode) -> None:
    error = bare(code, "connection refused")
    assert error.reason in ADVICE
    if code in CODES.values():
        assert code_of(error) is code
    assert "connection refused" in error.metadata["details"]


@pytest.mark.parametrize(
    ("code", "details", "kind", "reason"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses", errors.Unavailable, "PEER_UNAVAILABLE"),
        ("UNAVAILABLE", "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", errors.Unavailable, "TLS_REFUSED"),
        ("DEADLINE_EXCEEDED", "", errors.DeadlineExceeded, "DEADLINE_EXCEEDED"),
        ("CANCELLED", "", errors.Unavailable, "CALL_CANCELLED"),
        ("RESOURCE_EXHAUSTED", "message larger than max", errors.InvalidArgument, "MESSAGE_TOO_LARGE"),
        ("UNIMPLEMENTED", "Method not found!", errors.FailedPrecondition, "METHOD_UNKNOWN"),
    ],
)  # fmt: skip
def test_statuses_of_grpc_itself(code: str, details: str, kind: type[DomainError], reason: str) -> None:
    error = bare(grpc.StatusCode[code], details)
    assert (type(error), error.reason) == (kind, reason)


def test_hostile_details_are_no_better_than_none() -> None:
    lying = to_status(errors.NotFound("ID_MALFORMED")).SerializeToString()
    bad_reason = status_pb2.Status(code=5)
    detail = bad_reason.details.add()
    detail.Pack(error_details_pb2.ErrorInfo(reason="not a reason", domain="lienthong"))
    foreign = status_pb2.Status(code=5)
    foreign.details.add().Pack(error_details_pb2.ErrorInfo(reason="ID_MALFORMED", domain="example.com"))
    assert bare(grpc.StatusCode.PERMISSION_DENIED, trailer=lying).reason == "CALL_REFUSED"
    assert bare(grpc.StatusCode.NOT_FOUND, trailer=b"\xff\xff\xff").reason == "CALL_REFUSED"
    assert bare(grpc.StatusCode.NOT_FOUND, trailer=bad_reason.SerializeToString()).reason == "CALL_REFUSED"
    assert bare(grpc.StatusCode.NOT_FOUND, trailer=foreign.SerializeToString()).reason == "CALL_REFUSED"


@pytest.mark.parametrize("reason", ["", "lower", "A" * 64, "SPACE HERE", "1ST", "TRAILING_"])
def test_reasons_are_upper_snake(reason: str) -> None:
    with pytest.raises(ValueError, match="UPPER_SNAKE"):
        DomainError(reason)


def test_advice_refuses_doubles_and_gaps() -> None:
    with pytest.raises(ValueError, match="twice"):
        merge({"A_B": Advice("a", "b")}, {"A_B": Advice("c", "d")})
    assert all(advice.vi.strip() and advice.en.strip() for advice in ADVICE.values())
    assert all(DomainError(reason).reason == reason for reason in ADVICE)
