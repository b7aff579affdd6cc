"""What a power cut leaves is completed by the next start, or told."""

import subprocess
import sys
from pathlib import Path

import pytest
from lienthong.clock import FakeClock
from lienthong.errors import FailedPrecondition
from lienthong.files import write_whole
from lienthong.mesh.keys import issue_all, issue_lacking
from lienthong.mesh.layout import Layout
from lienthong.mesh.pki_check import check_pki
from lienthong.mesh.topology import Topology
from lienthong.pki.issuing import Issued, write_private
from lienthong.pki.testing import new_p256
from lienthong.postgres import _serves

CLOCK = FakeClock()
TOPOLOGY = Topology.parse(
    """
trust_domain: mot.lienthong.test
nodes: [{node: G22, name: Nút MẪU, tier: CENTRAL}]
organizations:
  - {code: G22, name: Cơ quan MẪU, tier: CENTRAL, node: G22, people: [{kind: clerk, name: van-thu}]}
operators: [quan-tri]
"""
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(tmp_path / "mesh")
    issue_all(TOPOLOGY, made, CLOCK)
    return made


def files(layout: Layout) -> dict[str, bytes]:
    folder = layout.pki / "issued"
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*.pem")}


def complete(layout: Layout) -> set[str]:
    """The certificates that were made anew."""
    before = files(layout)
    issue_lacking(TOPOLOGY, layout, CLOCK, "node")
    check_pki(TOPOLOGY, layout, "node", CLOCK.now())
    after = files(layout)
    return {str(Path(name).parent) for name in after if after[name] != before.get(name)}


@pytest.mark.parametrize("spoilt", ["certificate.pem", "chain.pem", "key.pem"])
@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA"])
def test_what_was_left_empty_or_torn_is_made_anew(layout: Layout, spoilt: str, content: bytes) -> None:
    (layout.issued("node/G22", "envelope").folder / spoilt).write_bytes(content)
    assert complete(layout) == {"node/G22/envelope"}
    assert complete(layout) == set()


def test_what_does_not_fit_together_is_made_anew(layout: Layout) -> None:
    write_private(layout.issued("node/G22", "envelope").key_path, new_p256())
    seal, tls = layout.issued("org/G22", "seal"), layout.issued("node/G22/node", "tls")
    tls.chain_path.write_bytes(seal.chain_path.read_bytes())
    assert complete(layout) == {"node/G22/envelope", "node/G22/node/tls"}


def test_a_key_that_its_holder_carried_away_is_not_replaced(layout: Layout) -> None:
    layout.issued("org/G22/clerk/van-thu", "tls").key_path.unlink()
    before = files(layout)
    issue_lacking(TOPOLOGY, layout, CLOCK, "node")
    assert files(layout) == before


@pytest.mark.parametrize("spoilt", ["authority.json", "ca/root/key.pem", "ca/transport/certificate.pem"])
def test_a_spoilt_authority_is_told_and_not_replaced(layout: Layout, spoilt: str) -> None:
    (layout.pki / spoilt).write_bytes(b"")
    with pytest.raises(FailedPrecondition, match="PKI_UNUSABLE"):
        issue_lacking(TOPOLOGY, layout, CLOCK, "node")
    assert (layout.pki / spoilt).read_bytes() == b""


def test_a_file_is_replaced_whole_and_is_of_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(b"old")
    file.chmod(0o644)
    (tmp_path / ".key.pem.new").write_bytes(b"of a write that was cut")
    write_whole(file, b"new", mode=0o600)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [file]

    key = new_p256()
    write_private(file, key)
    assert Issued(tmp_path).key().public_key() == key.public_key()


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="this system tells by `ps` alone")
def test_a_server_is_known_without_ps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    command = [sys.executable, "-c", "print(flush=True); input()", "-D", str(tmp_path / "data"), "-p", "5432"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()  # it runs
        assert _serves(server.pid, tmp_path / "data")
        assert not _serves(server.pid, tmp_path / "dat")
        server.kill()
        # Not waited for yet: a zombie has the number still.
        while _serves(server.pid, tmp_path / "data"):
            pass
        server.wait()
        assert not _serves(server.pid, tmp_path / "data")
