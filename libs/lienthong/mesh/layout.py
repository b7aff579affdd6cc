"""Where the files of a mesh lie, and nothing else.

pki/                      the TEST hierarchy; pki/issued/org/G22/clerk/<name>/tls is a client's
organizations.yaml        the directory that every node imports at its start
nodes/H01/settings.yaml   what the node's process is told
nodes/H01/keys/           copies of the keys that this node serves, and no others
nodes/H01/{tls,tsa,crl,storage,spool}/  spans.jsonl  log
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lienthong.pki.issuing import Issued
from lienthong.settings import TlsSettings


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """The folder of one node: everything its operator would have on the machine."""

    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / "settings.yaml"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def timestamps(self) -> Path:
        """Key and chain of the node's timestamp authority."""
        return self.folder / "tsa"

    @property
    def roots(self) -> Path:
        return self.folder / "roots.pem"

    @property
    def document_chain(self) -> Path:
        """Issuing authorities of documents and envelopes."""
        return self.folder / "document-chain.pem"

    @property
    def crls(self) -> list[Path]:
        return sorted((self.folder / "crl").glob("*.crl"))

    @property
    def tls(self) -> TlsSettings:
        folder = self.folder / "tls"
        return TlsSettings(certificate=folder / "chain.pem", key=folder / "key.pem", roots=self.roots)

    @property
    def storage(self) -> Path:
        return self.folder / "storage"

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    @property
    def spans(self) -> Path:
        return self.folder / "spans.jsonl"

    @property
    def log(self) -> Path:
        return self.folder / "log"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of a mesh."""

    folder: Path

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def roots(self) -> Path:
        return self.pki / "roots.pem"

    @property
    def organizations(self) -> Path:
        return self.folder / "organizations.yaml"

    def node(self, node: str) -> NodeLayout:
        return NodeLayout(self.folder / "nodes" / node)

    def spans(self) -> list[Path]:
        """The files of spans that the nodes wrote until now."""
        return sorted(self.folder.glob("nodes/*/spans.jsonl"))

    def issued(self, path: str, purpose: str) -> Issued:
        """The files of one certificate: issued("org/G22/leader/nguyen-van-mau", "signing")."""
        return Issued(self.pki / "issued" / path / purpose)

    def tls(self, path: str) -> TlsSettings:
        """How "org/G22/clerk/<name>" or "operator/<name>" connects."""
        files = self.issued(path, "tls")
        return TlsSettings(certificate=files.chain_path, key=files.key_path, roots=self.roots)
