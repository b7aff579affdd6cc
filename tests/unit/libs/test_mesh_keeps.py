"""What was there before a mesh, beside it, or of another mesh, is neither overwritten nor removed."""

from __future__ import annotations

import random
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lienthong.clock import SystemClock
from lienthong.errors import FailedPrecondition, Unavailable
from lienthong.mesh.control import Upbringing, Wishes
from lienthong.mesh.databases import refuse_lost
from lienthong.mesh.ground import check_data, check_original, check_place, check_unclaimed, data_name
from lienthong.mesh.keys import issue_lacking
from lienthong.mesh.layout import Layout
from lienthong.mesh.plan import Plan, new_plan
from lienthong.mesh.removal import delete
from lienthong.mesh.state import MeshState, Phase
from lienthong.mesh.topology import Topology

TOPOLOGY = Topology.parse(
    """
trust_domain: mot.lienthong.test
nodes: [{node: G01, name: Nút MẪU, tier: CENTRAL}]
organizations: [{code: G01, name: Cơ quan MẪU, tier: CENTRAL, node: G01}]
operators: [quan-tri]
"""
)
NOBODY = "postgresql://x@127.0.0.1:1/postgres"


def made(folder: Path, *, embedded: bool = True, lives_in: Path | None = None) -> Layout:
    """The files of a mesh that lived and is stopped; a file of the owner lies among them."""
    layout = Layout(folder)
    layout.node("G01").folder.mkdir(parents=True)
    layout.node("G01").imported.write_text("nodes: [G01]")
    (folder / "ghi-chu.txt").write_text("của tôi")
    plan = new_plan(
        TOPOLOGY,
        mesh_id="0123abcd",
        processes="node",
        base_port=None,
        embedded=embedded,
        pki=None,
        rng=random.Random(1),
    )
    plan.housed(lives_in or folder).write(layout.plan)
    layout.run.mkdir()
    state = MeshState(phase=Phase.RUNNING, pid=1, since=datetime(2026, 3, 2, tzinfo=UTC))
    state.write(layout.state)
    if not embedded:
        layout.postgres_url.write_text(NOBODY)
    return layout


def cluster_of(layout: Layout, elsewhere: Path) -> Path:
    """PostgreSQL's data where its account can enter, and the link to them."""
    cluster = elsewhere / data_name(layout.folder)
    (cluster / "data").mkdir(parents=True)
    layout.postgres.symlink_to(cluster)
    return cluster


@pytest.mark.parametrize(
    "name", ["pki/khoa.pem", "nodes/x", "profiles.yaml", "postgres-url", "postgres/x", "run/x"]
)
def test_up_touches_nothing_of_a_folder_that_holds_something_else(tmp_path: Path, name: str) -> None:
    theirs = tmp_path / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("của tôi")
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(FailedPrecondition, match="FOLDER_NOT_EMPTY") as refusal:
        Upbringing(tmp_path, SystemClock(), {}).begin(Wishes())

    assert f"holds {name if name.startswith('run') else Path(name).parts[0]}," in refusal.value.message
    assert sorted(tmp_path.rglob("*")) == before
    assert theirs.read_text() == "của tôi"


def test_what_an_interrupted_first_up_leaves_is_nobody_elses(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "mesh")
    layout.run.mkdir(parents=True)
    for file in (layout.lock, layout.supervisor_log, layout.folder / ".mesh.yaml.new"):
        file.touch()
    cluster_of(layout, tmp_path / "elsewhere")
    check_unclaimed(layout, None)
    layout.pki.mkdir()
    check_unclaimed(layout, layout.pki)  # --pki DIR/pki

    layout.postgres.unlink()
    layout.postgres.symlink_to(tmp_path)
    with pytest.raises(FailedPrecondition, match="holds postgres,"):
        check_unclaimed(layout, layout.pki)


def test_a_mesh_is_removed_with_its_data_that_lie_elsewhere(tmp_path: Path) -> None:
    layout = made(tmp_path / "mesh")
    cluster = cluster_of(layout, tmp_path / "elsewhere")
    (layout.run / "H01.token").write_text("x")

    delete(layout.folder)

    assert not cluster.exists()
    assert [file.name for file in layout.folder.iterdir()] == ["ghi-chu.txt"]


def test_removing_a_copy_leaves_the_data_of_the_original(tmp_path: Path) -> None:
    original = made(tmp_path / "mesh")
    cluster = cluster_of(original, tmp_path / "elsewhere")
    copy = Layout(tmp_path / "copy")
    shutil.copytree(original.folder, copy.folder, symlinks=True)

    delete(copy.folder)

    assert (cluster / "data").is_dir()
    assert original.plan.exists()
    assert not copy.postgres.is_symlink()
    assert [file.name for file in copy.folder.iterdir()] == ["ghi-chu.txt"]


