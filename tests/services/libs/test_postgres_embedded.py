"""The embedded PostgreSQL: starts, keeps its data, and never outlives its parent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
from lienthong.errors import FailedPrecondition
from lienthong.postgres import EmbeddedPostgres, ExternalPostgres, postgres_from_environment


async def _execute(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _gone(processes: list[psutil.Process], seconds: float = 15.0) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not alive


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where the account that runs PostgreSQL can go; pytest's own folders are closed to it."""
    made = Path(tempfile.mkdtemp(prefix="lienthong-test-", dir="/var/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


async def test_temporary_server_leaves_neither_process_nor_folder() -> None:
    with EmbeddedPostgres.start() as server:
        assert server.pid is not None
        processes = _family(server.pid)
        folder = server._home
        assert all(process.uids().real != 0 for process in processes)
        assert await _execute(server.url(), "SHOW fsync") == "on"
        assert await _execute(server.url(), "SHOW listen_addresses") == "127.0.0.1"
        assert await _execute(server.url(), "SELECT lower('ĐỘC LẬP TỰ DO')") == "độc lập tự do"
    assert _gone(processes)
    assert not folder.exists()


async def test_password_is_asked_for() -> None:
    with EmbeddedPostgres.start() as server:
        wrong = f"postgresql://lienthong:wrong@127.0.0.1:{server.port}/postgres"
        with pytest.raises(asyncpg.InvalidPasswordError):
            await _execute(wrong, "SELECT 1")


async def test_data_survives_restart_and_kill(folder: Path) -> None:
    with EmbeddedPostgres.start(folder / "postgres") as server:
        await _execute(server.url(), "CREATE TABLE kept AS SELECT 7 AS value")
    with EmbeddedPostgres.start(folder / "postgres") as server:
        assert await _execute(server.url(), "SELECT value FROM kept") == 7
        assert server.pid is not None
        processes = _family(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        assert _gone(processes)
    assert (folder / "postgres" / "data" / "postmaster.pid").exists()
    with EmbeddedPostgres.start(folder / "postgres") as server:
        assert await _execute(server.url(), "SELECT value FROM kept") == 7


async def test_folder_in_use_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lienthong.postgres._STOP_SECONDS", 0.2)
    with EmbeddedPostgres.start(folder / "postgres") as server:
        with pytest.raises(FailedPrecondition, match="POSTGRES_RUNNING"):
            EmbeddedPostgres.start(folder / "postgres")
        assert await _execute(server.url(), "SELECT 1") == 1
        monkeypatch.undo()


async def test_a_number_that_means_another_process_now_stops_nobody(folder: Path) -> None:
    """After a restart of the machine the old number may be anybody's, here that of this test."""
    with EmbeddedPostgres.start(folder / "postgres") as server:
        await _execute(server.url(), "CREATE TABLE kept AS SELECT 7 AS value")
    left = folder / "postgres" / "data" / "postmaster.pid"
    left.write_text(f"{os.getpid()}\n{left.parent}\n")
    with EmbeddedPostgres.start(folder / "postgres") as server:
        assert await _execute(server.url(), "SELECT value FROM kept") == 7


async def test_what_a_killed_initdb_left_behind_is_made_anew(folder: Path) -> None:
    """initdb writes PG_VERSION first of all, so that file alone proves nothing."""
    left = folder / "postgres" / "data.new"
    left.mkdir(parents=True)
    (left / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres.start(folder / "postgres") as server:
        assert await _execute(server.url(), "SELECT 7") == 7
    assert not left.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account run PostgreSQL")
def test_a_folder_that_nobody_can_enter_is_refused_by_name(folder: Path) -> None:
    closed = folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(FailedPrecondition, match="FOLDER_NOT_REACHABLE") as refusal:
        EmbeddedPostgres.start(closed / "data" / "postgres")
    assert refusal.value.metadata["path"] == str(closed)


def test_data_of_another_version_is_refused(folder: Path) -> None:
    EmbeddedPostgres.start(folder / "postgres").stop()
    (folder / "postgres" / "data" / "PG_VERSION").write_text("14\n")
    with pytest.raises(FailedPrecondition, match="POSTGRES_VERSION_DIFFERS"):
        EmbeddedPostgres.start(folder / "postgres")


def test_killed_parent_leaves_nothing() -> None:
    program = (
        "import time; from lienthong.postgres import EmbeddedPostgres; s = EmbeddedPostgres.start();"
        "print(s.pid, s._home, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()
    processes = _family(int(pid))
    assert len(processes) > 1
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert _gone(processes)
    deadline = time.monotonic() + 10
    while Path(folder).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(folder).exists()


def test_server_of_others_takes_its_place() -> None:
    named = {"LIENTHONG_POSTGRES_URL": "postgresql://u:p@db.example:5433/postgres?sslmode=require"}
    server = postgres_from_environment(environ=named)
    assert isinstance(server, ExternalPostgres)
    assert server.url("registry") == "postgresql://u:p@db.example:5433/registry?sslmode=require"
