"""What a document must be like by itself: metadata, attachments, recipients, notation, priority."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lienthong.errors import DomainError, FailedPrecondition, InvalidArgument
from lienthong.types.v1 import document_pb2 as pb

from services.routing import domain

MAIN, ANNEX = pb.ATTACHMENT_ROLE_MAIN, pb.ATTACHMENT_ROLE_ANNEX
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def attachment(**changes: Any) -> pb.Attachment:
    facts = {"name": "a.pdf", "role": MAIN, "media_type": domain.PDF, "sha256": bytes(32), **changes}
    return pb.Attachment(**facts)


def document(**changes: Any) -> pb.Document:
    facts = {"subject": "Trích yếu MẪU", "attachments": [attachment()], **changes}
    return pb.Document(**facts)


def refusal_of(wrong: pb.Document) -> DomainError:
    with pytest.raises(DomainError) as refusal:
        domain.check_document(wrong)
    return refusal.value


@pytest.mark.parametrize(
    "good",
    [
        document(),
        document(secrecy=pb.SECRECY_NONE),
        document(subject="Ẩ" * 500),
        document(attachments=[attachment(), attachment(role=ANNEX, media_type=DOCX)]),
        document(attachments=[attachment(role=ANNEX, media_type=DOCX), attachment()]),
        document(signer_name="ễ" * 50, signer_position="ễ" * 100, type_name="ễ" * 100),
    ],
)
def test_good_documents(good: pb.Document) -> None:
    domain.check_document(good)


@pytest.mark.parametrize(
    ("wrong", "reason", "field"),
    [
        (document(subject=""), "SUBJECT_MISSING", "document.subject"),
        (document(subject="  "), "SUBJECT_MISSING", "document.subject"),
        (document(subject="Ẩ" * 501), "SUBJECT_TOO_LONG", "document.subject"),
        (document(type_name="x" * 101), "FIELD_TOO_LONG", "document.type_name"),
        (document(signer_name="x" * 51), "FIELD_TOO_LONG", "document.signer_name"),
        (document(signer_position="x" * 101), "FIELD_TOO_LONG", "document.signer_position"),
        (document(answers=[pb.AnsweredDocument()] * 101), "TOO_MANY_ITEMS", "document.answers"),
        (document(attachments=[]), "MAIN_ATTACHMENT_MISSING", "document.attachments"),
        (document(attachments=[attachment(role=ANNEX)]), "MAIN_ATTACHMENT_MISSING", "document.attachments"),
        (document(attachments=[attachment()] * 2), "MAIN_ATTACHMENT_DOUBLE", "document.attachments"),
        (
            document(attachments=[attachment(), *[attachment(role=ANNEX)] * 100]),
            "TOO_MANY_ITEMS",
            "document.attachments",
        ),
        (
            document(attachments=[attachment(), attachment(role=pb.ATTACHMENT_ROLE_UNSPECIFIED)]),
            "ATTACHMENT_ROLE_MISSING",
            "document.attachments[1].role",
        ),
        (
            document(attachments=[attachment(name="../x.pdf")]),
            "ATTACHMENT_NAME_INVALID",
            "document.attachments[0].name",
        ),
        (
            document(attachments=[attachment(name="")]),
            "ATTACHMENT_NAME_INVALID",
            "document.attachments[0].name",
        ),
        (
            document(attachments=[attachment(sha256=b"short")]),
            "DIGEST_INVALID",
            "document.attachments[0].sha256",
        ),
        (
            document(attachments=[attachment(media_type=DOCX)]),
            "ATTACHMENT_FORMAT",
            "document.attachments[0].media_type",
        ),
        (
            document(attachments=[attachment(), attachment(role=ANNEX, media_type="image/png")]),
            "ATTACHMENT_FORMAT",
            "document.attachments[1].media_type",
        ),
    ],
)
def test_bad_documents(wrong: pb.Document, reason: str, field: str) -> None:
    refusal = refusal_of(wrong)
    assert isinstance(refusal, InvalidArgument)
    assert (refusal.reason, refusal.violations[0].field) == (reason, field)


@pytest.mark.parametrize("secrecy", [pb.SECRECY_CONFIDENTIAL, pb.SECRECY_SECRET, pb.SECRECY_TOP_SECRET, 9])
def test_secret_in_any_grade_even_one_to_come_is_refused(secrecy: Any) -> None:
    refusal = refusal_of(document(secrecy=secrecy))
    assert isinstance(refusal, FailedPrecondition)
    assert refusal.reason == "SECRET_REFUSED"


@given(st.lists(st.sampled_from(["H01", "H02", "G09", "A"]), max_size=6))
def test_recipients_at_least_one_none_twice(codes: list[str]) -> None:
    if codes and len(set(codes)) == len(codes):
        domain.check_recipients(codes)
        return
    with pytest.raises(InvalidArgument) as refusal:
        domain.check_recipients(codes)
    assert refusal.value.reason == ("RECIPIENT_DUPLICATE" if codes else "RECIPIENTS_MISSING")
    if codes:
        assert codes.count(refusal.value.metadata["code"]) > 1


def test_ten_thousand_recipients_and_no_more() -> None:
    codes = [f"H{number}" for number in range(10_001)]
    domain.check_recipients(codes[1:])
    with pytest.raises(InvalidArgument) as refusal:
        domain.check_recipients(codes)
    assert refusal.value.reason == "TOO_MANY_RECIPIENTS"


def test_urgent_goes_first_and_unset_is_ordinary() -> None:
    assert domain.priority(pb.URGENCY_UNSPECIFIED) == domain.priority(pb.URGENCY_ORDINARY)
    ordered = [pb.URGENCY_ORDINARY, pb.URGENCY_URGENT, pb.URGENCY_VERY_URGENT, pb.URGENCY_FLASH]
    assert sorted(ordered, key=domain.priority) == ordered


def test_each_bad_recipient_is_named_by_its_place() -> None:
    found = domain.recipient_violations({2: ("H09", "CLOSED"), 0: ("X", "UNKNOWN")})
    assert [(v.field, v.description) for v in found] == [
        ("recipients[0]", "X: UNKNOWN"),
        ("recipients[2]", "H09: CLOSED"),
    ]
