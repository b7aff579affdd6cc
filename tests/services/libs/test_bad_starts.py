"""A real process that is told something wrong: one clear refusal, what to do next, and nothing served."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from lienthong import preflight
from lienthong.clock import FakeClock, SystemClock
from lienthong.errors import DomainError, FailedPrecondition
from lienthong.pki.testing import TestAuthority
from lienthong.preflight import check_clock, open_database
from lienthong.settings import DatabaseSettings

from tests.support.postgres import Databases
from tests.support.serving import TRUST_DOMAIN, free_port

_SECONDS = 30.0


@dataclass
class Start:
    """The settings of a storage process, good until a test spoils them."""

    authority: TestAuthority
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def tls(self, **options: Any) -> dict[str, str]:
        files = self.authority.tls_node("H01", "storage", **options)
        return {
            "certificate": str(files.chain_path),
            "key": str(files.key_path),
            "roots": str(self.authority.roots_path),
        }

    def run(self) -> str:
        """What the process says when it refuses to start."""
        file = self.folder / "settings.yaml"
        file.write_text(yaml.safe_dump(self.settings))
        environ = {k: v for k, v in os.environ.items() if not k.startswith("LIENTHONG_")}
        ended = subprocess.run(
            [sys.executable, "-m", "services.storage"],
            env={**environ, "LIENTHONG_SETTINGS": str(file)},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        assert ended.returncode == 1, ended.stderr
        assert "Traceback" not in ended.stderr
        return ended.stderr


@pytest_asyncio.fixture
async def start(databases: Databases, tmp_path: Path) -> Start:
    authority = TestAuthority.create(tmp_path / "pki", SystemClock(), TRUST_DOMAIN)
    database = await databases.open("services.storage")
    await database.close()
    made = Start(authority, tmp_path)
    made.settings = {
        "node": "H01",
        "trust_domain": TRUST_DOMAIN,
        "service": "storage",
        "listen": f"127.0.0.1:{free_port()}",
        "tls": made.tls(),
        "storage": {
            "database": {"url": database.url},
            "folder": str(tmp_path / "blobs"),
            "free_floor_bytes": 0,
        },
    }
    return made


def _misspelt(start: Start) -> None:
    start.settings["storage"]["fodler"] = "x"


def _port_taken(start: Start) -> None:
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    start.settings["listen"] = f"127.0.0.1:{holder.getsockname()[1]}"
    start.settings["_holder"] = holder


def _unwritable(start: Start) -> None:
    (start.folder / "file").write_text("")
    start.settings["storage"]["folder"] = str(start.folder / "file" / "blobs")


def _full(start: Start) -> None:
    start.settings["storage"]["free_floor_bytes"] = 10**18


def _no_database(start: Start) -> None:
    start.settings["storage"]["database"]["url"] = f"postgresql://an:bimat@127.0.0.1:{free_port()}/storage"


def _missing_database(start: Start) -> None:
    url: str = start.settings["storage"]["database"]["url"]
    start.settings["storage"]["database"]["url"] = re.sub(r"/[^/?]+(\?|$)", r"/khong_co\1", url)


def _expired(start: Start) -> None:
    start.settings["tls"] = start.tls(not_after=SystemClock().now() - timedelta(days=1), label="old")


def _other_mesh(start: Start) -> None:
    other = TestAuthority.create(start.folder / "other", SystemClock(), "khac.test")
    files = other.tls_node("H01", "storage")
    start.settings["tls"] |= {"certificate": str(files.chain_path), "key": str(files.key_path)}


CASES: list[tuple[Callable[[Start], None], str, str]] = [
    (_misspelt, "SETTINGS_INVALID", "storage.fodler"),
    (_port_taken, "PORT_TAKEN", "listen: 127.0.0.1:"),
    (_unwritable, "FOLDER_NOT_WRITABLE", "storage.folder: "),
    (_full, "DISK_NEARLY_FULL", "storage.folder: "),
    (_no_database, "DATABASE_UNAVAILABLE", "127.0.0.1:"),
    (_missing_database, "DATABASE_REFUSED", "khong_co"),
    (_expired, "CERTIFICATE_EXPIRED", "chain.pem"),
    (_other_mesh, "CERTIFICATE_FOREIGN", "khac.test"),
]


@pytest.mark.parametrize(("spoil", "reason", "named"), CASES, ids=[case[1] for case in CASES])
def test_a_bad_start_is_named_with_what_to_do(
    start: Start, spoil: Callable[[Start], None], reason: str, named: str
) -> None:
    spoil(start)
    holder = start.settings.pop("_holder", None)
    said = start.run()
    if holder is not None:
        holder.close()
    line = next(line for line in said.splitlines() if line.startswith("lienthong: "))
    assert line.startswith(f"lienthong: {reason}: ")
    assert named in line
    assert "  vi: " in said
    assert "  en: " in said
    assert "bimat" not in said, "a password is nobody's business"


async def test_a_database_of_an_older_version_is_named(start: Start) -> None:
    url = start.settings["storage"]["database"]["url"]
    database = await open_database(DatabaseSettings(url=url), SystemClock(), application_name="test")
    await database.execute("DROP TABLE schema_version")
    await database.close()
    said = start.run()
    assert "lienthong: SCHEMA_OUTDATED: " in said
    assert "migrate first" in said


async def test_a_server_that_is_too_old_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    # No PostgreSQL 14 at hand: so this one counts as too old.
    monkeypatch.setattr(preflight, "OLDEST_POSTGRES", 990_000)
    url = start.settings["storage"]["database"]["url"]
    with pytest.raises(FailedPrecondition) as refused:
        await open_database(DatabaseSettings(url=url), SystemClock(), application_name="test")
    assert refused.value.reason == "DATABASE_TOO_OLD"
    assert "99 or newer" in refused.value.message


@pytest.mark.parametrize(("seconds", "side"), [(61, "ahead of"), (-61, "behind")])
async def test_a_clock_that_is_a_minute_off_is_told(start: Start, seconds: int, side: str) -> None:
    url = start.settings["storage"]["database"]["url"]
    clock = FakeClock(SystemClock().now() + timedelta(seconds=seconds))
    with pytest.raises(FailedPrecondition) as refused:
        await open_database(DatabaseSettings(url=url), clock, application_name="test")
    assert refused.value.reason == "CLOCK_OFF"
    assert side in refused.value.message


async def test_a_clock_that_is_half_a_minute_off_may_start(start: Start) -> None:
    url = start.settings["storage"]["database"]["url"]
    clock = FakeClock(SystemClock().now() + timedelta(seconds=30))
    database = await open_database(DatabaseSettings(url=url), clock, application_name="test")
    try:
        await check_clock(database, SystemClock())
    except DomainError as error:  # pragma: no cover - would be the machine's own fault
        pytest.fail(str(error))
    finally:
        await database.close()
