"""A mesh on what others run: their PostgreSQL, their certificates; a process a service."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from lienthong.clock import SystemClock
from lienthong.mesh.keys import issue_all
from lienthong.mesh.layout import Layout
from lienthong.mesh.topology import Topology
from lienthong.postgres import EmbeddedPostgres
from lienthong.settings import SERVICES

from tests.support.mesh import operator
from tests.support.standing import Standing, standing

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

ONE_NODE = """
trust_domain: mot.lienthong.test
nodes: [{node: G01, name: Nút MẪU, tier: CENTRAL}]
organizations: [{code: G01, name: Cơ quan MẪU, tier: CENTRAL, node: G01}]
operators: [quan-tri]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """Somebody else's PostgreSQL."""
    with EmbeddedPostgres.start() as running:
        yield running


@pytest.fixture(scope="module")
def mesh(server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "topology.yaml").write_text(ONE_NODE, encoding="utf-8")
    issue_all(Topology.parse(ONE_NODE), Layout(folder / "own"), SystemClock(), "services")
    with standing("foreign") as made:
        made.up(
            "--topology",
            str(folder / "topology.yaml"),
            "--processes",
            "services",
            "--pki",
            str(folder / "own" / "pki"),
            environ={"LIENTHONG_POSTGRES_URL": server.url()},
        )
        yield made


async def databases(server: EmbeddedPostgres) -> list[str]:
    connection = await asyncpg.connect(server.url())
    try:
        rows = await connection.fetch(
            "SELECT datname FROM pg_database WHERE datname LIKE 'lt\\_%' ORDER BY 1"
        )
    finally:
        await connection.close()
    return [row["datname"] for row in rows]


async def test_it_serves_on_their_server_with_their_certificates(
    mesh: Standing, server: EmbeddedPostgres
) -> None:
    view = mesh.view
    assert sorted(mesh.state.parts) == sorted(f"G01/{service}" for service in SERVICES)
    assert [name.rpartition("_")[2] for name in await databases(server)] == sorted(SERVICES)
    assert not view.layout.postgres.exists()
    assert not (view.layout.folder / "pki").exists()
    async with operator(view, "G01") as people:
        assert (await people.organization("G01")).node == "G01"
    kept = mesh.folder / "postgres-url"
    assert kept.stat().st_mode & 0o077 == 0
    password = urlsplit(server.url()).password
    assert password
    assert not [file for file in mesh.folder.rglob("*.yaml") if password in file.read_text()]


async def test_old_data_is_migrated_before_the_nodes_start(mesh: Standing, server: EmbeddedPostgres) -> None:
    """A later `up` needs neither variable nor option, and finds databases that an older release left."""
    assert mesh.run("down").code == 0
    [registry] = [name for name in await databases(server) if name.endswith("_registry")]
    connection = await asyncpg.connect(server.url(registry))
    try:
        await connection.execute("DROP TABLE invitation")
        await connection.execute("UPDATE schema_version SET version_num = '0001_registry'")
    finally:
        await connection.close()

    mesh.up()

    connection = await asyncpg.connect(server.url(registry))
    try:
        assert await connection.fetchval("SELECT to_regclass('invitation') IS NOT NULL")
    finally:
        await connection.close()


async def test_a_server_without_its_databases_is_not_taken_for_its_own(mesh: Standing) -> None:
    """A URL that was left in the shell for something else: no empty databases, and theirs stays known."""
    assert mesh.run("down").code == 0
    kept = (mesh.folder / "postgres-url").read_text()
    with EmbeddedPostgres.start() as other:
        said = mesh.run("up", environ={"LIENTHONG_POSTGRES_URL": other.url()})
        assert await databases(other) == []
    assert said.refusal["reason"] == "DATABASE_MISSING"
    assert said.refusal["metadata"]["nodes"] == "G01"
    assert (mesh.folder / "postgres-url").read_text() == kept


async def test_in_the_foreground_ctrl_c_stops_it_in_order(mesh: Standing, tmp_path: Path) -> None:
    assert mesh.run("down").code == 0
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "lienthong.cli", "up", "--foreground", "--data", str(mesh.folder)],
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(200):
            while "G01/routing" not in (tmp_path / "out").read_text() or mesh.run("status").code != 0:
                assert process.poll() is None, (tmp_path / "out").read_text()
                await asyncio.sleep(0.5)
        assert mesh.state.pid == process.pid
        family = mesh.family()
        os.killpg(process.pid, 2)
        assert await asyncio.to_thread(process.wait, 60) == 0
    finally:
        process.kill()
        process.wait()
    assert not [child for child in family if child.is_running() and child.status() != "zombie"]
    assert mesh.run("status").code == 4


async def test_delete_drops_their_databases_and_leaves_their_certificates(
    mesh: Standing, server: EmbeddedPostgres
) -> None:
    own = mesh.view.layout.pki
    assert mesh.run("down", "--delete", "--yes").code == 0
    assert await databases(server) == []
    assert (own / "roots.pem").exists()
    assert not mesh.folder.exists()
