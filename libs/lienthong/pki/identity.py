"""Identities: the SPIFFE-style URI in a certificate, and the value it stands for.

One identity has exactly one spelling: what parses formats back to the same text, so identities may be
compared as text or as values. Nothing is normalised on the way in: any other spelling is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from lienthong.errors import InvalidArgument

SCHEME = "spiffe://"
MAX_URI_LENGTH = 512
MAX_CODE_LENGTH = 35  # QĐ 20/2020/QĐ-TTg, article 4

_TRUST_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,126}[a-z0-9])?", re.ASCII)
_CODE = re.compile(r"[A-Z0-9]+(?:\.[A-Z0-9]+)*", re.ASCII)
_NAME = re.compile(r"[a-z0-9-]{1,63}", re.ASCII)


class Kind(StrEnum):
    NODE = "node"
    ORGANIZATION = "org"
    LEADER = "leader"
    CLERK = "clerk"
    CLIENT = "client"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    TSA = "tsa"


MEMBERS = frozenset({Kind.LEADER, Kind.CLERK, Kind.CLIENT})
"""Persons and software of an organization."""
STANDALONE = frozenset({Kind.OPERATOR, Kind.AUDITOR, Kind.TSA})
"""Known by a name alone."""


@dataclass(frozen=True, slots=True)
class Identity:
    """`service` is empty for a node's envelope-signing key, "node" for a process with all five services."""

    trust_domain: str
    kind: Kind
    node: str = ""
    service: str = ""
    organization: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        _check("trust domain", self.trust_domain, _TRUST_DOMAIN.fullmatch(self.trust_domain) is not None)
        _check(
            "node", self.node, _present(self.node, self.kind is Kind.NODE) and is_code(self.node, empty=True)
        )
        _check(
            "service", self.service, not self.service or (self.kind is Kind.NODE and is_name(self.service))
        )
        has_organization = self.kind is Kind.ORGANIZATION or self.kind in MEMBERS
        has_name = self.kind in MEMBERS or self.kind in STANDALONE
        code, name = self.organization, self.name
        _check("organization", code, _present(code, has_organization) and is_code(code, empty=True))
        _check("name", name, _present(name, has_name) and (not name or is_name(name)))

    @property
    def path(self) -> str:
        match self.kind:
            case Kind.NODE:
                return f"node/{self.node}/{self.service}" if self.service else f"node/{self.node}"
            case Kind.ORGANIZATION:
                return f"org/{self.organization}"
            case Kind.LEADER | Kind.CLERK | Kind.CLIENT:
                return f"org/{self.organization}/{self.kind.value}/{self.name}"
            case Kind.OPERATOR | Kind.AUDITOR | Kind.TSA:
                return f"{self.kind.value}/{self.name}"

    @property
    def uri(self) -> str:
        return f"{SCHEME}{self.trust_domain}/{self.path}"

    def __str__(self) -> str:
        return self.uri


def is_code(text: str, *, empty: bool = False) -> bool:
    """Whether this is the shape of an organization's or node's code."""
    return (empty and not text) or (len(text) <= MAX_CODE_LENGTH and _CODE.fullmatch(text) is not None)


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def parse_identity(uri: str) -> Identity:
    """The identity that `uri` spells, or InvalidArgument("IDENTITY_MALFORMED")."""
    if len(uri) > MAX_URI_LENGTH or not uri.startswith(SCHEME):
        raise _malformed("uri", uri)
    domain, *segments = uri[len(SCHEME) :].split("/")
    match segments:
        case ["node", node]:
            found = Identity(domain, Kind.NODE, node=node)
        case ["node", node, service] if service:
            found = Identity(domain, Kind.NODE, node=node, service=service)
        case ["org", organization]:
            found = Identity(domain, Kind.ORGANIZATION, organization=organization)
        case ["org", organization, "leader" | "clerk" | "client" as kind, name]:
            found = Identity(domain, Kind(kind), organization=organization, name=name)
        case ["operator" | "auditor" | "tsa" as kind, name]:
            found = Identity(domain, Kind(kind), name=name)
        case _:
            raise _malformed("uri", uri)
    return found


def identity_of(certificate: x509.Certificate) -> Identity:
    """The one identity in the certificate's subject alternative names.

    InvalidArgument: IDENTITY_MISSING (no such URI: state-issued certificates are bound by fingerprint),
    IDENTITY_AMBIGUOUS (SPIFFE X.509-SVID, section 2: one URI and no more), IDENTITY_MALFORMED.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise InvalidArgument("IDENTITY_MALFORMED", "the certificate's extensions cannot be read") from error
    if not any(uri.startswith(SCHEME) for uri in uris):
        raise InvalidArgument("IDENTITY_MISSING", "the certificate carries no identity")
    if len(uris) != 1:
        raise InvalidArgument("IDENTITY_AMBIGUOUS", "the certificate carries more than one identity")
    return parse_identity(uris[0])


def _present(text: str, wanted: bool) -> bool:
    return bool(text) == wanted


def _check(part: str, text: str, good: bool) -> None:
    if not good:
        raise _malformed(part, text)


def _malformed(part: str, text: str) -> InvalidArgument:
    shown = text[:MAX_URI_LENGTH]
    return InvalidArgument(
        "IDENTITY_MALFORMED", f"the identity's {part} is malformed", part=part, value=shown
    )
