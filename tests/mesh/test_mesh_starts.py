"""A mesh starts, each node holds what it serves and no more, and nothing is left of it however it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from lienthong.errors import FailedPrecondition, InvalidArgument
from lienthong.mesh import Mesh, Topology
from lienthong.mesh.status import memory_of
from lienthong.pki.identity import identity_of

from tests.support.mesh import operator, processes_naming

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(180)]

LAUNCHER = """
import sys, time
from pathlib import Path
from lienthong.mesh import Mesh, Topology

with Mesh.start(Topology.parse(sys.argv[2]), Path(sys.argv[1])) as mesh:
    mesh.wait_ready()
    print(*[mesh.pid(node.node) for node in mesh.topology.nodes], flush=True)
    time.sleep(600)
"""


def gone_within(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(alive(pid) for pid in pids):
            return True
        time.sleep(0.1)
    return False


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def descendants(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


async def test_every_node_answers_its_operator_from_the_same_directory(mesh: Mesh) -> None:
    assert all(mesh.is_serving(node.node) for node in mesh.topology.nodes)
    for node in mesh.topology.nodes:
        async with operator(mesh, node.node) as people:
            organization = await people.organization("H01.15.09")
            assert (organization.node, organization.superior) == ("H01.15", "H01.15")


async def test_children_dial_their_parents(mesh: Mesh) -> None:
    connected: set[str] = set()
    async with operator(mesh, "H01") as people:
        for _ in range(100):
            connected = {d.node for d in await people.destinations() if d.connected}
            if connected == {"G22", "H01.15"}:
                break
            await asyncio.sleep(0.1)
    assert connected == {"G22", "H01.15"}


def test_a_node_holds_only_keys_that_it_serves(mesh: Mesh) -> None:
    held: dict[str, set[str]] = {}
    for node in mesh.topology.nodes:
        folder = mesh.layout.node(node.node).folder
        for key in folder.rglob("key.pem"):
            assert stat.S_IMODE(key.stat().st_mode) == 0o600, key
            certificate = x509.load_pem_x509_certificate(key.with_name("certificate.pem").read_bytes())
            held.setdefault(node.node, set()).add(identity_of(certificate).path)

    assert held["H01.15.07"] == {"node/H01.15.07/node", "node/H01.15.07", "tsa/h01-15-07", "org/H01.15.07"}
    assert "org/G22/leader/nguyen-van-mau" in held["G22"]
    for code, paths in held.items():
        organizations = {path.split("/")[1] for path in paths if path.startswith("org/")}
        assert organizations == {o.code for o in mesh.topology.served_by(code)}


def test_settings_hold_no_secret(mesh: Mesh) -> None:
    for node in mesh.topology.nodes:
        own = mesh.layout.node(node.node)
        settings = own.settings.read_text()
        passwords = list(own.folder.glob("*-password"))
        for password in passwords:
            assert stat.S_IMODE(password.stat().st_mode) == 0o600
            assert password.read_text().strip() not in settings


def test_idle_nodes_are_small(mesh: Mesh) -> None:
    """The house's promise is 200 MB after 60 s; a young process must not be above it either."""
    for node in mesh.topology.nodes:
        pss = memory_of(mesh.pid(node.node))
        assert pss is not None
        assert pss < 200 * 1024**2, f"{node.node}: {pss} bytes"


def test_a_mesh_is_never_started_over_another(mesh: Mesh) -> None:
    with pytest.raises(FailedPrecondition, match="MESH_EXISTS"):
        Mesh.start(Topology.four_levels(), mesh.layout.folder)


def test_a_killed_node_comes_back_and_a_stop_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with Mesh.start(Topology.parse(TWO_NODES), folder) as mesh:
        mesh.wait_ready()
        before = mesh.pid("H01")
        with pytest.raises(FailedPrecondition, match="NODE_RUNNING"):
            mesh.start_node("H01")
        mesh.kill("H01")
        assert not alive(before)
        assert not mesh.is_serving("H01")
        mesh.start_node("H01")
        mesh.wait_ready(["H01"])
        assert mesh.pid("H01") != before
        started = descendants(os.getpid())
        assert len(started) > len(mesh.topology.nodes)  # nodes, watchdogs, PostgreSQL
        pids = [mesh.pid(node.node) for node in mesh.topology.nodes]

    assert set(pids) <= set(started)
    assert gone_within(pids, 5.0)
    assert processes_naming(str(folder)) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_survives_the_launcher(tmp_path: Path, number: signal.Signals) -> None:
    folder = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(folder), TWO_NODES],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # Whoever runs the tests in the background may have SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as launcher:
        assert launcher.stdout is not None
        pids = [int(part) for part in launcher.stdout.readline().split()]
        assert len(pids) == 2
        everything = descendants(launcher.pid)
        assert set(pids) < set(everything)

        launcher.send_signal(number)
        launcher.wait(30)

    assert gone_within(everything, 20.0), processes_naming(str(folder))


def test_a_node_with_wrong_settings_is_named_with_its_reason(tmp_path: Path) -> None:
    with (
        pytest.raises(FailedPrecondition, match=r"SETTINGS_INVALID[\s\S]*free_floor") as refusal,
        Mesh.start(
            Topology.parse(ONE_NODE), tmp_path / "data", overrides={"storage": {"free_floor": 1}}
        ) as mesh,
    ):
        mesh.wait_ready()
    assert refusal.value.reason == "NODE_ENDED"


def test_a_taken_port_stops_the_start(tmp_path: Path, mesh: Mesh) -> None:
    taken = mesh.ports["G22"].grpc
    with (
        pytest.raises((FailedPrecondition, InvalidArgument), match="port"),
        Mesh.start(Topology.parse(ONE_NODE), tmp_path / "data", base_port=taken) as other,
    ):
        other.wait_ready()


TWO_NODES = """
trust_domain: hai.lienthong.test
nodes:
  - {node: G22, name: Nút MẪU, tier: CENTRAL}
  - {node: H01, name: Nút MẪU, tier: PROVINCE, parent: G22}
organizations:
  - {code: G22, name: Cơ quan MẪU, tier: CENTRAL, node: G22}
  - {code: H01, name: Cơ quan MẪU, tier: PROVINCE, node: H01}
"""
ONE_NODE = """
trust_domain: mot.lienthong.test
nodes: [{node: G01, name: Nút MẪU, tier: CENTRAL}]
organizations: [{code: G01, name: Cơ quan MẪU, tier: CENTRAL, node: G01}]
"""
