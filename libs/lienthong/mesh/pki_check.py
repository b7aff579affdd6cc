"""Certificates of a mesh, judged before anything starts: all that is wrong with them is told at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from lienthong.errors import DomainError, FailedPrecondition, FieldViolation
from lienthong.mesh.certificates import Needed, needed
from lienthong.mesh.layout import Layout
from lienthong.mesh.parts import Mode
from lienthong.mesh.topology import Topology
from lienthong.pki.identity import identity_of
from lienthong.pki.issuing import Issued
from lienthong.pki.trust import TrustStore

INCOMPLETE = "PKI_INCOMPLETE"
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one file, by the reason that it would have alone."""

    reason: str
    where: Path
    problem: str


def check_pki(topology: Topology, layout: Layout, mode: Mode, at: datetime) -> None:
    """Pass certificates that are there, fit their keys, are trusted, valid, and whose they should be.

    FailedPrecondition with every fault: PKI_INCOMPLETE where a file is missing, CERTIFICATE_EXPIRED where
    nothing is wrong but dates, else PKI_UNUSABLE.
    """
    faults = list(pki_faults(topology, layout, mode, at))
    if not faults:
        return
    reasons = {fault.reason for fault in faults}
    shown = "; ".join(f"{fault.where}: {fault.problem}" for fault in faults[:_SHOWN])
    more = f" (and {len(faults) - _SHOWN} more)" if len(faults) > _SHOWN else ""
    violations = [FieldViolation(str(fault.where), fault.problem) for fault in faults[:40]]
    if INCOMPLETE in reasons:
        raise FailedPrecondition(
            "PKI_INCOMPLETE", f"certificates are missing or wrong: {shown}{more}", violations=violations
        )
    if reasons == {"CERTIFICATE_EXPIRED"}:
        raise FailedPrecondition(
            "CERTIFICATE_EXPIRED", f"certificates have expired: {shown}{more}", violations=violations
        )
    raise FailedPrecondition("PKI_UNUSABLE", f"certificates are wrong: {shown}{more}", violations=violations)


def pki_faults(topology: Topology, layout: Layout, mode: Mode, at: datetime) -> Iterator[Fault]:
    """Everything that is wrong, file by file."""
    missing = [path for path in (layout.roots, layout.document_chain) if not path.is_file()]
    if missing:
        yield from (Fault(INCOMPLETE, path, "is missing") for path in missing)
        return
    try:
        trust = TrustStore.load(layout.roots, layout.document_chain, layout.crls)
    except (OSError, ValueError) as error:
        yield Fault("PKI_UNUSABLE", layout.pki, f"roots, chain or revocation lists cannot be read: {error}")
        return
    for one in needed(topology, mode):
        yield from _faults_of(one, layout.issued(one.path, one.purpose), topology.trust_domain, trust, at)


def _faults_of(
    one: Needed, files: Issued, trust_domain: str, trust: TrustStore, at: datetime
) -> Iterator[Fault]:
    if one.optional and not files.folder.exists():
        return
    missing = [p for p in (files.certificate_path, files.chain_path, files.key_path) if not p.is_file()]
    if missing:
        yield from (Fault(INCOMPLETE, path, "is missing") for path in missing)
        return
    try:
        certificate, chain = files.certificate(), files.chain()
        private = files.key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        yield Fault("PKI_UNUSABLE", files.folder, f"cannot be read: {error}")
        return
    if private != public:
        yield Fault("KEY_MISMATCH", files.key_path, "is not the key of the certificate")
    if chain[:1] != (certificate,):
        yield Fault("PKI_UNUSABLE", files.chain_path, "does not begin with the certificate")
    try:
        found = identity_of(certificate).uri
        if found != one.uri(trust_domain):
            problem = f"is {found}, not {one.uri(trust_domain)}"
            yield Fault("IDENTITY_WRONG", files.certificate_path, problem)
        trust.verify_chain(certificate, chain, at, one.usages)
    except DomainError as refusal:
        yield Fault(refusal.reason, files.certificate_path, refusal.message)
