"""Migrations: one head a package, all or nothing, safe to run from several processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from lienthong import migrations
from lienthong.db import Database
from lienthong.errors import FailedPrecondition, InvalidArgument, Unavailable
from lienthong.settings import DatabaseSettings

from tests.support.postgres import Databases

PACKAGE = "migrated_for_test"
FIRST = """CREATE TABLE one (id integer, note text DEFAULT 'a:b; c');
CREATE INDEX one_id ON one (id);
CREATE FUNCTION two() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN 2; END $$;"""


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The versions folder of a package that exists for this test only, with one migration."""
    folder = tmp_path / PACKAGE / "migrations" / "versions"
    folder.mkdir(parents=True)
    (tmp_path / PACKAGE / "__init__.py").touch()
    _add(folder, "0001", None, FIRST)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    sys.modules.pop(PACKAGE, None)


def _add(folder: Path, revision: str, after: str | None, sql: str) -> None:
    code = f"from alembic import op\nrevision = {revision!r}\ndown_revision = {after!r}\n"
    (folder / f"{revision}.py").write_text(f"{code}\ndef upgrade() -> None:\n    op.execute({sql!r})\n")


async def _open(url: str) -> Database:
    return await Database.open(DatabaseSettings(url=url, pool_size=2))


async def test_upgrade_runs_whole_scripts_and_then_nothing(databases: Databases, versions: Path) -> None:
    url = await databases.create()
    assert await migrations.current(url, PACKAGE) is None
    await migrations.upgrade(url, PACKAGE)
    await migrations.upgrade(url, PACKAGE)
    assert await migrations.current(url, PACKAGE) == migrations.head(PACKAGE) == "0001"
    db = await _open(url)
    assert await db.fetchval("INSERT INTO one DEFAULT VALUES RETURNING note") == "a:b; c"
    assert await db.fetchval("SELECT two()") == 2
    await db.close()


async def test_failed_migration_leaves_the_schema_as_it_was(databases: Databases, versions: Path) -> None:
    url = await databases.create()
    await migrations.upgrade(url, PACKAGE)
    _add(versions, "0002", "0001", "CREATE TABLE half (id integer)")
    _add(versions, "0003", "0002", "CREATE TABLE one (id integer)")
    with pytest.raises(FailedPrecondition, match=r"MIGRATION_FAILED.*already exists"):
        await migrations.upgrade(url, PACKAGE)
    assert await migrations.current(url, PACKAGE) == "0001"
    db = await _open(url)
    assert await db.fetchval("SELECT to_regclass('half')::text") is None
    await db.close()


async def test_two_processes_at_once(databases: Databases, versions: Path) -> None:
    url = await databases.create()
    await asyncio.gather(*(migrations.upgrade(url, PACKAGE) for _ in range(4)))
    assert await migrations.current(url, PACKAGE) == "0001"


async def test_code_refuses_an_older_schema_and_bears_a_newer(databases: Databases, versions: Path) -> None:
    url = await databases.create()
    db = await _open(url)
    with pytest.raises(FailedPrecondition, match="SCHEMA_OUTDATED"):
        await migrations.require_head(db, PACKAGE)
    await migrations.upgrade(url, PACKAGE)
    await migrations.require_head(db, PACKAGE)

    _add(versions, "0002", "0001", "CREATE TABLE two_more (id integer)")
    with pytest.raises(FailedPrecondition, match="SCHEMA_OUTDATED") as raised:
        await migrations.require_head(db, PACKAGE)
    assert (raised.value.metadata["found"], raised.value.metadata["wanted"]) == ("0001", "0002")
    await migrations.upgrade(url, PACKAGE)
    (versions / "0002.py").unlink()  # the code of the release before
    await migrations.require_head(db, PACKAGE)
    await migrations.upgrade(url, PACKAGE)  # has nothing to do there, and nothing to complain of
    assert await migrations.current(url, PACKAGE) == "0002"
    assert await db.fetchval("SELECT to_regclass('two_more')::text") == "two_more"
    await db.close()


async def test_template_gives_the_package_its_schema(databases: Databases, versions: Path) -> None:
    db = await databases.open(PACKAGE)
    await migrations.require_head(db, PACKAGE)
    await db.close()


async def test_databases_are_made_and_dropped_once(databases: Databases) -> None:
    url = await databases.create()
    assert await migrations.create_database(url, "made_by_test") is True
    assert await migrations.create_database(url, "made_by_test") is False
    await migrations.drop_database(url, "made_by_test")
    await migrations.drop_database(url, "made_by_test")
    with pytest.raises(InvalidArgument, match="DATABASE_NAME_MALFORMED"):
        await migrations.create_database(url, 'x"; DROP DATABASE postgres')


async def test_no_server_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="DATABASE_UNAVAILABLE"):
        await migrations.upgrade("postgresql://nobody:x@127.0.0.1:1/none", PACKAGE)
