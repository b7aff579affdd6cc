"""Judging signatures that lie beside a file, against its digest. Never raises on input: bad is a verdict."""

# mypy: allow-untyped-calls

import datetime as dt
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from asn1crypto import cms, core
from asn1crypto import x509 as asn1_x509
from lienthong.clock import Clock
from lienthong.errors import DomainError
from lienthong.notation import printed_number
from lienthong.pki.trust import MAX_CHAIN, TrustStore
from lienthong.pki.usage import DOCUMENT_USAGES
from pyhanko.sign.ades.asn1_util import register_cms_attribute
from pyhanko.sign.general import SignedDataCerts, extract_certificate_info, find_cms_attribute_iter
from pyhanko.sign.validation.generic_cms import extract_self_reported_ts

from services.signing.cms_integrity import STRONG, flaws, is_strong
from services.signing.domain import (
    IssueMark,
    Reason,
    SignatureReport,
    SignatureRole,
    ValidationReport,
    Verdict,
    level_of,
    lowest_level,
    parse_issue_statement,
    role_of,
    unreadable_signature,
)
from services.signing.timestamp_token import imprint_algorithm, verify_token

_log: Final = logging.getLogger(__name__)

CONTENT_HINTS: Final = "content_hints"
_DIGEST: Final = "sha256"
_TOKEN: Final = "signature_time_stamp_token"  # noqa: S105  (the name of an attribute)
_CERTIFICATE: Final = "signing_certificate_v2"
_ORGANIZATION_IDENTIFIER: Final = "organization_identifier"
_REASON_OF: Final = {
    "CERTIFICATE_MALFORMED": Reason.SIGNATURE_MALFORMED,
    "KEY_UNSUPPORTED": Reason.ALGORITHM_WEAK,
}


class ContentHints(core.Sequence):  # type: ignore[misc]
    """RFC 2634, 2.9: what the signed content is, in words."""

    _fields = [  # noqa: RUF012  (asn1crypto completes the list)
        ("content_description", core.UTF8String, {"optional": True}),
        ("content_type", cms.ContentType),
    ]


# As pyHanko does with the attributes that it adds to asn1crypto's table.
register_cms_attribute("1.2.840.113549.1.9.16.2.4", CONTENT_HINTS, ContentHints)


@dataclass(frozen=True, slots=True)
class _Judged:
    """One signature's report, and the number and date that it vouches for."""

    report: SignatureReport
    mark: IssueMark | None = None


class _Malformed(Exception):  # noqa: N818  (a finding, not a failure)
    """What the profile forbids: content inside, several signers, no bound certificate."""


