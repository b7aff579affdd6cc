"""Building certificates and revocation lists, and the files they are kept in. For the TEST hierarchy only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID, ObjectIdentifier
from lienthong.files import write_whole
from lienthong.pki.usage import key_usage

KeyPair = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_AUTHORITY_BEFORE = timedelta(days=3650)
_AUTHORITY_AFTER = timedelta(days=7300)
_CRL_LIFETIME = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Profile:
    """What goes into an end certificate besides its identity and validity."""

    title: str
    usages: tuple[ObjectIdentifier, ...]
    names: tuple[x509.GeneralName, ...] = ()
    organization: str = "Liên Thông TEST - MẪU"
    organization_code: str = ""
    non_repudiation: bool = False
    usages_critical: bool = False


@dataclass(frozen=True, slots=True)
class Issued:
    """The files of one certificate. A TLS endpoint is given `chain_path`, `key_path` and the roots."""

    folder: Path

    @property
    def certificate_path(self) -> Path:
        return self.folder / "certificate.pem"

    @property
    def key_path(self) -> Path:
        return self.folder / "key.pem"

    @property
    def chain_path(self) -> Path:
        """The certificate, then its issuing authority; the root is not repeated."""
        return self.folder / "chain.pem"

    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate_path.read_bytes())

    def key(self) -> KeyPair:
        return load_key(self.key_path)

    def chain(self) -> tuple[x509.Certificate, ...]:
        return tuple(x509.load_pem_x509_certificates(self.chain_path.read_bytes()))

    def chain_der(self) -> tuple[bytes, ...]:
        return tuple(certificate.public_bytes(Encoding.DER) for certificate in self.chain())


@dataclass(frozen=True, slots=True)
class Authority:
    certificate: x509.Certificate
    key: KeyPair

    @classmethod
    def load(cls, folder: Path) -> Authority:
        files = Issued(folder)
        return cls(files.certificate(), files.key())


def new_authority(folder: Path, title: str, now: datetime, parent: Authority | None) -> Authority:
    """A root (P-384) where there is no parent, else an authority (P-256) that issues end certificates."""
    key = ec.generate_private_key(ec.SECP256R1() if parent else ec.SECP384R1())
    subject = name_of(Profile(title, ()))
    issuer, signer = (parent.certificate.subject, parent.key) if parent else (subject, key)
    builder = _builder(subject, issuer, key.public_key(), (now - _AUTHORITY_BEFORE, now + _AUTHORITY_AFTER))
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0 if parent else 1), critical=True)
        .add_extension(key_usage(authority=True), critical=True)
        .add_extension(_authority_key_identifier(signer), critical=False)
    )
    files = Issued(folder)
    folder.mkdir(exist_ok=False)
    authority = Authority(builder.sign(signer, hashes.SHA256()), key)
    write_private(files.key_path, key)
    write_public(files.certificate_path, authority.certificate)
    return authority


def issue(
    issuer: Authority,
    subject: x509.Name,
    public_key: PublicKey,
    validity: tuple[datetime, datetime],
    profile: Profile,
    uri: str,
) -> x509.Certificate:
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), *profile.names])
    usages = key_usage(digital_signature=True, content_commitment=profile.non_repudiation)
    return (
        _builder(subject, issuer.certificate.subject, public_key, validity)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usages, critical=True)
        .add_extension(x509.ExtendedKeyUsage(profile.usages), critical=profile.usages_critical)
        .add_extension(names, critical=False)
        .add_extension(_authority_key_identifier(issuer.key), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )


def revocation_list(issuer: Authority, now: datetime, revoked: dict[int, datetime]) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(now - timedelta(hours=1))
        .next_update(now + _CRL_LIFETIME)
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        .add_extension(_authority_key_identifier(issuer.key), critical=False)
    )
    for serial, moment in sorted(revoked.items()):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment)
        reason = x509.CRLReason(x509.ReasonFlags.key_compromise)
        builder = builder.add_revoked_certificate(entry.add_extension(reason, critical=False).build())
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def name_of(profile: Profile) -> x509.Name:
    parts = [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "VN"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, profile.organization[:64]),
        x509.NameAttribute(NameOID.COMMON_NAME, clipped(profile.title)),
    ]
    if profile.organization_code:
        parts.insert(2, x509.NameAttribute(NameOID.ORGANIZATION_IDENTIFIER, profile.organization_code))
    return x509.Name(parts)


def clipped(text: str, mark: str = "") -> str:
    """`text` and `mark` in the 64 bytes that `cryptography` allows a common name (X.520: 64 characters)."""
    room = 64 - len(mark.encode())
    return text.encode()[:room].decode(errors="ignore") + mark


def load_key(path: Path) -> KeyPair:
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise TypeError(f"neither an elliptic-curve nor an RSA key: {type(key).__name__}")
    return key


def write_public(path: Path, *certificates: x509.Certificate, durable: bool = True) -> None:
    content = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)
    write_whole(path, content, durable=durable)


def write_private(path: Path, key: KeyPair, *, durable: bool = True) -> None:
    """PKCS#8, readable by the owner from the first moment that the file exists."""
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_whole(path, content, mode=0o600, durable=durable)


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: PublicKey, validity: tuple[datetime, datetime]
) -> x509.CertificateBuilder:
    starts, ends = (moment.replace(microsecond=0) for moment in validity)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _authority_key_identifier(key: KeyPair) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
