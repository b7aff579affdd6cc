"""Files above the size at which their format can be parsed: their signatures lie beside them.

They travel in the document's metadata, so in the signed envelope. Signing never sees such a file: what it
signs and judges is the digest that storage computed from the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lienthong.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from lienthong.signing.v1 import signing_pb2
from lienthong.types.v1 import document_pb2

from services.routing.domain import (
    MAX_DETACHED_BYTES,
    MAX_DETACHED_IN_DOCUMENT,
    MAX_DETACHED_SIGNATURES,
    Attachment,
    Document,
)

if TYPE_CHECKING:
    from lienthong.signing.v1.signing_pb2_grpc import SigningServiceAsyncStub, ValidationServiceAsyncStub

_SECONDS: Final = 60.0
# The timestamp authority of the state answers in 2 to 131 s (measured elsewhere: domain.md 8.2).
_STAMP_SECONDS: Final = 900.0
# What a seal inside may add to a file: its appearance, its font, and the space that its signature reserves.
_SEAL_BYTES: Final = 1024 * 1024
# From good to bad. What nothing vouches for is no fault where the other signatures hold.
_WORSE: Final = (
    document_pb2.VERDICT_UNSIGNED,
    document_pb2.VERDICT_VALID,
    document_pb2.VERDICT_PARTIAL,
    document_pb2.VERDICT_UNSPECIFIED,
    document_pb2.VERDICT_INVALID,
)


class DetachedFiles:
    """Which files these are at this node, and their signatures."""

    def __init__(
        self,
        signing: SigningServiceAsyncStub,
        validation: ValidationServiceAsyncStub,
        max_parse_bytes: int,
    ) -> None:
        self._signing = signing
        self._validation = validation
        self.max_parse_bytes = max_parse_bytes
        # Sealed inside, a file just below the limit would grow above what anybody looks into.
        self._max_sealed_bytes = max_parse_bytes - min(_SEAL_BYTES, max_parse_bytes // 4)

    def has(self, attachment: Attachment) -> bool:
        """Whether the file is larger than what this node looks into."""
        return attachment.size_bytes > self.max_parse_bytes

    def is_sealed_beside(self, attachment: Attachment) -> bool:
        """Whether the agency's signature goes beside the file when it is issued here."""
        return attachment.size_bytes > self._max_sealed_bytes

    def is_beside(self, attachment: Attachment, kind: str) -> bool:
        """Whether signatures lie beside a file that is submitted this way."""
        return self.is_sealed_beside(attachment) if kind == "issue_here" else self.has(attachment)

    async def sign(self, attachment: Attachment, header: signing_pb2.SignDocumentHeader) -> bytes:
        """The agency's signature over the digest, without a timestamp yet."""
        request = signing_pb2.SignDigestRequest(header=header, sha256=attachment.sha256)
        return (await self._signing.SignDigest(request, timeout=_SECONDS)).signature

    async def stamp(self, signature: bytes) -> bytes:
        """The signature with its timestamp; one that has it stays as it is."""
        request = signing_pb2.ExtendDetachedSignatureRequest(signature=signature)
        return (await self._signing.ExtendDetachedSignature(request, timeout=_STAMP_SECONDS)).signature

    async def validate(self, attachment: Attachment) -> signing_pb2.ValidateDocumentResponse:
        """The judgement on the signatures beside a file."""
        request = signing_pb2.ValidateDigestRequest(
            sha256=attachment.sha256, signatures=attachment.detached_signatures
        )
        return (await self._validation.ValidateDigest(request, timeout=_SECONDS)).report

    def check(self, document: Document, kind: str) -> None:
        """Each file has what its size asks for; sizes are those that storage knows."""
        for place, attachment in enumerate(document.attachments):
            field = f"document.attachments[{place}]"
            if not self.is_beside(attachment, kind):
                _refuse_beside(attachment, field, self.max_parse_bytes)
            elif kind == "issue_here":
                _check_sealable(attachment, field, self._max_sealed_bytes)
            elif not attachment.detached_signatures:
                raise FailedPrecondition(
                    "DETACHED_SIGNATURE_MISSING",
                    "a file this large is signed beside it, and no such signature came",
                    field=f"{field}.detached_signatures",
                    size_bytes=attachment.size_bytes,
                    limit=self.max_parse_bytes,
                )
        if kind == "issue_here":
            self._check_room(document)

    def _check_room(self, document: Document) -> None:
        """The agency's signatures that are to come must find room in the envelope."""
        to_come = [attachment for attachment in document.attachments if self.is_sealed_beside(attachment)]
        present = sum(len(s) for a in document.attachments for s in a.detached_signatures)
        if present + MAX_DETACHED_BYTES * len(to_come) > MAX_DETACHED_IN_DOCUMENT:
            raise InvalidArgument(
                "TOO_MANY_ITEMS",
                "too many files that are signed beside them: the envelope has no room for all signatures",
                field="document.attachments",
                count=len(to_come),
            )


def both(
    inside: signing_pb2.ValidateDocumentResponse, beside: signing_pb2.ValidateDocumentResponse
) -> signing_pb2.ValidateDocumentResponse:
    """The judgement on a file with signatures inside it and beside it: the worse of the two."""
    worse, other = sorted((inside, beside), key=lambda report: -_WORSE.index(report.verdict))
    report = signing_pb2.ValidateDocumentResponse()
    report.CopyFrom(worse)  # a judgement is shared: it is not to be changed
    report.signatures.extend(other.signatures)
    report.reasons.extend(reason for reason in other.reasons if reason not in worse.reasons)
    return report


def _refuse_beside(attachment: Attachment, field: str, limit: int) -> None:
    if attachment.detached_signatures:
        raise InvalidArgument(
            "DETACHED_SIGNATURE_UNEXPECTED",
            "a file of this size is signed inside",
            field=f"{field}.detached_signatures",
            size_bytes=attachment.size_bytes,
            limit=limit,
        )


def _check_sealable(attachment: Attachment, field: str, limit: int) -> None:
    """MAIN would have to be filled and sealed inside; beside the others there must be place for a seal."""
    if attachment.role == document_pb2.ATTACHMENT_ROLE_MAIN:
        raise ResourceExhausted(
            "ATTACHMENT_TOO_LARGE",
            "number and date cannot be filled into a MAIN file this large: issue it with your own software",
            field=field,
            limit=limit,
            size_bytes=attachment.size_bytes,
        )
    if len(attachment.detached_signatures) >= MAX_DETACHED_SIGNATURES:
        raise InvalidArgument(
            "DETACHED_SIGNATURE_INVALID",
            f"at most {MAX_DETACHED_SIGNATURES} signatures lie beside a file, the agency's among them",
            field=f"{field}.detached_signatures",
        )
