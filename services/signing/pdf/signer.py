"""A signer whose key stays loaded. pyHanko's own parses and checks the RSA key at every signature (80 ms)."""

# mypy: allow-untyped-calls

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

from asn1crypto import algos
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from lienthong.errors import InvalidArgument
from pyhanko.sign.signers import Signer
from pyhanko_certvalidator.registry import SimpleCertificateStore


class RawSigner(Protocol):
    """A private key wherever it is: a file, a token."""

    def sign(self, data: bytes) -> bytes:
        """PKCS#1 v1.5, or ECDSA in DER, over SHA-256 of the data."""
        ...


class LoadedKey:
    """A private key of a file."""

    def __init__(self, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def sign(self, data: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))


class DocumentSigner(Signer):
    """One certificate with its chain and key. Holds no state of a signature: threads share it."""

    def __init__(
        self, certificate: x509.Certificate, chain: Sequence[x509.Certificate], key: RawSigner
    ) -> None:
        self.certificate = certificate
        self.chain = tuple(other for other in chain if other != certificate)
        self._key = key
        store = SimpleCertificateStore()
        store.register_multiple(
            asn1_x509.Certificate.load(other.public_bytes(Encoding.DER)) for other in self.chain
        )
        super().__init__(
            signing_cert=asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER)),
            cert_registry=store,
            signature_mechanism=algos.SignedDigestAlgorithm({"algorithm": _mechanism(certificate)}),
            embed_roots=False,
        )

    @classmethod
    def load(cls, certificate_path: Path, key_path: Path, chain: Sequence[x509.Certificate]) -> Self:
        """Read a PEM certificate and PKCS#8 key; the key must belong to the certificate."""
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        key = load_pem_private_key(key_path.read_bytes(), None)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise InvalidArgument("KEY_UNSUPPORTED", "documents are signed with RSA or P-256 keys")
        if key.public_key() != certificate.public_key():
            raise InvalidArgument("KEY_CERTIFICATE_MISMATCH", "the key does not belong to the certificate")
        return cls(certificate, chain, LoadedKey(key))

    async def async_sign_raw(self, data: bytes, digest_algorithm: str, dry_run: bool = False) -> bytes:
        if digest_algorithm != "sha256":
            raise InvalidArgument("DIGEST_UNSUPPORTED", "documents are signed over SHA-256")
        if dry_run:
            return bytes(512)
        return self._key.sign(data)


def _mechanism(certificate: x509.Certificate) -> str:
    """ETSI TS 119 312 and what every judge we asked accepts; Ed25519 most do not."""
    match certificate.public_key():
        case rsa.RSAPublicKey() as key if key.key_size >= 2048:
            return "sha256_rsa"
        case ec.EllipticCurvePublicKey() as key if isinstance(key.curve, ec.SECP256R1):
            return "sha256_ecdsa"
    raise InvalidArgument("KEY_UNSUPPORTED", "documents are signed with RSA from 2048 bits or P-256")
