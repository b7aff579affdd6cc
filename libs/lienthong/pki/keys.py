"""Keys that sign, loaded once: a PEM key with the certificate chain that speaks for it.

Another kind of key (a PKCS#11 token) is another class with the same four members.
"""

from __future__ import annotations

import logging
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from lienthong.errors import InvalidArgument
from lienthong.pki.trust import public_key_of

_log = logging.getLogger(__name__)


class Algorithm(StrEnum):
    ECDSA_P256_SHA256 = "ecdsa-p256-sha256"
    RSA_PKCS1_SHA256 = "rsa-pkcs1-sha256"


class SigningKey(Protocol):
    """Signs bytes; safe to call from several threads."""

    @property
    def algorithm(self) -> Algorithm: ...

    @property
    def certificate(self) -> x509.Certificate: ...

    @property
    def chain(self) -> tuple[bytes, ...]:
        """DER, the certificate first, the root not needed."""

    def sign(self, data: bytes) -> bytes:
        """The signature over SHA-256 of `data`; ECDSA as DER."""


@dataclass(frozen=True, slots=True, repr=False)
class FileKey:
    """A key held in this process."""

    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    certificate: x509.Certificate
    chain: tuple[bytes, ...]

    @property
    def algorithm(self) -> Algorithm:
        elliptic = isinstance(self.private, ec.EllipticCurvePrivateKey)
        return Algorithm.ECDSA_P256_SHA256 if elliptic else Algorithm.RSA_PKCS1_SHA256

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return self.private.sign(data, _ECDSA)
        return self.private.sign(data, _PKCS1, _SHA256)

    def __repr__(self) -> str:
        return f"FileKey({self.algorithm.value}, {self.certificate.subject.rfc4514_string()})"


_SHA256 = hashes.SHA256()
_ECDSA = ec.ECDSA(_SHA256)
_PKCS1 = padding.PKCS1v15()


def load_signing_key(key: Path, chain: Path) -> FileKey:
    """The key of a PEM file, with its PEM chain (leaf first).

    InvalidArgument: KEY_UNREADABLE, KEY_UNSUPPORTED, CERTIFICATE_MALFORMED, KEY_CERTIFICATE_MISMATCH.
    """
    if key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        _log.warning("key file %s is readable by others than its owner: chmod 600", key.name)
    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidArgument("KEY_UNREADABLE", "not an unencrypted PEM key", file=key.name) from error
    try:
        certificates = x509.load_pem_x509_certificates(chain.read_bytes())
    except ValueError as error:
        raise InvalidArgument("CERTIFICATE_MALFORMED", "not a PEM chain", file=chain.name) from error
    expected = public_key_of(certificates[0])
    if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) or (
        private.public_key() != expected
    ):
        raise InvalidArgument(
            "KEY_CERTIFICATE_MISMATCH", "the certificate is for another key", file=key.name, chain=chain.name
        )
    ders = tuple(certificate.public_bytes(Encoding.DER) for certificate in certificates)
    return FileKey(private, certificates[0], ders)


def is_signature(
    algorithm: Algorithm, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, signature: bytes, data: bytes
) -> bool:
    """Whether the signature is good; under an algorithm that does not belong to the key none is."""
    try:
        if algorithm is Algorithm.ECDSA_P256_SHA256 and isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, _ECDSA)
            return True
        if algorithm is Algorithm.RSA_PKCS1_SHA256 and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, _PKCS1, _SHA256)
            return True
    except InvalidSignature:
        return False
    return False
