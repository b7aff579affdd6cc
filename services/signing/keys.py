"""The key ring: the keys of a folder, each found by its owner, each checked before it signs.

Two keys of one owner and use are a renewal: the newest that may sign now is taken. Which certificate is
refused, and why, comes from the trust store, which remembers its answers until the revocation lists change.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID, ObjectIdentifier
from lienthong.clock import Clock
from lienthong.errors import DomainError, FailedPrecondition, InvalidArgument, NotFound
from lienthong.pki.identity import Identity, Kind, identity_of, parse_identity
from lienthong.pki.keys import FileKey, load_signing_key
from lienthong.pki.trust import TrustStore
from lienthong.pki.usage import DOCUMENT_USAGES, ENVELOPE_SIGNING

from services.signing.domain import Appearance
from services.signing.pdf.signer import DocumentSigner

_log: Final = logging.getLogger(__name__)

KEY_FILE: Final = "key.pem"
CHAIN_FILE: Final = "chain.pem"
IMAGE_FILE: Final = "signature.png"
_ENVELOPE: Final = frozenset({ENVELOPE_SIGNING})


class Use(StrEnum):
    """What a certificate lets its key sign."""

    DOCUMENT = "DOCUMENT"
    ENVELOPE = "ENVELOPE"


_USAGES: Final[Mapping[Use, frozenset[ObjectIdentifier]]] = {
    Use.DOCUMENT: DOCUMENT_USAGES,
    Use.ENVELOPE: _ENVELOPE,
}


@dataclass(frozen=True, slots=True)
class HeldKey:
    """One key: whose it is, what it signs, and (for documents) pyHanko's signer with what is seen."""

    identity: Identity
    use: Use
    key: FileKey
    image: Path | None = None
    signer: DocumentSigner | None = None

    @property
    def certificate(self) -> x509.Certificate:
        return self.key.certificate

    @property
    def fingerprint(self) -> bytes:
        return self.certificate.fingerprint(SHA256())

    @property
    def name(self) -> str:
        """The subject's common name."""
        found = self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return str(found[0].value) if found else ""

    @property
    def algorithm(self) -> str:
        private = self.key.private
        return f"RSA-{private.key_size}" if isinstance(private, rsa.RSAPrivateKey) else "P-256"

    @property
    def appearance(self) -> Appearance:
        """The owner's image; a drawing of ours instead always says MẪU: we never forge a hand or a seal."""
        return Appearance(self.name, self.image, specimen=self.image is None)


class KeyRing:
    """The keys of one node, loaded once."""

    def __init__(self, keys: Iterable[HeldKey], trust: TrustStore, clock: Clock, node: str) -> None:
        self._trust, self._clock, self._node = trust, clock, node
        self._by_owner: dict[tuple[Use, Identity], list[HeldKey]] = {}
        for held in keys:
            self._by_owner.setdefault((held.use, held.identity), []).append(held)
        for group in self._by_owner.values():
            group.sort(key=lambda held: held.certificate.not_valid_before_utc, reverse=True)
        # Without the trust domain, which is one for all keys here (see `load_keys`).
        self._named = {(use, owner.path): group for (use, owner), group in self._by_owner.items()}

    def seal(self, organization: str) -> HeldKey:
        """The agency's key for documents."""
        return self._usable(Use.DOCUMENT, f"org/{organization}")

    def leader(self, organization: str, name: str) -> HeldKey:
        """A leader's own key."""
        return self._usable(Use.DOCUMENT, f"org/{organization}/{Kind.LEADER.value}/{name}")

    def organization_envelope(self, organization: str) -> HeldKey:
        return self._usable(Use.ENVELOPE, f"org/{organization}")

    def node_envelope(self, node: str) -> HeldKey:
        """The node's own signer; for another node there is none, whatever lies in the folder."""
        if node != self._node:
            raise _unknown(Use.ENVELOPE, f"node/{node}")
        return self._usable(Use.ENVELOPE, f"node/{node}")

    def all(self) -> list[HeldKey]:
        """Every key, by identity and use."""
        keys = [held for group in self._by_owner.values() for held in group]
        return sorted(keys, key=lambda held: (held.identity.uri, held.use, held.fingerprint))

    def require_usable(self, held: HeldKey, at: datetime | None = None) -> None:
        """FailedPrecondition SIGNER_CERTIFICATE_EXPIRED, _REVOKED, _UNTRUSTED ... unless it may sign now."""
        try:
            self._trust.verify_der(held.key.chain, at or self._clock.now(), _USAGES[held.use])
        except DomainError as error:
            refused = FailedPrecondition(f"SIGNER_{error.reason}", error.message)
            refused.metadata.update(error.metadata)
            raise refused from error

    async def check_ready(self) -> None:
        """The node cannot answer for itself without its own signer; one person's expired key stops nobody."""
        self.node_envelope(self._node)

    def _usable(self, use: Use, owner: str) -> HeldKey:
        candidates = self._named.get((use, owner))
        if not candidates:
            raise _unknown(use, owner)
        first: DomainError | None = None
        for held in candidates:
            try:
                self.require_usable(held)
            except FailedPrecondition as refusal:
                first = first or refusal
            else:
                return held
        assert first is not None
        raise first


def load_keys(
    folder: Path, trust_domain: str, bindings: Mapping[str, str] | None = None
) -> tuple[HeldKey, ...]:
    """Every key under `folder` that signs documents or envelopes; others (TLS, timestamps) are left alone.

    A key that cannot be read stops the start: a service that silently lacks a key fails people later.
    """
    if not folder.is_dir():
        raise InvalidArgument("SETTINGS_INVALID", f"keys: no such folder {folder}", path=folder)
    found: list[HeldKey] = []
    for path in sorted(folder.rglob(KEY_FILE)):
        chain = path.with_name(CHAIN_FILE)
        if chain.is_file():
            found.extend(_held(path, chain, trust_domain, bindings or {}))
    if not found:
        _log.warning("no keys found", extra={"folder": str(folder)})
    return tuple(found)


def _held(path: Path, chain: Path, trust_domain: str, bindings: Mapping[str, str]) -> Iterable[HeldKey]:
    key = load_signing_key(path, chain)
    use = _use_of(key.certificate)
    if use is None:
        return
    bound = bindings.get(key.certificate.fingerprint(SHA256()).hex())
    identity = parse_identity(bound) if bound else identity_of(key.certificate)
    if identity.trust_domain != trust_domain:
        _log.warning("key of another trust domain left alone", extra={"identity": identity.uri})
        return
    image = path.with_name(IMAGE_FILE)
    if use is Use.DOCUMENT:
        issuers = [x509.load_der_x509_certificate(der) for der in key.chain[1:]]
        signer = DocumentSigner(key.certificate, issuers, key)
        yield HeldKey(identity, use, key, image if image.is_file() else None, signer)
    else:
        yield HeldKey(identity, use, key)


def _use_of(certificate: x509.Certificate) -> Use | None:
    """By the extended key usage; without one (RFC 5280, 4.2.1.12: any purpose) documents are meant."""
    try:
        usages = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return Use.DOCUMENT
    if usages & DOCUMENT_USAGES:
        return Use.DOCUMENT
    return Use.ENVELOPE if usages & _ENVELOPE else None


def _unknown(use: Use, owner: str) -> NotFound:
    return NotFound("KEY_UNKNOWN", "this node holds no such key", use=use, owner=owner)
