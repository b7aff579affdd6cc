"""The contract keeps its own rules: who may call, how to repeat, what each refusal means."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from lienthong.advice import ADVICE
from lienthong.types.v1 import access_pb2

PROTOS = Path(__file__).parents[2] / "protos"
FILES = sorted((PROTOS / "lienthong").glob("*/v1/*.proto"))

READS = re.compile(r"Get|List|Watch|Check|Resolve|Export|Stat|Download|Validate|Verify|Fetch|Ping")
# Mutations without an id of their own, and why a repeat is harmless.
REPEATABLE = {
    "Upload": "named by its digest",
    "PlaceHolds": "by digest and holder",
    "ReleaseHolds": "by holder",
    "Replicate": "what is there is not moved",
    "PullBlobs": "read only",
    "PushBlobs": "what is there is not moved",
    "Exchange": "by sending node and transfer",
    "PrepareDocument": "stores nothing",
    "SignDocument": "who persists the output first wins",
    "ExtendSignature": "a stamped document comes back unchanged",
    "SignDigest": "stores nothing but its audit row",
    "ExtendDetachedSignature": "a stamped signature comes back unchanged",
    "SignEnvelopes": "stores nothing",
    "CreateTimestamp": "a new token each time",
}


def methods() -> Iterator[MethodDescriptor]:
    for file in FILES:
        package = ".".join(file.relative_to(PROTOS).with_suffix("").parts)
        for service in importlib.import_module(f"{package}_pb2").DESCRIPTOR.services_by_name.values():
            yield from service.methods


METHODS = list(methods())


def test_there_are_methods() -> None:
    assert len(METHODS) > 40


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_every_method_says_who_may_call(method: MethodDescriptor) -> None:
    access = method.GetOptions().Extensions[access_pb2.access]
    assert access.roles, "without roles it is closed to everybody"
    assert access_pb2.ROLE_UNSPECIFIED not in access.roles
    if access.services:
        assert access_pb2.ROLE_NODE_SERVICE in access.roles, "services narrow node services only"


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_every_mutation_can_be_repeated(method: MethodDescriptor) -> None:
    if READS.match(method.name) or method.name in REPEATABLE:
        return
    assert _has_request_id(method.input_type), f"{method.full_name} needs a request_id"


def test_the_exceptions_are_still_methods() -> None:
    assert set(REPEATABLE) <= {method.name for method in METHODS}


@pytest.mark.parametrize("method", [m for m in METHODS if m.name.startswith("Watch")], ids=lambda m: m.name)
def test_every_watch_has_a_list_twin_with_the_same_cursor(method: MethodDescriptor) -> None:
    twin = method.containing_service.methods_by_name["List" + method.name.removeprefix("Watch")]
    for request in (method.input_type, twin.input_type):
        assert "cursor" in request.fields_by_name
    assert "next_cursor" in twin.output_type.fields_by_name


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_every_refusal_in_the_contract_has_advice(file: Path) -> None:
    """A reason that a comment promises tells a clerk, in both languages, what to do next."""
    unknown = {reason for reason in reasons_of(file) if reason not in ADVICE and not _is_word(reason)}
    assert unknown == set()


def test_the_comments_name_their_refusals() -> None:
    assert len(set().union(*map(reasons_of, FILES)) & set(ADVICE)) > 80


def reasons_of(file: Path) -> set[str]:
    """What the comments of a file's methods write in capitals, but for the canonical codes."""
    found: set[str] = set()
    for comment in re.findall(r"((?:^ +//.*\n)+) +rpc ", file.read_text(encoding="utf-8"), re.MULTILINE):
        found |= set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", comment))
    return found - _CODES


# Canonical codes of gRPC, which come before the reasons.
_CODES = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "FAILED_PRECONDITION",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "DATA_LOSS",
    "OUT_OF_RANGE",
    "UNAVAILABLE",
}


def _is_word(name: str) -> bool:
    """Values of enumerations that comments mention."""
    return any(
        f"{name} = " in file.read_text(encoding="utf-8") or f"_{name} = " in file.read_text(encoding="utf-8")
        for file in FILES
    )


def _has_request_id(message: Descriptor, depth: int = 2) -> bool:
    if "request_id" in message.fields_by_name:
        return True
    nested = (field.message_type for field in message.fields if field.message_type is not None)
    return depth > 0 and any(_has_request_id(item, depth - 1) for item in nested)
