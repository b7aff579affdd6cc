"""The TEST hierarchy of demo, tests and users who try the system: never trusted by a production node.

A folder holds one root, two issuing authorities (documents and transport, so that their trust may be kept
apart), their revocation lists, and a sub-folder for each certificate, named after its identity and purpose.
"""

from __future__ import annotations

import functools
import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import TypedDict, Unpack

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from lienthong.clock import Clock
from lienthong.files import write_whole
from lienthong.pki import usage
from lienthong.pki.identity import STANDALONE, Identity, Kind
from lienthong.pki.issuing import (
    Authority,
    Issued,
    KeyPair,
    Profile,
    clipped,
    issue,
    name_of,
    new_authority,
    revocation_list,
    write_private,
    write_public,
)

LIFETIME = timedelta(days=825)
BACKDATED = timedelta(days=30)
AUTHORITIES = ("document", "transport")


class Options(TypedDict, total=False):
    """What may be wrong, for a negative test; `label` keeps the files apart from the good certificate's."""

    not_before: datetime
    not_after: datetime
    revoked: bool
    label: str


class TestAuthority:
    """Issues TEST certificates into a folder. Thread-safe; a second issue replaces the first."""

    __test__ = False  # pytest: not a test class

    def __init__(
        self, folder: Path, now: Callable[[], datetime], trust_domain: str, authorities: dict[str, Authority]
    ) -> None:
        self.folder = folder
        self.trust_domain = trust_domain
        self._now = now
        self._authorities = authorities
        self._revocations = threading.Lock()

    @classmethod
    def create(
        cls, folder: Path, clock: Clock | datetime, trust_domain: str = "lienthong.test"
    ) -> TestAuthority:
        """A new hierarchy in `folder`, which must not hold one yet."""
        now = _now(clock)
        (folder / "ca").mkdir(parents=True, exist_ok=True)
        root = new_authority(folder / "ca" / "root", "TEST Root CA - MẪU", now(), None)
        authorities = {"root": root}
        for name in AUTHORITIES:
            title = f"TEST {name.capitalize()} CA - MẪU"
            authorities[name] = new_authority(folder / "ca" / name, title, now(), root)
        write_public(folder / "roots.pem", root.certificate)
        for name in AUTHORITIES:
            write_public(folder / f"{name}-chain.pem", authorities[name].certificate, root.certificate)
        # Last: who finds it may trust that the rest is whole.
        state = json.dumps({"trust_domain": trust_domain, "revoked": {}})
        write_whole(folder / "authority.json", state.encode())
        created = cls(folder, now, trust_domain, authorities)
        created.write_crl()
        return created

    @classmethod
    def open(cls, folder: Path, clock: Clock | datetime) -> TestAuthority:
        state = json.loads((folder / "authority.json").read_text())
        authorities = {name: Authority.load(folder / "ca" / name) for name in ("root", *AUTHORITIES)}
        return cls(folder, _now(clock), state["trust_domain"], authorities)

    @property
    def roots_path(self) -> Path:
        return self.folder / "roots.pem"

    @property
    def document_chain_path(self) -> Path:
        """The issuing authority of documents and envelopes, then the root."""
        return self.folder / "document-chain.pem"

    @property
    def transport_chain_path(self) -> Path:
        return self.folder / "transport-chain.pem"

    @property
    def crl_paths(self) -> tuple[Path, ...]:
        return tuple(self.folder / "crl" / f"{name}.crl" for name in ("root", *AUTHORITIES))

    def root(self) -> x509.Certificate:
        return self._authorities["root"].certificate

    def intermediates(self) -> tuple[x509.Certificate, ...]:
        return tuple(self._authorities[name].certificate for name in AUTHORITIES)

    # -- transport -------------------------------------------------------------------------------------------

    def tls_node(
        self, node: str, service: str = "node", dns: Sequence[str] = (), **options: Unpack[Options]
    ) -> Issued:
        identity = Identity(self.trust_domain, Kind.NODE, node=node, service=service)
        names = ("localhost", f"{node.lower()}.node.lienthong", *dns)
        profile = Profile(
            title=f"TEST {node} {service} - MẪU",
            usages=(usage.SERVER_AUTH, usage.CLIENT_AUTH),
            names=(*map(x509.DNSName, dict.fromkeys(names)), x509.IPAddress(IPv4Address("127.0.0.1"))),
        )
        return self._issue("transport", identity, "tls", profile, new_p256, options)

    def tls_client(
        self, organization: str, kind: Kind | str, name: str, **options: Unpack[Options]
    ) -> Issued:
        """A client's certificate; `organization` is empty for operators and auditors."""
        kind = Kind(kind)
        owner = "" if kind in STANDALONE else organization
        identity = Identity(self.trust_domain, kind, organization=owner, name=name)
        profile = Profile(title=f"TEST {organization} {kind.value} {name} - MẪU", usages=(usage.CLIENT_AUTH,))
        return self._issue("transport", identity, "tls", profile, new_p256, options)

    # -- envelopes and documents -----------------------------------------------------------------------------

    def node_signer(self, node: str, **options: Unpack[Options]) -> Issued:
        """The key with which a node signs receipts in its own name."""
        identity = Identity(self.trust_domain, Kind.NODE, node=node)
        profile = Profile(f"TEST {node} node signer - MẪU", (usage.ENVELOPE_SIGNING,))
        return self._issue("document", identity, "envelope", profile, new_p256, options)

    def organization_envelope(
        self, organization: str, display_name: str = "", **options: Unpack[Options]
    ) -> Issued:
        identity = Identity(self.trust_domain, Kind.ORGANIZATION, organization=organization)
        profile = Profile(
            title=_marked(f"{display_name or organization} - envelope"),
            usages=(usage.ENVELOPE_SIGNING,),
            organization=display_name or organization,
            organization_code=organization,
        )
        return self._issue("document", identity, "envelope", profile, new_p256, options)

    def agency_seal(self, organization: str, display_name: str, **options: Unpack[Options]) -> Issued:
        """The agency's key for the red seal: RSA, as the Government's own authority issues them."""
        identity = Identity(self.trust_domain, Kind.ORGANIZATION, organization=organization)
        profile = _document_profile(display_name, display_name, organization)
        return self._issue("document", identity, "seal", profile, new_rsa, options)

    def leader(
        self,
        organization: str,
        name: str,
        display_name: str,
        agency_name: str = "",
        **options: Unpack[Options],
    ) -> Issued:
        return self._person(Kind.LEADER, organization, name, (display_name, agency_name), options)

    def clerk(
        self,
        organization: str,
        name: str,
        display_name: str,
        agency_name: str = "",
        **options: Unpack[Options],
    ) -> Issued:
        return self._person(Kind.CLERK, organization, name, (display_name, agency_name), options)

    def timestamp_authority(self, name: str = "test", **options: Unpack[Options]) -> Issued:
        identity = Identity(self.trust_domain, Kind.TSA, name=name)
        # RFC 3161, 2.3: the one purpose, and critical.
        profile = Profile(f"TEST TSA {name} - MẪU", (usage.TIME_STAMPING,), usages_critical=True)
        return self._issue("document", identity, "timestamp", profile, new_p256, options)

    # -- many, existing, revoked -----------------------------------------------------------------------------

    def issue_many(self, requests: Sequence[Callable[[], Issued]]) -> list[Issued]:
        """Runs the given calls of this object on all processors: making RSA keys is what takes long."""
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            return list(pool.map(lambda request: request(), requests))

    def issued(self, path: str, purpose: str, label: str = "") -> Issued:
        """What was issued earlier: issued("org/G22", "seal"), issued("node/H01/node", "tls")."""
        found = Issued(self.folder / "issued" / path / _folder_name(purpose, label))
        if not found.certificate_path.exists():
            raise FileNotFoundError(found.certificate_path)
        return found

    def revoke(self, certificate: x509.Certificate, at: datetime | None = None) -> None:
        """Takes effect for others with the next `write_crl`."""
        moment = (at or self._now()).isoformat(timespec="seconds")
        authority = next(
            n for n, a in self._authorities.items() if a.certificate.subject == certificate.issuer
        )
        with self._revocations:
            state = self._state()
            state["revoked"].setdefault(authority, {})[f"{certificate.serial_number:x}"] = moment
            write_whole(self.folder / "authority.json", json.dumps(state).encode())

    def write_crl(self) -> tuple[Path, ...]:
        """Writes the revocation list of each authority (DER) with what is revoked so far."""
        with self._revocations:
            state = self._state()
            for name, path in zip(("root", *AUTHORITIES), self.crl_paths, strict=True):
                revoked = {
                    int(serial, 16): datetime.fromisoformat(moment)
                    for serial, moment in state["revoked"].get(name, {}).items()
                }
                path.parent.mkdir(exist_ok=True)
                crl = revocation_list(self._authorities[name], self._now(), revoked)
                write_whole(path, crl, durable=False)
        return self.crl_paths

    def _state(self) -> dict[str, dict[str, dict[str, str]]]:
        loaded: dict[str, dict[str, dict[str, str]]] = json.loads(
            (self.folder / "authority.json").read_text()
        )
        return loaded

    def _person(
        self, kind: Kind, organization: str, name: str, titles: tuple[str, str], options: Options
    ) -> Issued:
        identity = Identity(self.trust_domain, kind, organization=organization, name=name)
        display_name, agency_name = titles
        profile = _document_profile(display_name, agency_name or organization, organization)
        return self._issue("document", identity, "signing", profile, new_rsa, options)

    def _issue(
        self,
        authority: str,
        identity: Identity,
        purpose: str,
        profile: Profile,
        new_key: Callable[[], KeyPair],
        options: Options,
    ) -> Issued:
        now, key = self._now(), new_key()
        starts = options.get("not_before", now - BACKDATED)
        ends = options.get("not_after", now + LIFETIME)
        issuer = self._authorities[authority]
        certificate = issue(issuer, name_of(profile), key.public_key(), (starts, ends), profile, identity.uri)
        written = Issued(
            self.folder / "issued" / identity.path / _folder_name(purpose, options.get("label", ""))
        )
        written.folder.mkdir(parents=True, exist_ok=True)
        # Not durable, which would take long for many: who needs them asks whether they are whole.
        write_private(written.key_path, key, durable=False)
        write_public(written.certificate_path, certificate, durable=False)
        write_public(written.chain_path, certificate, issuer.certificate, durable=False)
        if options.get("revoked"):
            self.revoke(certificate)
            self.write_crl()
        return written


def new_p256() -> KeyPair:
    return ec.generate_private_key(ec.SECP256R1())


def new_rsa() -> KeyPair:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _document_profile(title: str, organization: str, code: str) -> Profile:
    return Profile(
        title=_marked(title),
        usages=(usage.DOCUMENT_SIGNING, usage.EMAIL_PROTECTION),
        organization=organization,
        organization_code=code,
        non_repudiation=True,
    )


def _marked(title: str) -> str:
    return clipped(title, " (TEST - MẪU)")


def _folder_name(purpose: str, label: str) -> str:
    return f"{purpose}-{label}" if label else purpose


def _now(clock: Clock | datetime) -> Callable[[], datetime]:
    if isinstance(clock, datetime):
        return functools.partial(_same, clock)
    return clock.now


def _same(moment: datetime) -> datetime:
    return moment
