"""Signatures beside files: how many and how large; and what of a document rides in the batch of a link."""

from __future__ import annotations

import pytest
from lienthong.errors import InvalidArgument
from lienthong.signing.v1 import signing_pb2
from lienthong.types.v1 import document_pb2 as pb

from services.routing import domain
from services.routing.custody import MAX_BYTES
from services.routing.detached import both
from services.routing.dispatch import large, small

KIB = 1024


def document(*attachments: pb.Attachment) -> pb.Document:
    main = attachment(role=pb.ATTACHMENT_ROLE_MAIN)
    return pb.Document(subject="Trích yếu MẪU", attachments=[main, *attachments])


def attachment(
    *signatures: bytes,
    size: int = 0,
    role: pb.AttachmentRole.ValueType = pb.ATTACHMENT_ROLE_ANNEX,
) -> pb.Attachment:
    return pb.Attachment(
        name="a.pdf",
        role=role,
        media_type=domain.PDF,
        sha256=bytes(32),
        size_bytes=size,
        detached_signatures=signatures,
    )


def test_as_many_as_are_allowed() -> None:
    full = attachment(*[bytes(32 * KIB)] * 4)
    domain.check_document(document(full, full))


@pytest.mark.parametrize(
    ("attachments", "field"),
    [
        ([attachment(*[b"x"] * 5)], "document.attachments[1].detached_signatures"),
        ([attachment(b"")], "document.attachments[1].detached_signatures"),
        ([attachment(bytes(32 * KIB + 1))], "document.attachments[1].detached_signatures"),
        ([attachment(*[bytes(32 * KIB)] * 4)] * 2 + [attachment(b"x")], "document.attachments"),
    ],
)
def test_too_many_or_too_large(attachments: list[pb.Attachment], field: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        domain.check_document(document(*attachments))
    assert refusal.value.reason == "DETACHED_SIGNATURE_INVALID"
    assert [violation.field for violation in refusal.value.violations] == [field]


def test_small_files_ride_as_long_as_there_is_room() -> None:
    sizes = [60 * KIB, 64 * KIB + 1, 64 * KIB, 64 * KIB, 30 * KIB, 4 * KIB, 0]
    found = document(*(attachment(size=size) for size in sizes))
    riding = [a.size_bytes // KIB for a in small(found)]
    assert riding == [0, 60, 64, 64, 4, 0], "in their order; what does not fit lets the next one try"
    assert [a.size_bytes for a in large(found)] == [64 * KIB + 1, 30 * KIB]
    assert len(small(found)) + len(large(found)) == len(found.attachments)


def test_a_document_of_a_hundred_files_fits_an_offer() -> None:
    """Without a limit on all together a document of 13 small files would be offered in vain for ever."""
    annexes = [attachment(size=64 * KIB) for _ in range(99)]
    annexes[0].detached_signatures.extend([bytes(32 * KIB)] * 4)
    annexes[1].detached_signatures.extend([bytes(32 * KIB)] * 4)
    for number, annex in enumerate(annexes):
        annex.name = f"{number:02d}-phu-luc.pdf" + "x" * 200
    found = document(*annexes)
    domain.check_document(found)
    assert found.ByteSize() + sum(a.size_bytes for a in small(found)) < MAX_BYTES


VALID, PARTIAL, INVALID, UNSIGNED = (
    pb.VERDICT_VALID,
    pb.VERDICT_PARTIAL,
    pb.VERDICT_INVALID,
    pb.VERDICT_UNSIGNED,
)


@pytest.mark.parametrize(
    ("inside", "beside", "verdict"),
    [
        (UNSIGNED, VALID, VALID),
        (VALID, VALID, VALID),
        (INVALID, VALID, INVALID),
        (VALID, INVALID, INVALID),
        (PARTIAL, VALID, PARTIAL),
        (UNSIGNED, PARTIAL, PARTIAL),
        (PARTIAL, INVALID, INVALID),
        (pb.VERDICT_UNSPECIFIED, VALID, pb.VERDICT_UNSPECIFIED),
    ],
)
def test_of_two_judgements_the_worse_is_told_with_all_signatures(
    inside: pb.Verdict.ValueType, beside: pb.Verdict.ValueType, verdict: pb.Verdict.ValueType
) -> None:
    reports = [_report("inside", inside), _report("beside", beside)]
    found = both(*reports)
    assert found.verdict == verdict
    assert {signature.signer_name for signature in found.signatures} == {"inside", "beside"}
    assert sorted(found.reasons) == ["ALIKE", "OF_BESIDE", "OF_INSIDE"]
    assert reports == [_report("inside", inside), _report("beside", beside)], "they are shared"


def _report(name: str, verdict: pb.Verdict.ValueType) -> signing_pb2.ValidateDocumentResponse:
    signature = signing_pb2.SignatureReport(signer_name=name)
    reasons = ["ALIKE", f"OF_{name.upper()}"]
    return signing_pb2.ValidateDocumentResponse(verdict=verdict, reasons=reasons, signatures=[signature])
