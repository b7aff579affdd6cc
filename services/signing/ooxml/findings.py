"""What a validation found: reasons with the part they are about, and the verdict they lead to."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.signing.domain import Reason, ValidationReport, Verdict

_ORDER = (Verdict.VALID, Verdict.PARTIAL, Verdict.INVALID)
# What was signed is untouched, but readers are shown more than that.
_PARTIAL = frozenset(
    {
        Reason.PART_NOT_SIGNED,
        Reason.RELATIONSHIP_NOT_SIGNED,
        Reason.CONTENT_NOT_COVERED,
        Reason.DOCUMENT_ACTIVE_CONTENT,
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    reason: Reason
    part: str = ""
    detail: str = ""
    # A template that the signer attached is the signer's; one attached later is an attack.
    signed: bool = False

    @property
    def verdict(self) -> Verdict:
        mild = self.reason in _PARTIAL or (self.reason is Reason.TEMPLATE_ATTACHED and self.signed)
        return Verdict.PARTIAL if mild else Verdict.INVALID


@dataclass(frozen=True, slots=True)
class PackageReport(ValidationReport):
    """The judgement on an OOXML document with the parts named, and the metadata that no signature covers."""

    findings: tuple[Finding, ...] = ()
    unsigned_metadata: tuple[str, ...] = ()


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of VALID, PARTIAL, INVALID; VALID where there is nothing to say."""
    return max(verdicts, key=_ORDER.index, default=Verdict.VALID)


def reasons_of(findings: Iterable[Finding]) -> tuple[Reason, ...]:
    """Each reason once, in the order found."""
    return tuple(dict.fromkeys(finding.reason for finding in findings))
