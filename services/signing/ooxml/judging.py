"""Judging one signature of a package: itself, what it covers, its timestamp, its certificate at that time."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from lienthong.clock import Clock
from lienthong.errors import DomainError
from lienthong.pki.trust import TrustStore
from lienthong.pki.usage import DOCUMENT_USAGES
from lxml import etree

from services.signing.domain import (
    Reason,
    SignatureReport,
    SignatureRole,
    Verdict,
    level_of,
    role_of,
    unreadable_signature,
)
from services.signing.ooxml import core, names, xades
from services.signing.ooxml.coverage import compare
from services.signing.ooxml.findings import Finding, reasons_of, worst
from services.signing.ooxml.package import Package
from services.signing.ooxml.survey import Survey
from services.signing.timestamp_token import imprint_algorithm, verify_token

T = TypeVar("T")
Mark = tuple[str, str, date]

_log = logging.getLogger(__name__)
_MAX_ISSUERS: Final = 5
_STAMPS: Final = "/".join(
    f"{{{names.XADES}}}{tag}"
    for tag in ("UnsignedProperties", "UnsignedSignatureProperties", "SignatureTimeStamp")
)
_SIGNING_TIME: Final = f"{{{names.XADES}}}SignedSignatureProperties/{{{names.XADES}}}SigningTime"
_REASON_OF: Final = {
    "CERTIFICATE_MALFORMED": Reason.SIGNATURE_MALFORMED,
    "KEY_UNSUPPORTED": Reason.ALGORITHM_WEAK,
}
_NO_IDENTITY: Final = (SignatureRole.OTHER, "")


@dataclass(frozen=True, slots=True)
class Judged:
    """One signature's report, what was found, and the number and date that it vouches for."""

    report: SignatureReport
    findings: tuple[Finding, ...]
    mark: Mark | None = None


class Judge:
    """Chains are verified through the trust stores, which cache them by their bytes."""

    def __init__(self, trust: TrustStore, timestamp_trust: TrustStore, clock: Clock) -> None:
        self._trust = trust
        self._timestamp_trust = timestamp_trust
        self._clock = clock

    def judge(self, package: Package, found: Survey, part: str) -> Judged:
        """Whatever is wrong ends up in the findings of this signature, so that the others are judged too."""
        notes = _Notes(part)
        opened = notes.attempt(lambda: core.open_signature(package, part))
        if opened is None:
            report = unreadable_signature(part, reasons_of(notes.findings))
            return Judged(report, tuple(notes.findings))
        notes.attempt(lambda: notes.findings.extend(compare(package, found, opened.manifest)))
        stamped = self._stamped(opened, notes)
        role, organization = self._signer(opened, stamped or self._clock.now(), notes)
        mark = notes.attempt(lambda: xades.read_mark(opened.objects))
        verdict = worst(finding.verdict for finding in notes.findings)
        titles = opened.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        report = SignatureReport(
            field_or_part=part,
            role=role,
            signer_name=str(titles[0].value) if titles else "",
            organization=organization,
            certificate_fingerprint=hashlib.sha256(_der(opened.certificate)).hexdigest(),
            level=level_of(stamped, sound=verdict is not Verdict.INVALID and opened.properties is not None),
            signing_time=_signing_time(opened.properties),
            timestamp_time=stamped,
            verdict=verdict,
            reasons=reasons_of(notes.findings),
        )
        return Judged(report, tuple(notes.findings), mark)

    def _stamped(self, opened: core.OpenedSignature, notes: "_Notes") -> datetime | None:
        """The earliest proven time; a false token beside a good one still shows that somebody tampered."""
        stamps = [] if opened.qualifying is None else opened.qualifying.findall(_STAMPS)
        times = [notes.attempt(lambda s=stamp: self._time(opened.root, s)) for stamp in stamps]  # type: ignore[misc]
        return min((time for time in times if time is not None), default=None)

    def _time(self, root: etree._Element, stamp: etree._Element) -> datetime:
        methods = list(stamp.iterchildren(f"{{{names.DS}}}CanonicalizationMethod"))
        method = (methods[0].get("Algorithm") or "") if methods else names.C14N
        token = core.decode(core.one(stamp, "EncapsulatedTimeStamp", names.XADES))
        digest = hashlib.new(imprint_algorithm(token), xades.value_to_stamp(root, method)).digest()
        return verify_token(token, digest, self._timestamp_trust).time

    def _signer(
        self, opened: core.OpenedSignature, at: datetime, notes: "_Notes"
    ) -> tuple[SignatureRole, str]:
        chain = [_der(one) for one in (opened.certificate, *opened.others[:_MAX_ISSUERS])]
        leaf = notes.attempt(lambda: self._trust.verify_der(chain, at, DOCUMENT_USAGES))
        if leaf is None:
            return _NO_IDENTITY
        try:
            identity = self._trust.identity_of(leaf)
        except DomainError:
            return (
                _NO_IDENTITY  # a trusted certificate of nobody we know signs validly, but speaks for nobody
            )
        return role_of(identity), identity.organization


class _Notes:
    """Collects findings about one part; an attempt that fails becomes one."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.findings: list[Finding] = []

    def attempt(self, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except Exception as error:
            self.findings.append(finding_of(error, self.part))
            return None


def finding_of(error: Exception, part: str = "") -> Finding:
    """What an exception says about a document; one of no known kind was provoked by what the file holds."""
    if not isinstance(error, DomainError):
        _log.warning("an unexpected error while judging a document", exc_info=error)
        return Finding(
            Reason.SIGNATURE_MALFORMED if part else Reason.DOCUMENT_BROKEN, part, type(error).__name__
        )
    known = Reason.__members__.get(error.reason)
    reason = known or _REASON_OF.get(error.reason, Reason.SIGNATURE_MALFORMED)
    return Finding(reason, error.metadata.get("part", part), error.message)


def _signing_time(properties: etree._Element | None) -> datetime | None:
    text = properties.findtext(_SIGNING_TIME) if properties is not None else None
    try:
        claimed = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return claimed if claimed.tzinfo else None


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)
