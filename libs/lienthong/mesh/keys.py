"""Keys of a mesh: the TEST hierarchy in pki/, and each node's copies of what it serves, and no others."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from lienthong.clock import Clock
from lienthong.errors import FailedPrecondition
from lienthong.files import write_whole
from lienthong.mesh.certificates import Needed, needed, served_keys, tsa_name
from lienthong.mesh.layout import Layout, ProcessLayout
from lienthong.mesh.parts import Mode, parts_of
from lienthong.mesh.topology import Topology
from lienthong.pki.issuing import Issued
from lienthong.pki.testing import TestAuthority

# A certificate that ends sooner is made anew at a start: a mesh that stays outlives its certificates.
_RENEWAL: Final = timedelta(days=30)


def issue_all(topology: Topology, layout: Layout, clock: Clock, mode: Mode = "node") -> TestAuthority:
    """Make the hierarchy and every certificate of the topology, then fill the nodes' folders."""
    authority = TestAuthority.create(layout.pki, clock, topology.trust_domain)
    _issue(authority, needed(topology, mode))
    for node in topology.nodes:
        hand_over(topology, layout, node.node, mode)
    return authority


def issue_lacking(topology: Topology, layout: Layout, clock: Clock, mode: Mode) -> None:
    """Make what is not there yet, or ends soon; also after a start that was interrupted anywhere."""
    if (layout.pki / "authority.json").exists() and (layout.pki / "ca").exists():
        authority = _opened(layout, clock)
    else:
        _refuse_new_authority(layout)
        # Of a first start that was interrupted.
        shutil.rmtree(layout.pki / "ca", ignore_errors=True)
        layout.pki.mkdir(mode=0o700, exist_ok=True)
        authority = TestAuthority.create(layout.pki, clock, topology.trust_domain)
    _issue(authority, [one for one in needed(topology, mode) if not _lasts(layout, one, clock)])
    authority.write_crl()


def _refuse_new_authority(layout: Layout) -> None:
    """Of what nodes signed that lived, nothing could be verified under a new root."""
    lived = layout.lived()
    if lived:
        raise FailedPrecondition(
            "PKI_INCOMPLETE",
            f"{layout.pki / 'ca'} or authority.json is missing, and {', '.join(lived)} signed under it",
            path=layout.pki,
        )


def refresh_revocations(topology: Topology, layout: Layout, clock: Clock) -> None:
    """New revocation lists of the TEST hierarchy, which are good for a week, for every node."""
    _opened(layout, clock).write_crl()
    for node in topology.nodes:
        _copy_crls(layout, node.node)


def hand_over(topology: Topology, layout: Layout, node: str, mode: Mode = "node") -> None:
    """Copy to a node its own TLS and envelope keys, its timestamp key, and the keys of whom it serves."""
    own = layout.node(node)
    own.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _copy_file(layout.roots, own.roots)
    _copy_file(layout.document_chain, own.document_chain)
    _copy_crls(layout, node)
    for part in parts_of(node, mode):
        process: ProcessLayout = own.process(part.service)
        _copy(layout.issued(part.identity, "tls"), process.tls_folder)
    _copy(layout.issued(f"node/{node}", "envelope"), own.keys / "node" / node / "envelope")
    # Apart from the keys that sign documents: a timestamp authority's key signs nothing else.
    _copy(layout.issued(f"tsa/{tsa_name(node)}", "timestamp"), own.timestamps)
    for path, purpose in _served(topology, node):
        if layout.issued(path, purpose).key_path.exists():
            _copy(layout.issued(path, purpose), own.keys / path / purpose)


def _served(topology: Topology, node: str) -> Iterator[tuple[str, str]]:
    for organization in topology.served_by(node):
        yield from served_keys(organization)


def _issue(authority: TestAuthority, wanted: Sequence[Needed]) -> None:
    authority.issue_many([partial(one.make, authority) for one in wanted])


def _opened(layout: Layout, clock: Clock) -> TestAuthority:
    """The hierarchy that is there. A spoilt one is not made anew: all that it issued would be void."""
    try:
        return TestAuthority.open(layout.pki, clock)
    except (OSError, ValueError, TypeError, KeyError, UnsupportedAlgorithm) as error:
        raise FailedPrecondition(
            "PKI_UNUSABLE", f"the TEST authority in {layout.pki} cannot be read: {error}", path=layout.pki
        ) from None


def _lasts(layout: Layout, one: Needed, clock: Clock) -> bool:
    """Whether it is whole and good for long: a power cut may have left any of its files empty."""
    files = layout.issued(one.path, one.purpose)
    try:
        certificate, chain = files.certificate(), files.chain()
        # A client's key may have been carried to where its holder works.
        carried = one.optional and not files.key_path.exists()
        fits = carried or files.key().public_key() == certificate.public_key()
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return fits and chain[:1] == (certificate,) and certificate.not_valid_after_utc - clock.now() > _RENEWAL


def _copy_crls(layout: Layout, node: str) -> None:
    folder = layout.node(node).crl_folder
    folder.mkdir(parents=True, exist_ok=True)
    for crl in layout.crls:
        _copy_file(crl, folder / crl.name)


def _copy(files: Issued, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for file in (files.certificate_path, files.chain_path, files.key_path):
        _copy_file(file, folder / file.name, mode=0o600 if file == files.key_path else 0o644)


def _copy_file(source: Path, target: Path, mode: int = 0o644) -> None:
    """Replace what differs, at once: a node that runs reads certificates and lists again when they change."""
    content = source.read_bytes()
    if target.exists() and target.read_bytes() == content:
        return
    write_whole(target, content, mode=mode, durable=False)
