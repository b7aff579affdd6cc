"""The embedded PostgreSQL: starts, keeps its data, and never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
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


async def test_data_survives_restart_and_kill(tmp_path: Path) -> None:
    with EmbeddedPostgres.start(tmp_path) as server:
        home = server._home
        await _execute(server.url(), "CREATE TABLE kept AS SELECT 7 AS value")
    with EmbeddedPostgres.start(tmp_path) as server:
        assert await _execute(server.url(), "SELECT value FROM kept") == 7
        assert server.pid is not None
        processes = _family(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        assert _gone(processes)
    assert (home / "data" / "postmaster.pid").exists()
    with EmbeddedPostgres.start(tmp_path) as server:
        assert await _execute(server.url(), "SELECT value FROM kept") == 7
    subprocess.run(["rm", "-rf", str(home)], check=True)


async def test_folder_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lienthong.postgres._STOP_SECONDS", 0.2)
    with EmbeddedPostgres.start(tmp_path) as server:
        with pytest.raises(FailedPrecondition, match="POSTGRES_RUNNING"):
            EmbeddedPostgres.start(tmp_path)
        assert await _execute(server.url(), "SELECT 1") == 1
        home = server._home
        monkeypatch.undo()
    subprocess.run(["rm", "-rf", str(home)], check=True)


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