def test_removing_a_copy_asks_no_server_to_drop_databases(tmp_path: Path) -> None:
    original = made(tmp_path / "mesh", embedded=False)
    copy = Layout(tmp_path / "copy")
    shutil.copytree(original.folder, copy.folder)

    delete(copy.folder)
    assert not copy.plan.exists()

    with pytest.raises(Unavailable, match="DATABASE_UNAVAILABLE"):
        delete(original.folder)
    assert original.plan.exists(), "it can be repeated"
    assert not original.state.exists(), "nobody signals the number that stood in it"


def test_a_mesh_that_was_moved_is_at_home_where_it_is_and_a_copy_is_not(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    layout = made(old, embedded=False)
    shutil.copytree(old, new)
    copied = Plan.read(Layout(new).plan)
    assert copied.housed(new).folder == old
    with pytest.raises(FailedPrecondition, match="MESH_COPIED"):
        check_original(Layout(new), copied)

    layout.plan.write_text(layout.plan.read_text().replace("0123abcd", "ffffffff"))
    assert copied.housed(new).folder == new, "another mesh is there now"
    shutil.rmtree(old)
    assert copied.housed(new).folder == new
    check_original(Layout(new), copied)


def test_a_copy_with_data_of_its_own_may_run(tmp_path: Path) -> None:
    original = made(tmp_path / "mesh")
    (original.postgres / "data").mkdir(parents=True)
    copy = Layout(tmp_path / "copy")
    shutil.copytree(original.folder, copy.folder)
    check_original(copy, Plan.read(copy.plan))


def test_data_that_are_not_mounted_are_not_made_anew(tmp_path: Path) -> None:
    layout = made(tmp_path / "mesh")
    cluster = cluster_of(layout, tmp_path / "elsewhere")
    check_data(layout)

    shutil.rmtree(cluster)
    with pytest.raises(FailedPrecondition, match="DATABASE_MISSING") as refusal:
        check_place(layout.folder, embedded=True, elsewhere=tmp_path / "elsewhere")
    assert str(cluster) in refusal.value.message
    assert not cluster.exists()

    cluster.mkdir()  # a mount point with nothing mounted
    with pytest.raises(FailedPrecondition, match="DATABASE_MISSING: the databases of G01"):
        check_data(layout)
    layout.node("G01").imported.unlink()
    check_data(layout)  # a first start that was interrupted


def test_databases_are_made_for_nodes_that_never_lived_only() -> None:
    missing = {("H01", "routing"), ("H01.107", "registry"), ("G22", "registry")}
    refuse_lost(missing, ["G01"])
    with pytest.raises(FailedPrecondition, match=r"DATABASE_MISSING: the databases of G22, H01 are not on"):
        refuse_lost(missing, ["H01", "G22", "G01"])


def test_a_url_is_asked_for_when_the_first_up_was_interrupted_before_it_was_kept(tmp_path: Path) -> None:
    layout = made(tmp_path / "mesh", embedded=False)
    layout.postgres_url.unlink()
    with pytest.raises(FailedPrecondition, match="DATABASE_UNNAMED"):
        Upbringing(layout.folder, SystemClock(), {}).begin(Wishes())


def test_a_mesh_that_lived_gets_no_other_root(tmp_path: Path) -> None:
    layout = made(tmp_path / "mesh")
    layout.pki.mkdir()
    with pytest.raises(FailedPrecondition, match="PKI_INCOMPLETE"):
        issue_lacking(TOPOLOGY, layout, SystemClock(), "node")
    assert list(layout.pki.iterdir()) == []


def test_an_interrupted_hierarchy_is_made_again_and_what_lies_beside_it_stays(tmp_path: Path) -> None:
    layout = made(tmp_path / "mesh")
    layout.node("G01").imported.unlink()
    (layout.pki / "ca" / "root").mkdir(parents=True)
    (layout.pki / "khoa.pem").write_text("của tôi")

    issue_lacking(TOPOLOGY, layout, SystemClock(), "node")
    root = layout.roots.read_bytes()
    assert (layout.pki / "khoa.pem").read_text() == "của tôi"

    layout.node("G01").imported.touch()
    issue_lacking(TOPOLOGY, layout, SystemClock(), "node")  # all is there: another start
    assert layout.roots.read_bytes() == root
