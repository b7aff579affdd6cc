"""Schema migrations of a service's database: Alembic, driven in process, raw SQL inside.

A service keeps them in `services/<name>/migrations/versions/*.py`, one head, forward only:

    revision, down_revision = "0001_directory", None

    def upgrade() -> None:
        op.execute("CREATE TABLE ...; CREATE INDEX ...")     # a whole script is welcome

There is neither alembic.ini nor env.py: this file is the environment of all services.
"""

from __future__ import annotations

import importlib
import io
import re
from pathlib import Path
from typing import Any, Final

import asyncpg
from alembic.config import Config
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from lienthong.db import Database
from lienthong.errors import FailedPrecondition, Internal, InvalidArgument, Unavailable

LOCK_TIMEOUT_SECONDS: Final = 4
STATEMENT_TIMEOUT_SECONDS: Final = 60

_VERSION_TABLE: Final = "schema_version"
# Any constant will do; it only has to be the same in every process that migrates.
_ADVISORY_LOCK: Final = 0x6C69656E7468
_DATABASE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


class ScriptPostgresqlImpl(PostgresqlImpl):
    """Writes the text of `op.execute` as it is: a script of many statements, a colon only a colon.

    Alembic finds it by its dialect; scripts are all that it makes in this system.
    """

    __dialect__ = "postgresql"

    def execute(self, sql: Any, execution_options: dict[str, Any] | None = None) -> None:
        if isinstance(sql, str):
            self.static_output(sql.strip().rstrip(";") + ";")
        else:
            super().execute(sql, execution_options)


async def upgrade(url: str, package: str, revision: str = "head") -> None:
    """Bring the database to `revision` in one transaction, or leave it as it was.

    Safe to run from several processes at once: the second waits and finds nothing to do. Alembic only
    writes the script; it runs through the same driver as everything else (R6).
    """
    connection = await _connect(url)
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'")
            # Taken before lock_timeout is set: waiting for a colleague's migration is no failure.
            await connection.execute(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
            script = _script(package, await _revision(connection), revision)
            if script:
                await connection.execute(script)
    except asyncpg.PostgresError as error:
        raise FailedPrecondition(
            "MIGRATION_FAILED", f"the schema of {package} could not be changed: {error}", package=package
        ) from error
    finally:
        await connection.close()


async def current(url: str, package: str) -> str | None:
    """The revision that the database is at, None before the first."""
    _scripts(package)
    connection = await _connect(url)
    try:
        return await _revision(connection)
    finally:
        await connection.close()


def head(package: str) -> str:
    """The revision that the code of `package` was written for."""
    heads = _scripts(package).get_heads()
    if len(heads) != 1:
        raise Internal("MIGRATION_HEADS", f"{package} has {len(heads)} heads, not one", package=package)
    return heads[0]


async def require_head(db: Database, package: str) -> None:
    """Refuse to start on a schema that is older than the code, naming both.

    A newer schema is accepted: while a release rolls out, old code runs on it.
    """
    wanted = head(package)
    found = await _revision(db)
    known = {script.revision for script in _scripts(package).walk_revisions()}
    if found is None or (found != wanted and found in known):
        raise FailedPrecondition(
            "SCHEMA_OUTDATED",
            f"the database of {package} is at {found}, the code needs {wanted}: migrate first",
            package=package,
            found=found,
            wanted=wanted,
        )


async def create_database(admin_url: str, name: str, template: str | None = None) -> bool:
    """Make a database, a copy of `template` where given. False when it was there already."""
    source = f' TEMPLATE "{_checked(template)}"' if template else ""
    connection = await _connect(admin_url)
    try:
        await connection.execute(f'CREATE DATABASE "{_checked(name)}"{source}')
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        return False  # the second: two processes at the same instant
    finally:
        await connection.close()
    return True


async def drop_database(admin_url: str, name: str) -> None:
    """Remove a database and end its connections; nothing happens where there is none."""
    connection = await _connect(admin_url)
    try:
        await connection.execute(f'DROP DATABASE IF EXISTS "{_checked(name)}" WITH (FORCE)')
    finally:
        await connection.close()


def _script(package: str, found: str | None, wanted: str) -> str:
    """The SQL that leads from one revision to another, "" where there is nothing to do."""
    scripts = _scripts(package)
    output = io.StringIO()

    def steps(current: Any, _: MigrationContext) -> Any:
        return scripts._upgrade_revs(wanted, current)

    if found == (head(package) if wanted == "head" else wanted):
        return ""
    with EnvironmentContext(
        Config(), scripts, fn=steps, as_sql=True, starting_rev=found, destination_rev=wanted
    ) as environment:
        environment.configure(
            dialect_name="postgresql",
            output_buffer=output,
            version_table=_VERSION_TABLE,
            transactional_ddl=False,  # the transaction is the caller's
        )
        environment.run_migrations()
    return output.getvalue()


async def _revision(queries: Any) -> str | None:
    if await queries.fetchval(f"SELECT to_regclass('{_VERSION_TABLE}')::text") is None:
        return None
    revision: str | None = await queries.fetchval(
        f"SELECT version_num FROM {_VERSION_TABLE}"  # noqa: S608  (a constant)
    )
    return revision


def _scripts(package: str) -> ScriptDirectory:
    """The migrations of `package`: found beside its code, wherever that is installed."""
    module = importlib.import_module(package)
    folder = Path(next(iter(module.__path__))) / "migrations"
    versions = folder / "versions"
    if not versions.is_dir():
        raise Internal("MIGRATIONS_MISSING", f"{package} has no migrations", package=package)
    return ScriptDirectory(folder, version_locations=[versions])


def _checked(name: str) -> str:
    if not _DATABASE_NAME.fullmatch(name):
        raise InvalidArgument("DATABASE_NAME_MALFORMED", f"not a database name: {name!r}", name=name)
    return name


async def _connect(url: str) -> Any:
    try:
        return await asyncpg.connect(url, timeout=10)
    except (OSError, asyncpg.CannotConnectNowError) as error:
        raise Unavailable("DATABASE_UNAVAILABLE", "the database does not answer", retry_after=1.0) from error
