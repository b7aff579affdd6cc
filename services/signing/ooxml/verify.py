"""Judging an Office Open XML document. A hostile file never raises: the report says what is wrong."""

from pathlib import Path
from typing import Final

from lienthong.clock import Clock
from lienthong.pki.trust import TrustStore

from services.signing.domain import Reason, SignatureRole, Verdict, lowest_level
from services.signing.ooxml import names
from services.signing.ooxml.errors import unacceptable
from services.signing.ooxml.findings import Finding, PackageReport, reasons_of, worst
from services.signing.ooxml.judging import Judge, Judged, Mark, finding_of
from services.signing.ooxml.package import DEFAULT_LIMITS, Limits, Package
from services.signing.ooxml.survey import Survey, active_parts, require_one_main_part, survey

_MAX_SIGNATURES: Final = 32


class PackageValidator:
    """Shares trust stores, with their caches of verified chains, among all documents. Thread-safe."""

    def __init__(
        self, trust: TrustStore, timestamp_trust: TrustStore, clock: Clock, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._judge = Judge(trust, timestamp_trust, clock)
        self._limits = limits

    def validate(self, path: Path) -> PackageReport:
        """The verdict on a file; what cannot be read is INVALID with the reason why."""
        try:
            with Package.open(path, self._limits) as package:
                return self._validate(package)
        except OSError:
            raise  # our disk, not the document
        except Exception as error:
            finding = finding_of(error)
            return PackageReport(Verdict.INVALID, reasons=(finding.reason,), findings=(finding,))

    def _validate(self, package: Package) -> PackageReport:
        found = survey(package)
        general = _general(package, found)
        if not found.signatures:
            return _without_signatures(package, general)
        if len(found.signatures) > _MAX_SIGNATURES:
            raise unacceptable(Reason.DOCUMENT_TOO_COMPLEX, "the document has too many signatures")
        for part in found.metadata & package.entries.keys():
            package.digest(
                part, "sha256"
            )  # not signed, but a part that cannot be unpacked breaks the document
        judged = [self._judge.judge(package, found, part) for part in found.signatures]
        general += [Finding(Reason.DOCTYPE_PRESENT, part) for part in sorted(package.with_doctype)]
        findings = tuple(dict.fromkeys([*general, *(finding for one in judged for finding in one.findings)]))
        signatures = tuple(one.report for one in judged)
        number, notation, date = _mark(judged) or (None, None, None)
        return PackageReport(
            verdict=worst([*(finding.verdict for finding in general), *(one.verdict for one in signatures)]),
            level=lowest_level(signatures),
            signatures=signatures,
            reasons=reasons_of(findings),
            number=number,
            notation=notation,
            date=date,
            findings=findings,
            unsigned_metadata=tuple(sorted(found.metadata & package.entries.keys())),
        )


def _general(package: Package, found: Survey) -> list[Finding]:
    findings = [Finding(Reason.DOCUMENT_ACTIVE_CONTENT, part) for part in active_parts(package)]
    try:
        require_one_main_part(found, package)
    except Exception as error:
        findings.append(finding_of(error))
    return findings


def _without_signatures(package: Package, general: list[Finding]) -> PackageReport:
    """UNSIGNED, unless signatures lie about that nothing leads to: somebody cut them off."""
    cut_off = [
        Finding(Reason.SIGNATURE_MALFORMED, part, "no relationship leads to it")
        for part in package.entries
        if package.content_type(part) == names.SIGNATURE_TYPE
    ]
    findings = (*general, *cut_off)
    verdict = Verdict.INVALID if cut_off else Verdict.UNSIGNED
    return PackageReport(verdict, reasons=reasons_of(findings), findings=findings)


def _mark(judged: list[Judged]) -> Mark | None:
    """The agency's word goes before a person's; an INVALID signature says nothing."""
    usable = [one for one in judged if one.mark and one.report.verdict is not Verdict.INVALID]
    usable.sort(key=lambda one: one.report.role is not SignatureRole.AGENCY)
    return usable[0].mark if usable else None
