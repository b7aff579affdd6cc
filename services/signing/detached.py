"""Signatures that lie beside a file: CMS SignedData without content (RFC 5652), CAdES baseline (ETSI).

For files above the size at which their format can be parsed. Only the file's digest comes here, so whoever
asks answers for the bytes. A signature is made B-B; the token that makes it B-T is an unsigned attribute, so
it can follow when the timestamp authority answers, and nothing that was signed changes.
"""

# mypy: allow-untyped-calls

import asyncio
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from asn1crypto import cms, core
from lienthong.clock import Clock
from lienthong.errors import FailedPrecondition, InvalidArgument
from lienthong.pki.trust import TrustStore
from pyhanko.sign.general import as_signing_certificate_v2, simple_cms_attribute

from services.signing.detached_verdict import CONTENT_HINTS, ContentHints, DetachedJudge, signed_data
from services.signing.domain import IssueMark, Timestamper, ValidationReport, issue_statement
from services.signing.keys import HeldKey
from services.signing.pdf.signer import DocumentSigner
from services.signing.timestamp_token import verify_token
from services.signing.workers import Workers

MAX_SIGNATURES: Final = 4
MAX_SIGNATURE_BYTES: Final = 32 * 1024
_ALGORITHM: Final = "sha256"
_TOKEN: Final = "signature_time_stamp_token"  # noqa: S105  (the name of an attribute)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a signature says besides the digest: the media type, and for an annex what it belongs to."""

    media_type: str
    mark: IssueMark | None = None


class DetachedSignatures:
    """Signs, stamps and judges. CPU work runs on the workers, waiting for a timestamp does not."""

    def __init__(
        self,
        trust: TrustStore,
        clock: Clock,
        workers: Workers,
        timestamp_trust: TrustStore,
        timestamper: Timestamper,
    ) -> None:
        self._clock, self._workers = clock, workers
        self._timestamp_trust, self._timestamper = timestamp_trust, timestamper
        self._judge = DetachedJudge(trust, timestamp_trust, clock)

    async def sign(self, sha256: bytes, statement: Statement, held: HeldKey) -> bytes:
        """A signature over the digest, B-B."""
        assert held.signer is not None, "the ring gives document keys with their signers"
        moment = self._clock.now()
        return _bounded(await self._workers.run(make_signature, held.signer, sha256, statement, moment))

    async def extend(self, signature: bytes) -> bytes:
        """The signature with its token (B-T); one that has a token comes back to the byte."""
        digest = await self._workers.run(digest_to_stamp, signature)
        if digest is None:
            return signature
        token = await self._timestamper.timestamp(digest, _ALGORITHM)
        return _bounded(await self._workers.run(with_token, signature, digest, token, self._timestamp_trust))

    async def validate(self, sha256: bytes, signatures: list[bytes]) -> ValidationReport:
        """The verdict on all; whatever the bytes are, there is one."""
        return await self._workers.run(self._judge.validate, sha256, signatures, MAX_SIGNATURE_BYTES)


def make_signature(signer: DocumentSigner, sha256: bytes, statement: Statement, moment: datetime) -> bytes:
    """The DER of a signature (B-B). For a thread without an event loop: pyHanko's signers are async."""
    attributes = [
        simple_cms_attribute("content_type", "data"),
        simple_cms_attribute("message_digest", sha256),
        simple_cms_attribute("signing_time", _time(moment)),
        simple_cms_attribute("signing_certificate_v2", as_signing_certificate_v2(signer.signing_cert)),
        # Nothing else tells what the bytes are: a detached signature has no content to look at.
        simple_cms_attribute("mime_type", statement.media_type),
    ]
    if statement.mark is not None:
        hints = {"content_description": issue_statement(statement.mark), "content_type": "data"}
        attributes.append(simple_cms_attribute(CONTENT_HINTS, ContentHints(hints)))
    made = signer.async_sign_prescribed_attributes(_ALGORITHM, cms.CMSAttributes(attributes))
    return bytes(asyncio.run(made).dump())


def digest_to_stamp(signature: bytes) -> bytes | None:
    """What a token has to cover, or None where there is one. InvalidArgument("DETACHED_SIGNATURE_BROKEN")."""
    _, signer = _opened(signature)
    try:
        if any(attribute["type"].native == _TOKEN for attribute in signer["unsigned_attrs"] or ()):
            return None
        return hashlib.new(_ALGORITHM, signer["signature"].native).digest()
    except Exception as error:  # asn1crypto parses lazily: hostile DER surfaces as almost any exception
        raise _broken("the signature cannot be read") from error


def with_token(signature: bytes, digest: bytes, token: bytes, trust: TrustStore) -> bytes:
    """The signature with one more unsigned attribute; everything signed is carried over byte by byte."""
    verify_token(token, digest, trust)
    content, signer = _opened(signature)
    # Nothing else may be looked into before this: asn1crypto's encoding of parsed parts takes up to a minute.
    attributes = list(signer["unsigned_attrs"] or ())
    attributes.append(cms.CMSAttribute({"type": _TOKEN, "values": [cms.ContentInfo.load(token)]}))
    signer["unsigned_attrs"] = cms.CMSAttributes(attributes)
    return bytes(content.dump())


def _opened(signature: bytes) -> tuple[cms.ContentInfo, cms.SignerInfo]:
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise _broken("the signature is larger than 32 KiB")
    try:
        content = cms.ContentInfo.load(signature, strict=True)
        signed = signed_data(content)
        return content, signed["signer_infos"][0]
    except Exception as error:
        raise _broken("the signature cannot be read, or is no detached one by one signer") from error


def _time(moment: datetime) -> cms.Time:
    """RFC 5652, 11.3: UTCTime through 2049, then GeneralizedTime."""
    utc = moment.astimezone(UTC).replace(microsecond=0)
    if utc.year < 2050:
        return cms.Time({"utc_time": core.UTCTime(utc)})
    return cms.Time({"general_time": core.GeneralizedTime(utc)})


def _bounded(signature: bytes) -> bytes:
    if len(signature) > MAX_SIGNATURE_BYTES:
        raise FailedPrecondition(
            "TIMESTAMP_ROOM_MISSING",
            "the signature with its certificates and token is larger than 32 KiB",
            limit=MAX_SIGNATURE_BYTES,
        )
    return signature


def _broken(message: str) -> InvalidArgument:
    return InvalidArgument("DETACHED_SIGNATURE_BROKEN", message, field="signature")
