"""What keeps a mesh from being made is told before anything is written."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from lienthong.clock import SystemClock
from lienthong.errors import FailedPrecondition
from lienthong.mesh.ground import check_place
from lienthong.mesh.keys import issue_all
from lienthong.mesh.layout import Layout
from lienthong.mesh.ports import is_free
from lienthong.mesh.topology import Topology

from tests.support.standing import Standing, lienthong, standing

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(200)]


@pytest.fixture
def ground() -> Iterator[Standing]:
    """A place where a mesh could be made, and is not."""
    with standing("ground") as made:
        yield made
        assert not made.folder.exists(), "something was left of a mesh that was refused"


def test_a_taken_port_is_named_with_its_node(ground: Standing) -> None:
    # Three ports a node: the second node begins at the taken one.
    base = next(b for b in range(24_000, 32_000, 16) if all(is_free(p) for p in range(b, b + 16)))
    port = base + 3
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        said = ground.run("up", "--base-port", str(base))
    assert (said.code, said.refusal["reason"]) == (1, "PORT_TAKEN")
    assert said.refusal["metadata"] == {"port": str(port), "node": "H01"}
    assert said.refusal["advice"]["vi"]


def test_a_folder_that_cannot_be_written_in_is_named() -> None:
    said = lienthong("up", "--data", "/proc/lienthong-mesh")
    assert said.refusal["reason"] == "FOLDER_NOT_WRITABLE"
    assert "/proc/lienthong-mesh" in said.refusal["message"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = lienthong("up", "--data", str(tmp_path / "file"))
    assert said.refusal["reason"] == "FOLDER_NOT_WRITABLE"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account run PostgreSQL")
def test_where_postgres_cannot_enter_its_data_lie_elsewhere(ground: Standing) -> None:
    closed, elsewhere = ground.folder.parent / "closed", ground.folder.parent / "elsewhere"
    closed.mkdir(mode=0o700)
    with pytest.raises(FailedPrecondition) as refused:
        check_place(closed / "mesh", embedded=True, elsewhere=closed / "no-way-out")
    assert refused.value.reason == "FOLDER_NOT_REACHABLE"
    assert refused.value.metadata["path"] == str(closed)
    check_place(closed / "mesh", embedded=True, elsewhere=elsewhere)
    assert (closed / "mesh" / "postgres").resolve().parent == elsewhere
    check_place(closed / "mesh", embedded=True, elsewhere=elsewhere)  # and again, at the next `up`


def test_a_database_that_is_not_there_is_told(ground: Standing) -> None:
    away = {"LIENTHONG_POSTGRES_URL": "postgresql://nobody:geheim@127.0.0.1:1/postgres"}
    said = ground.run("up", environ=away)
    assert said.refusal["reason"] == "DATABASE_UNAVAILABLE"
    assert "127.0.0.1:1" in said.refusal["message"]
    assert "geheim" not in said.err


def test_an_unknown_topology_is_told(ground: Standing) -> None:
    said = ground.run("up", "--topology", "five-levels")
    assert said.refusal["reason"] == "TOPOLOGY_INVALID"


def test_own_certificates_are_judged_all_at_once(ground: Standing, tmp_path: Path) -> None:
    topology = Topology.named("three-tiers")
    layout = Layout(tmp_path / "made")
    issue_all(topology, layout, SystemClock())
    for missing in ("node/H01/node/tls/key.pem", "org/G09/seal/chain.pem"):
        (layout.pki / "issued" / missing).unlink()
    said = ground.run("up", "--pki", str(layout.pki))
    assert said.refusal["reason"] == "PKI_INCOMPLETE"
    told = {field["field"] for field in said.refusal["fields"]}
    assert len(told) == 2
    assert any("node/H01/node/tls/key.pem" in where for where in told)


def test_status_of_no_mesh_is_a_refusal(ground: Standing) -> None:
    for command in ("status", "down"):
        said = ground.run(command)
        assert (said.code, said.refusal["reason"]) == (1, "MESH_MISSING")
