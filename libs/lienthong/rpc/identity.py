"""Who calls: the identity in the certificate of the TLS peer.

    spiffe://<trust domain>/node/H01/routing            one service of a node ("node": all in one process)
    spiffe://<trust domain>/org/G22/{leader,clerk,client}/<name>
    spiffe://<trust domain>/{operator,auditor}/<name>

Certificates that only sign (an agency's, a node's envelope key, a timestamp authority's) open no connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from lienthong.errors import InvalidArgument, PermissionDenied, Unauthenticated
from lienthong.pki.identity import Identity, Kind, identity_of, parse_identity


class CallerKind(StrEnum):
    """What a caller is."""

    NODE = "node"
    ORGANIZATION = "organization"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    NEWCOMER = "newcomer"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller; fields that its kind does not have are empty.

    `role` is leader, clerk or client for an organization. `fingerprint` is the SHA-256 of the certificate.
    """

    trust_domain: str
    kind: CallerKind
    node: str = ""
    service: str = ""
    organization: str = ""
    role: str = ""
    name: str = ""
    fingerprint: str = ""

    def __str__(self) -> str:
        if self.kind is CallerKind.NODE:
            return f"node/{self.node}/{self.service}"
        if self.kind is CallerKind.ORGANIZATION:
            return f"org/{self.organization}/{self.role}/{self.name}"
        return f"{self.kind}/{self.name}"


_caller: ContextVar[Caller] = ContextVar("caller")


def current_caller() -> Caller:
    """Who made the call that is being served, or raise Unauthenticated outside of one."""
    try:
        return _caller.get()
    except LookupError:
        raise Unauthenticated("IDENTITY_UNKNOWN", "no call is being served") from None


def set_current_caller(caller: Caller) -> None:
    """Remember the caller for the rest of this call's task (each call runs in a task of its own)."""
    _caller.set(caller)


def node_dns_name(node: str) -> str:
    """The DNS name in the TLS certificates of a node's services, which its callers expect."""
    return f"{node.lower()}.node.lienthong"


def parse_caller(uri: str) -> Caller | None:
    """Read an identity URI; None when it names nothing that may open a connection."""
    try:
        return _caller_of(parse_identity(uri))
    except InvalidArgument:
        return None


def _caller_of(identity: Identity) -> Caller | None:
    domain = identity.trust_domain
    match identity.kind:
        case Kind.NODE if identity.service:
            return Caller(domain, CallerKind.NODE, node=identity.node, service=identity.service)
        case Kind.LEADER | Kind.CLERK | Kind.CLIENT as role:
            organization = identity.organization
            return Caller(
                domain,
                CallerKind.ORGANIZATION,
                organization=organization,
                role=role.value,
                name=identity.name,
            )
        case Kind.OPERATOR | Kind.AUDITOR as kind:
            return Caller(domain, CallerKind(kind.value), name=identity.name)
        case _:
            return None


class Identities:
    """Tells callers by their certificates.

    `bindings` (fingerprint -> identity URI) names those whose certificates the state issued without a URI.
    """

    def __init__(self, trust_domain: str, bindings: Mapping[str, str] | None = None) -> None:
        self._trust_domain = trust_domain
        self._bindings = dict(bindings or {})

    def caller(self, auth_context: Mapping[str, Iterable[bytes]]) -> Caller:
        """The caller of a connection, or raise Unauthenticated / PermissionDenied (foreign trust domain)."""
        certificates = tuple(auth_context.get("x509_pem_cert", ()))
        if len(certificates) != 1:
            raise Unauthenticated("IDENTITY_UNKNOWN", "the connection has no client certificate")
        caller, fingerprint = _read(certificates[0])
        if caller is None and fingerprint in self._bindings:
            caller = parse_caller(self._bindings[fingerprint])
        if caller is None:
            raise Unauthenticated(
                "IDENTITY_UNKNOWN", "the certificate names no identity", fingerprint=fingerprint
            )
        if caller.trust_domain != self._trust_domain:
            raise PermissionDenied(
                "TRUST_DOMAIN_FOREIGN",
                "the certificate belongs to another trust domain",
                trust_domain=caller.trust_domain,
            )
        return replace(caller, fingerprint=fingerprint)


class Newcomers(Identities):
    """For the one listener that asks for no certificate: whoever calls there is nobody yet."""

    def caller(self, auth_context: Mapping[str, Iterable[bytes]]) -> Caller:  # noqa: ARG002
        """A caller that may do nothing but show a token."""
        return Caller(self._trust_domain, CallerKind.NEWCOMER)


@lru_cache(maxsize=4096)
def _read(pem: bytes) -> tuple[Caller | None, str]:
    """The caller and the fingerprint of a certificate (cached: connections are few, calls are many).

    The certificate is read itself: gRPC's list of alternative names does not tell a URI from a DNS name.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise Unauthenticated("IDENTITY_UNKNOWN", "the certificate cannot be read") from None
    fingerprint = certificate.fingerprint(SHA256()).hex()
    try:
        return _caller_of(identity_of(certificate)), fingerprint
    except InvalidArgument as error:
        # Only what carries no identity may be given one by its fingerprint; two or a malformed one may not.
        if error.reason != "IDENTITY_MISSING":
            raise Unauthenticated(
                "IDENTITY_UNKNOWN", "the certificate names no identity", fingerprint=fingerprint
            ) from None
        return None, fingerprint
