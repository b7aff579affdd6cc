"""Judging one CMS signature: digest and value, algorithms, timestamp, and the certificate at that time."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from asn1crypto import cms
from asn1crypto import x509 as asn1_x509
from lienthong.clock import Clock
from lienthong.errors import DomainError
from lienthong.pki.trust import TrustStore
from lienthong.pki.usage import DOCUMENT_USAGES
from pyhanko.sign.validation.generic_cms import get_signing_cert_attr
from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature

from services.signing.cms_integrity import STRONG, flaws, is_strong
from services.signing.domain import Reason, SignatureReport, SignatureRole, Verdict, level_of, role_of
from services.signing.pdf.opening import entry
from services.signing.timestamp_token import verify_token

_SUBFILTERS: Final = frozenset({"/ETSI.CAdES.detached", "/adbe.pkcs7.detached"})
_TOKEN: Final = "signature_time_stamp_token"  # noqa: S105  (the name of an attribute)
_ORGANIZATION_IDENTIFIER: Final = "organization_identifier"
_REASON_OF: Final = {
    "CERTIFICATE_EXPIRED": Reason.CERTIFICATE_EXPIRED,
    "CERTIFICATE_NOT_YET_VALID": Reason.CERTIFICATE_NOT_YET_VALID,
    "CERTIFICATE_REVOKED": Reason.CERTIFICATE_REVOKED,
    "CERTIFICATE_USAGE": Reason.CERTIFICATE_USAGE,
    "KEY_UNSUPPORTED": Reason.ALGORITHM_WEAK,
}


@dataclass(frozen=True, slots=True)
class _Stamp:
    time: datetime | None = None
    reason: Reason | None = None


class Judge:
    """Chains are verified through the trust stores, which cache them by their bytes."""

    def __init__(self, trust: TrustStore, timestamp_trust: TrustStore, clock: Clock) -> None:
        self._trust = trust
        self._timestamp_trust = timestamp_trust
        self._clock = clock

    def report(self, signature: EmbeddedPdfSignature) -> SignatureReport:
        """The report on one signature, without what later revisions did to it. Raises on malformed CMS."""
        certificate: asn1_x509.Certificate = signature.signer_cert
        stamp = self._stamp(signature)
        reasons = [*_integrity(signature, certificate), *([stamp.reason] if stamp.reason else [])]
        role, organization = (
            SignatureRole.OTHER,
            str(certificate.subject.native.get(_ORGANIZATION_IDENTIFIER, "")),
        )
        chain = [certificate.dump(), *(other.dump() for other in signature.other_embedded_certs)]
        at = stamp.time or self._clock.now()
        try:
            leaf = self._trust.verify_der(chain[:6], at, DOCUMENT_USAGES)
            identity = self._trust.identity_of(leaf)
            role, organization = role_of(identity), identity.organization
        except DomainError as error:
            if not error.reason.startswith("IDENTITY_MISSING"):
                reasons.append(_REASON_OF.get(error.reason, Reason.CERTIFICATE_UNTRUSTED))
        return SignatureReport(
            field_or_part=str(signature.field_name),
            role=role,
            signer_name=str(certificate.subject.native.get("common_name", "")),
            organization=organization,
            certificate_fingerprint=hashlib.sha256(certificate.dump()).hexdigest(),
            level=level_of(stamp.time, sound=not reasons),
            signing_time=signature.self_reported_timestamp,
            timestamp_time=stamp.time,
            verdict=Verdict.INVALID if reasons else Verdict.VALID,
            reasons=tuple(dict.fromkeys(reasons)),
        )

    def _stamp(self, signature: EmbeddedPdfSignature) -> _Stamp:
        """The time that the signature's token proves. The token covers the signature value, nothing else."""
        tokens = [
            value
            for attribute in signature.signer_info["unsigned_attrs"] or ()
            if attribute["type"].native == _TOKEN
            for value in attribute["values"]
        ]
        if not tokens:
            return _Stamp()
        try:
            algorithm = _imprint_algorithm(tokens[0])
            digest = hashlib.new(algorithm, signature.signer_info["signature"].native).digest()
            return _Stamp(verify_token(tokens[0].dump(), digest, self._timestamp_trust).time)
        except (DomainError, ValueError, TypeError, KeyError, AttributeError):
            return _Stamp(reason=Reason.TIMESTAMP_INVALID)


def _integrity(signature: EmbeddedPdfSignature, certificate: asn1_x509.Certificate) -> list[Reason]:
    info = signature.signer_info
    content = signature.signed_data["encap_content_info"]
    if str(entry(signature.sig_object, "/SubFilter")) not in _SUBFILTERS:
        return [Reason.ALGORITHM_WEAK]  # adbe.pkcs7.sha1 and x509.rsa_sha1 are SHA-1 by definition
    if content["content_type"].native != "data" or content["content"].native is not None:
        return [Reason.SIGNATURE_MALFORMED]
    if (
        get_signing_cert_attr(info["signed_attrs"]) is None
        and signature.sig_object["/SubFilter"] != "/adbe.pkcs7.detached"
    ):
        return [Reason.SIGNATURE_MALFORMED]  # PAdES binds the certificate: EN 319 142-1 table 1
    if not is_strong(info):
        return [Reason.ALGORITHM_WEAK]
    return flaws(info, certificate, signature.compute_digest())


def _imprint_algorithm(token: cms.ContentInfo) -> str:
    inner = token["content"]["encap_content_info"]["content"].parsed
    algorithm = str(inner["message_imprint"]["hash_algorithm"]["algorithm"].native)
    if algorithm not in STRONG:
        raise ValueError(algorithm)
    return algorithm
