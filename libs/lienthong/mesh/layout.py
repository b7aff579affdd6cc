"""Where the files of a mesh lie, and nothing else.

mesh.yaml                 what was decided when the mesh was made; `lienthong up --data` needs nothing else
profiles.yaml             how each person and operator connects
pki/                      certificates; pki/issued/org/G22/clerk/<name>/tls is a client's (README.md)
organizations.yaml        the directory that every node of a short-lived mesh imports at its start
run/                      lock, state.yaml, log of the supervisor
postgres/                 the embedded PostgreSQL's data, where no other server is used
nodes/H01/settings.yaml   what the node's process is told
nodes/H01/keys/           copies of the keys that this node serves, and no others
nodes/H01/{tls,tsa,crl,storage,spool}/  spans.jsonl  log
nodes/H01/processes/routing/{settings.yaml,tls/,spans.jsonl,log}   where each service is a process
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lienthong.mesh.parts import WHOLE, Part
from lienthong.pki.issuing import Issued
from lienthong.settings import TlsSettings


@dataclass(frozen=True, slots=True)
class ProcessLayout:
    """What belongs to one process: settings, TLS certificate, log, spans."""

    folder: Path
    roots: Path

    @property
    def settings(self) -> Path:
        return self.folder / "settings.yaml"

    @property
    def tls_folder(self) -> Path:
        return self.folder / "tls"

    @property
    def tls(self) -> TlsSettings:
        folder = self.tls_folder
        return TlsSettings(certificate=folder / "chain.pem", key=folder / "key.pem", roots=self.roots)

    @property
    def spans(self) -> Path:
        return self.folder / "spans.jsonl"

    @property
    def log(self) -> Path:
        return self.folder / "log"


@dataclass(frozen=True, slots=True)
class NodeLayout:
    """The folder of one node: everything its operator would have on the machine."""

    folder: Path

    def process(self, service: str = WHOLE) -> ProcessLayout:
        """The files of one of its processes."""
        own = self.folder if service == WHOLE else self.folder / "processes" / service
        return ProcessLayout(own, self.roots)

    @property
    def settings(self) -> Path:
        return self.process().settings

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
    def crl_folder(self) -> Path:
        return self.folder / "crl"

    @property
    def crls(self) -> list[Path]:
        return sorted(self.crl_folder.glob("*.crl"))

    @property
    def tls(self) -> TlsSettings:
        return self.process().tls

    @property
    def storage(self) -> Path:
        return self.folder / "storage"

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    @property
    def spans(self) -> Path:
        return self.process().spans

    @property
    def log(self) -> Path:
        return self.process().log

    @property
    def directory(self) -> Path:
        """Rows of the directory that this node is still to import, see directory_news.py."""
        return self.folder / "organizations.yaml"

    @property
    def snapshot(self) -> Path:
        """The directory that the parent gave when the node enrolled."""
        return self.folder / "snapshot.yaml"

    @property
    def imported(self) -> Path:
        return self.folder / "imported.yaml"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of a mesh. `own_pki` is a folder of certificates that somebody else keeps."""

    folder: Path
    own_pki: Path | None = None

    @property
    def plan(self) -> Path:
        return self.folder / "mesh.yaml"

    @property
    def profiles(self) -> Path:
        return self.folder / "profiles.yaml"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def state(self) -> Path:
        return self.run / "state.yaml"

    @property
    def supervisor_log(self) -> Path:
        return self.run / "supervisor.log"

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def postgres_url(self) -> Path:
        """The URL of another's PostgreSQL, with its password: for the owner's eyes only."""
        return self.folder / "postgres-url"

    @property
    def pki(self) -> Path:
        return self.own_pki or self.folder / "pki"

    @property
    def roots(self) -> Path:
        return self.pki / "roots.pem"

    @property
    def document_chain(self) -> Path:
        return self.pki / "document-chain.pem"

    @property
    def crls(self) -> list[Path]:
        return sorted((self.pki / "crl").glob("*.crl"))

    @property
    def organizations(self) -> Path:
        return self.folder / "organizations.yaml"

    @property
    def nodes(self) -> Path:
        return self.folder / "nodes"

    def node(self, node: str) -> NodeLayout:
        return NodeLayout(self.nodes / node)

    def lived(self) -> list[str]:
        """Nodes that served once: their databases and keys hold what cannot be made again."""
        return sorted(file.parent.name for file in self.nodes.glob("*/imported.yaml"))

    def part(self, part: Part) -> ProcessLayout:
        """The files of one process."""
        return self.node(part.node).process(part.service)

    def spans(self) -> list[Path]:
        """The files of spans that the nodes wrote until now."""
        return sorted(self.nodes.rglob("spans.jsonl"))

    def issued(self, path: str, purpose: str) -> Issued:
        """The files of one certificate: issued("org/G22/leader/nguyen-van-mau", "signing")."""
        return Issued(self.pki / "issued" / path / purpose)

    def tls(self, path: str) -> TlsSettings:
        """How "org/G22/clerk/<name>" or "operator/<name>" connects."""
        files = self.issued(path, "tls")
        return TlsSettings(certificate=files.chain_path, key=files.key_path, roots=self.roots)
