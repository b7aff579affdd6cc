"""Which certificates are trusted, for what, and when: the roots, path validation, revocation lists.

Path building and signatures are cryptography's verifier; this file adds what an official's certificate needs
instead of a web site's (no host name, any extended key usage) and says why a certificate was refused.
Revocation is judged from the lists given, without fetching: who keeps the lists fresh calls `replace_crls`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ObjectIdentifier
from cryptography.x509.verification import ExtensionPolicy, PolicyBuilder, Store, VerificationError
from lienthong.errors import InvalidArgument, PermissionDenied
from lienthong.pki.cache import BoundedCache
from lienthong.pki.identity import Identity, identity_of

MAX_CHAIN = 6
MAX_CERTIFICATE_BYTES = 16 * 1024
CACHED_CHAINS = 4096

T = TypeVar("T", bound=x509.ExtensionType)
Usages = frozenset[ObjectIdentifier]
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class TrustedLeaf:
    """A validated certificate, and the span of time within which the validation holds as it stands."""

    certificate: x509.Certificate
    public_key: PublicKey
    fingerprint: str
    valid_from: datetime
    valid_until: datetime

    def holds(self, at: datetime) -> bool:
        return self.valid_from <= at <= self.valid_until


class TrustStore:
    """Thread-safe. `bindings` give state-issued certificates, which carry no identity, one by fingerprint."""

    def __init__(
        self,
        roots: Sequence[x509.Certificate],
        intermediates: Sequence[x509.Certificate] = (),
        crls: Sequence[x509.CertificateRevocationList] = (),
        bindings: Mapping[str, Identity] | None = None,
        cached_chains: int = CACHED_CHAINS,
    ) -> None:
        self.roots = tuple(roots)
        self.intermediates = tuple(intermediates)
        self.crls = tuple(crls)
        self._bindings = dict(bindings or {})
        self._store = Store(list(self.roots))
        self._cache: BoundedCache[bytes, TrustedLeaf] = BoundedCache(cached_chains)

    @classmethod
    def load(cls, roots: Path, intermediates: Path | None = None, crls: Iterable[Path] = ()) -> TrustStore:
        """From PEM files of certificates and DER files of revocation lists."""
        return cls(
            x509.load_pem_x509_certificates(roots.read_bytes()),
            x509.load_pem_x509_certificates(intermediates.read_bytes()) if intermediates else (),
            [x509.load_der_x509_crl(path.read_bytes()) for path in crls],
        )

    @property
    def cached(self) -> int:
        return len(self._cache)

    def replace_crls(self, crls: Sequence[x509.CertificateRevocationList]) -> None:
        self.crls = tuple(crls)
        self._cache.clear()

    def verify_chain(
        self,
        leaf: x509.Certificate,
        chain: Sequence[x509.Certificate],
        at: datetime,
        usages: Usages | None = None,
    ) -> None:
        """Refuses a leaf that was not trusted at `at`; `chain` holds its issuers, with or without the leaf.

        PermissionDenied: CERTIFICATE_UNTRUSTED, CERTIFICATE_EXPIRED, CERTIFICATE_NOT_YET_VALID,
        CERTIFICATE_REVOKED, CERTIFICATE_USAGE (an authority's certificate, or one whose extended key usages
        name none of `usages`).
        """
        issuers = [certificate for certificate in chain if certificate != leaf]
        self.verify_der([c.public_bytes(Encoding.DER) for c in (leaf, *issuers)], at, usages)

    def verify_der(self, chain: Sequence[bytes], at: datetime, usages: Usages | None = None) -> TrustedLeaf:
        """The same for a DER chain, leaf first; a chain seen before costs one SHA-256."""
        key = _cache_key(chain, usages)
        known = self._cache.get(key)
        if known is not None and known.holds(at):
            return known
        # Read before the work: lists replaced meanwhile must not be undone by a judgement under the old ones.
        crls = self.crls
        leaf, *issuers = parse_chain(chain)
        found = self._validate(leaf, issuers, at, usages, crls)
        if crls is self.crls:
            self._cache.put(key, found)
        return found

    def identity_of(self, leaf: TrustedLeaf) -> Identity:
        bound = self._bindings.get(leaf.fingerprint)
        return bound if bound is not None else identity_of(leaf.certificate)

    def _validate(
        self,
        leaf: x509.Certificate,
        issuers: Sequence[x509.Certificate],
        at: datetime,
        usages: Usages | None,
        crls: Sequence[x509.CertificateRevocationList],
    ) -> TrustedLeaf:
        _check_dates(leaf, at)
        path = self._path(leaf, issuers, at)
        _check_usage(leaf, usages)
        revoked = _revocation(path, crls)
        if revoked is not None and revoked <= at:
            raise _refused("CERTIFICATE_REVOKED", "the certificate was revoked", leaf, revoked=revoked)
        starts = max(certificate.not_valid_before_utc for certificate in path)
        ends = min(certificate.not_valid_after_utc for certificate in path)
        return TrustedLeaf(
            certificate=leaf,
            public_key=public_key_of(leaf),
            fingerprint=hashlib.sha256(leaf.public_bytes(Encoding.DER)).hexdigest(),
            valid_from=starts,
            # A revocation dated later than `at` must be found again by whoever asks about a later time.
            valid_until=ends if revoked is None else min(ends, at),
        )

    def _path(
        self, leaf: x509.Certificate, issuers: Sequence[x509.Certificate], at: datetime
    ) -> list[x509.Certificate]:
        verifier = (
            PolicyBuilder()
            .store(self._store)
            .time(at.astimezone(UTC))
            .max_chain_depth(MAX_CHAIN)
            .extension_policies(
                ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
            )
            .build_client_verifier()
        )
        try:
            return verifier.verify(leaf, [*issuers, *self.intermediates]).chain
        except VerificationError as error:
            for issuer in issuers:
                _check_dates(issuer, at)
            _check_usage(leaf, None)
            raise _refused("CERTIFICATE_UNTRUSTED", "no trusted path to a root", leaf) from error


def parse_chain(chain: Sequence[bytes]) -> list[x509.Certificate]:
    """The certificates of a DER chain from outside, within limits, or CERTIFICATE_MALFORMED."""
    if not 0 < len(chain) <= MAX_CHAIN:
        raise InvalidArgument("CERTIFICATE_MALFORMED", "a chain has 1 to 6 certificates", count=len(chain))
    if max(map(len, chain)) > MAX_CERTIFICATE_BYTES:
        raise InvalidArgument("CERTIFICATE_MALFORMED", "a certificate is too large")
    try:
        parsed = [x509.load_der_x509_certificate(der) for der in chain]
        for certificate in parsed:
            # Parsed lazily by the library: what is wrong with them must show up here, not later.
            _ = certificate.extensions, certificate.subject, certificate.issuer
            _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except Exception as error:  # hostile bytes: the library's refusals have no common base class
        raise InvalidArgument("CERTIFICATE_MALFORMED", "a certificate cannot be read") from error
    return parsed


def public_key_of(certificate: x509.Certificate) -> PublicKey:
    """The key, where its kind is one that signs documents and envelopes."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidArgument("CERTIFICATE_MALFORMED", "the certificate's key cannot be read") from error
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048:
        return key
    raise InvalidArgument("KEY_UNSUPPORTED", "a key is RSA of at least 2048 bits or P-256")


