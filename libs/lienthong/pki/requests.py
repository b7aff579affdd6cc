"""Certificate requests (PKCS#10) of a node that joins, and what its parent's issuing authority grants."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from lienthong.errors import FailedPrecondition, InvalidArgument
from lienthong.pki import usage
from lienthong.pki.identity import Identity, Kind, parse_identity
from lienthong.pki.issuing import Authority, KeyPair, Profile, issue, name_of
from lienthong.rpc.identity import node_dns_name

MAX_REQUESTS: Final = 8
MAX_REQUEST_BYTES: Final = 8 * 1024
LIFETIME: Final = timedelta(days=825)
_BACKDATED: Final = timedelta(hours=1)  # the newcomer's clock may be behind


@dataclass(frozen=True, slots=True)
class Issuers:
    """The authorities that a node may issue with; their chains follow each certificate."""

    transport: Authority
    document: Authority

    @classmethod
    def load(cls, transport: Path, document: Path) -> Issuers:
        """From two folders with `certificate.pem` and `key.pem` each."""
        return cls(Authority.load(transport), Authority.load(document))


def certificate_request(key: KeyPair, identity: Identity) -> bytes:
    """Ask for a certificate of this identity (DER)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, identity.path[:64])])
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity.uri)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name).add_extension(names, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def grant(
    requests: Sequence[bytes], allowed: Collection[str], issuers: Issuers | None, now: datetime
) -> list[bytes]:
    """A chain (PEM, leaf first) for each request, or nothing for any.

    `allowed` are identity paths ("node/H01.20/routing"). InvalidArgument("CERTIFICATE_REQUEST_INVALID") names
    the request; FailedPrecondition("ISSUER_MISSING") where something is asked for and nothing may be issued.
    """
    if len(requests) > MAX_REQUESTS:
        raise _invalid(MAX_REQUESTS, f"more than {MAX_REQUESTS} requests")
    if requests and issuers is None:
        raise FailedPrecondition("ISSUER_MISSING", "this node may issue no certificates")
    return [_granted(place, der, allowed, issuers, now) for place, der in enumerate(requests) if issuers]


def _granted(place: int, der: bytes, allowed: Collection[str], issuers: Issuers, now: datetime) -> bytes:
    request = _read(place, der)
    identity = _asked(place, request)
    if identity.path not in allowed:
        raise _invalid(place, f"{identity.path} is not granted here")
    is_transport = bool(identity.service)
    issuer = issuers.transport if is_transport else issuers.document
    key = request.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey), "checked by _read"
    profile = _profile(identity)
    validity = (now - _BACKDATED, min(now + LIFETIME, issuer.certificate.not_valid_after_utc))
    leaf = issue(issuer, name_of(profile), key, validity, profile, identity.uri)
    return leaf.public_bytes(Encoding.PEM) + issuer.certificate.public_bytes(Encoding.PEM)


def _profile(identity: Identity) -> Profile:
    if not identity.service:
        return Profile(f"{identity.node or identity.organization} envelope", (usage.ENVELOPE_SIGNING,))
    return Profile(
        title=f"{identity.node} {identity.service}",
        usages=(usage.SERVER_AUTH, usage.CLIENT_AUTH),
        names=(
            x509.DNSName(node_dns_name(identity.node)),
            x509.DNSName("localhost"),
            x509.IPAddress(IPv4Address("127.0.0.1")),
        ),
    )


def _read(place: int, der: bytes) -> x509.CertificateSigningRequest:
    try:
        request = x509.load_der_x509_csr(der) if len(der) <= MAX_REQUEST_BYTES else None
        if request is None or not request.is_signature_valid:
            raise _invalid(place, "it is too large, or not signed by its own key")
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise _invalid(place, "it cannot be read") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _invalid(place, "the key is not P-256")
    return request


def _asked(place: int, request: x509.CertificateSigningRequest) -> Identity:
    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        [uri] = names.get_values_for_type(x509.UniformResourceIdentifier)
        return parse_identity(uri)
    except (x509.ExtensionNotFound, ValueError, InvalidArgument):
        raise _invalid(place, "it names no identity, or several") from None


def _invalid(place: int, problem: str) -> InvalidArgument:
    field = f"certificate_requests[{place}]"
    return InvalidArgument("CERTIFICATE_REQUEST_INVALID", f"{field}: {problem}", field=field)


def identities_of(node: str, organization: str, trust_domain: str, services: Sequence[str]) -> list[Identity]:
    """What a new node asks certificates for: its services, its own envelopes, its organization's."""
    return [
        *(Identity(trust_domain, Kind.NODE, node=node, service=service) for service in services),
        Identity(trust_domain, Kind.NODE, node=node),
        Identity(trust_domain, Kind.ORGANIZATION, organization=organization),
    ]