class DetachedJudge:
    """Chains are verified through the trust stores, which cache them by their bytes. Thread-safe."""

    def __init__(self, trust: TrustStore, timestamp_trust: TrustStore, clock: Clock) -> None:
        self._trust, self._timestamp_trust, self._clock = trust, timestamp_trust, clock

    def validate(self, sha256: bytes, signatures: Sequence[bytes], max_bytes: int) -> ValidationReport:
        """VALID only if every signature is; the place of each is its index."""
        judged = [self._judge(sha256, der, str(place), max_bytes) for place, der in enumerate(signatures)]
        reports = tuple(one.report for one in judged)
        if not reports:
            return ValidationReport(Verdict.UNSIGNED)
        reasons = dict.fromkeys(reason for report in reports for reason in report.reasons)
        valid = all(report.verdict is Verdict.VALID for report in reports)
        found = ValidationReport(
            Verdict.VALID if valid else Verdict.INVALID, lowest_level(reports), reports, tuple(reasons)
        )
        return _marked(found, judged)

    def _judge(self, sha256: bytes, der: bytes, place: str, max_bytes: int) -> _Judged:
        try:
            if len(der) > max_bytes:
                raise _Malformed("too large")
            return self._report(sha256, signed_data(cms.ContentInfo.load(der, strict=True)), place)
        except _Malformed:
            return _Judged(unreadable_signature(place))
        except Exception as error:
            # asn1crypto and pyHanko parse lazily: hostile DER surfaces as almost any exception, anywhere.
            _log.info("a detached signature cannot be read", extra={"cause": type(error).__name__})
            return _Judged(unreadable_signature(place))

    def _report(self, sha256: bytes, signed: cms.SignedData, place: str) -> _Judged:
        [signer] = signed["signer_infos"]
        certificates = extract_certificate_info(signed)
        certificate: asn1_x509.Certificate = certificates.signer_cert
        reasons = _integrity(signer, certificate, sha256)
        stamped, flaws = self._stamped(signer)
        reasons += flaws
        at = stamped or self._clock.now()
        role, organization, distrust = self._signer(certificates, at)
        reasons += distrust
        names = certificate.subject.native
        report = SignatureReport(
            field_or_part=place,
            role=role,
            signer_name=str(names.get("common_name", "")),
            organization=organization or str(names.get(_ORGANIZATION_IDENTIFIER, "")),
            certificate_fingerprint=hashlib.sha256(certificate.dump()).hexdigest(),
            level=level_of(stamped, sound=not reasons),
            signing_time=extract_self_reported_ts(signer),
            timestamp_time=stamped,
            verdict=Verdict.INVALID if reasons else Verdict.VALID,
            reasons=tuple(dict.fromkeys(reasons)),
        )
        speaks = role is SignatureRole.AGENCY and not reasons
        return _Judged(report, _mark(signer) if speaks else None)

    def _stamped(self, signer: cms.SignerInfo) -> tuple[dt.datetime | None, list[Reason]]:
        """The earliest proven time; a false token beside a good one still shows that somebody tampered."""
        times: list[dt.datetime] = []
        for value in find_cms_attribute_iter(signer["unsigned_attrs"], _TOKEN):
            try:
                token = value.dump()
                digest = hashlib.new(imprint_algorithm(token), signer["signature"].native).digest()
                times.append(verify_token(token, digest, self._timestamp_trust).time)
            except (DomainError, ValueError, TypeError, KeyError, AttributeError):
                return None, [Reason.TIMESTAMP_INVALID]
        return min(times, default=None), []

    def _signer(
        self, certificates: SignedDataCerts, at: dt.datetime
    ) -> tuple[SignatureRole, str, list[Reason]]:
        """Whom the certificate spoke for at that time; a trusted one of nobody we know speaks for nobody."""
        chain = [certificates.signer_cert.dump(), *(other.dump() for other in certificates.other_certs)]
        try:
            leaf = self._trust.verify_der(chain[:MAX_CHAIN], at, DOCUMENT_USAGES)
        except DomainError as error:
            known = Reason.__members__.get(error.reason)
            reason = known or _REASON_OF.get(error.reason, Reason.CERTIFICATE_UNTRUSTED)
            return SignatureRole.OTHER, "", [reason]
        try:
            identity = self._trust.identity_of(leaf)
        except DomainError:
            return SignatureRole.OTHER, "", []
        return role_of(identity), identity.organization, []


def signed_data(content: cms.ContentInfo) -> cms.SignedData:
    """What the profile asks for, or any exception: one signer, and no content inside."""
    if content["content_type"].native != "signed_data":
        raise _Malformed("no signed data")
    signed = content["content"]
    inner = signed["encap_content_info"]
    if inner["content_type"].native != "data" or not isinstance(inner["content"], core.Void):
        raise _Malformed("content inside, or of another type")
    if len(signed["signer_infos"]) != 1:
        raise _Malformed("not one signer")
    return signed


def _integrity(signer: cms.SignerInfo, certificate: asn1_x509.Certificate, sha256: bytes) -> list[Reason]:
    if not is_strong(signer):
        return [Reason.ALGORITHM_WEAK]
    if signer["digest_algorithm"]["algorithm"].native != _DIGEST:
        return [Reason.DIGEST_MISMATCH]  # whoever hashed the file gave SHA-256: nothing else can be compared
    # First, on the bytes as they came: asn1crypto may encode attributes anew that were looked into.
    found = flaws(signer, certificate, sha256)
    # EN 319 122-1, table 1: without it a certificate with the same key could be put in the signer's place.
    bound = list(find_cms_attribute_iter(signer["signed_attrs"], _CERTIFICATE))
    if len(bound) != 1:
        raise _Malformed("the certificate is not bound")
    if bound[0]["certs"][0]["hash_algorithm"]["algorithm"].native not in STRONG:
        return [Reason.ALGORITHM_WEAK]
    return found


def _mark(signer: cms.SignerInfo) -> IssueMark | None:
    """Number, notation and date that the agency's signature says the file belongs to."""
    for hints in find_cms_attribute_iter(signer["signed_attrs"], CONTENT_HINTS):
        said = parse_issue_statement(str(hints["content_description"].native or ""))
        if said is not None:
            return said
    return None


def _marked(report: ValidationReport, judged: Sequence[_Judged]) -> ValidationReport:
    mark = next((one.mark for one in judged if one.mark is not None), None)
    if mark is None:
        return report
    return replace(report, number=printed_number(mark.number), notation=mark.notation, date=mark.date)