def _check_dates(certificate: x509.Certificate, at: datetime) -> None:
    if at < certificate.not_valid_before_utc:
        starts = certificate.not_valid_before_utc
        raise _refused(
            "CERTIFICATE_NOT_YET_VALID", "the certificate starts later", certificate, starts=starts
        )
    if at > certificate.not_valid_after_utc:
        ends = certificate.not_valid_after_utc
        raise _refused("CERTIFICATE_EXPIRED", "the certificate has expired", certificate, ends=ends)


def _check_usage(leaf: x509.Certificate, usages: Usages | None) -> None:
    constraints = _extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise _refused("CERTIFICATE_USAGE", "an authority's certificate signs only certificates", leaf)
    allowed = _extension(leaf, x509.KeyUsage)
    if allowed is not None and not (allowed.digital_signature or allowed.content_commitment):
        raise _refused("CERTIFICATE_USAGE", "the certificate may not sign", leaf)
    extended = _extension(leaf, x509.ExtendedKeyUsage)
    # RFC 5280, 4.2.1.12: without the extension every purpose is allowed.
    if usages is not None and extended is not None and usages.isdisjoint(extended):
        named = ",".join(usage.dotted_string for usage in extended)
        raise _refused("CERTIFICATE_USAGE", "the certificate is for another purpose", leaf, usages=named)


def _extension(certificate: x509.Certificate, kind: type[T]) -> T | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _revocation(
    path: Sequence[x509.Certificate], crls: Sequence[x509.CertificateRevocationList]
) -> datetime | None:
    """When the first certificate of the path was revoked, by a list that its own issuer signed."""
    moments: list[datetime] = []
    for certificate, issuer in pairwise(path):
        for crl in crls:
            if crl.issuer != issuer.subject:
                continue
            entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
            if entry is not None and _signed_by(crl, issuer):
                moments.append(entry.revocation_date_utc)
    return min(moments, default=None)


def _signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    key = issuer.public_key()
    return isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) and crl.is_signature_valid(key)


def _cache_key(chain: Sequence[bytes], usages: Usages | None) -> bytes:
    digest = hashlib.sha256()
    for der in chain:
        digest.update(len(der).to_bytes(4, "big"))
        digest.update(der)
    for usage in sorted(u.dotted_string for u in usages or ()):
        digest.update(usage.encode() + b"\0")
    return digest.digest()


def _refused(reason: str, message: str, certificate: x509.Certificate, **facts: object) -> PermissionDenied:
    error = PermissionDenied(reason, message, subject=certificate.subject.rfc4514_string()[:200])
    error.metadata.update((name, str(fact)) for name, fact in facts.items())
    return error
