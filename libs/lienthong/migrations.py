"""Schema migrations of a service's database: Alembic, driven in process, raw SQL inside.

A service keeps them in `services/<name>/migrations/versions/*.py`, one head, forward only:

    revision, down_revision = "0001_directory", None

    def upgrade() -> None:
        op.execute("CREATE TABLE ...; CREATE INDEX ...")     # a whole script is welcome

There is neither alembic.ini nor env.py: migration_scripts.py is the environment of all services. It is
imported only to migrate: a node that starts only compares revisions, and Alembic costs it 0.8 s and 25 MB.
"""

from __future__ import annotations

import ast
import importlib
import logging
import re
from pathlib import Path
from typing import Any, Final

import asyncpg
from lienthong.db import Database
from lienthong.errors import FailedPrecondition, Internal, InvalidArgument, Unavailable

LOCK_TIMEOUT_SECONDS: Final = 4
STATEMENT_TIMEOUT_SECONDS: Final = 60

_log = logging.getLogger(__name__)

_VERSION_TABLE: Final = "schema_version"
# Any constant will do; it only has to be the same in every process that migrates.
_ADVISORY_LOCK: Final = 0x6C69656E7468
_DATABASE_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


async def upgrade(url: str, package: str, revision: str = "head") -> None:
    """Bring the database to `revision` in one transaction, or leave it as it was.

    Safe to run from several processes at once: the second waits and finds nothing to do. A revision that
    this code does not know is of a later release and stays (see require_head). Alembic only writes the
    script; it runs through the same driver as everything else (R6).
    """
    connection = await _connect(url)
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'")
            # Taken before lock_timeout is set: waiting for a colleague's migration is no failure.
            await connection.execute(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
            found = await _revision(connection)
            wanted = head(package) if revision == "head" else revision
            if found is not None and found not in _steps(package):
                _log.warning("the schema of %s is at %s, newer than this code: left alone", package, found)
            elif found != wanted:
                await connection.execute(_script(package, found, wanted))
    except asyncpg.PostgresError as error:
        raise FailedPrecondition(
            "MIGRATION_FAILED", f"the schema of {package} could not be changed: {error}", package=package
        ) from error
    finally:
        await connection.close()


async def current(url: str, package: str) -> str | None:
    """The revision that the database is at, None before the first."""
    _folder(package)
    connection = await _connect(url)
    try:
        return await _revision(connection)
    finally:
        await connection.close()


def head(package: str) -> str:
    """The revision that the code of `package` was written for."""
    steps = _steps(package)
    heads = steps.keys() - set(steps.values())
    if len(heads) != 1:
        raise Internal("MIGRATION_HEADS", f"{package} has {len(heads)} heads, not one", package=package)
    return heads.pop()


async def require_head(db: Database, package: str) -> None:
    """Refuse to start on a schema that is older than the code, naming both.

    A newer schema is accepted: while a release rolls out, old code runs on it.
    """
    wanted = head(package)
    found = await _revision(db)
    if found is None or (found != wanted and found in _steps(package)):
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
    """The SQL that leads from one revision to another."""
    from lienthong.migration_scripts import write_script  # Alembic: see above

    return write_script(_folder(package), found, wanted, _VERSION_TABLE)


async def _revision(queries: Any) -> str | None:
    if await queries.fetchval(f"SELECT to_regclass('{_VERSION_TABLE}')::text") is None:
        return None
    revision: str | None = await queries.fetchval(
        f"SELECT version_num FROM {_VERSION_TABLE}"  # noqa: S608  (a constant)
    )
    return revision


def _folder(package: str) -> Path:
    """The migrations of `package`: found beside its code, wherever that is installed."""
    module = importlib.import_module(package)
    folder = Path(next(iter(module.__path__))) / "migrations"
    if not (folder / "versions").is_dir():
        raise Internal("MIGRATIONS_MISSING", f"{package} has no migrations", package=package)
    return folder


def _steps(package: str) -> dict[str, str | None]:
    """Each revision with the one before it, as the scripts say in plain literals; none of them is run."""
    steps: dict[str, str | None] = {}
    for file in sorted((_folder(package) / "versions").glob("*.py")):
        names = _literals(ast.parse(file.read_text(encoding="utf-8")))
        if "revision" in names:
            steps[str(names["revision"])] = names.get("down_revision")
    return steps


def _literals(module: ast.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for statement in module.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, (ast.Constant, ast.Tuple)):
            for target in statement.targets:
                if isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
                    pairs = zip(target.elts, statement.value.elts, strict=True)
                    found |= {
                        n.id: v.value
                        for n, v in pairs
                        if isinstance(n, ast.Name) and isinstance(v, ast.Constant)
                    }
                elif isinstance(target, ast.Name) and isinstance(statement.value, ast.Constant):
                    found[target.id] = statement.value.value
    return found


def _checked(name: str) -> str:
    if not _DATABASE_NAME.fullmatch(name):
        raise InvalidArgument("DATABASE_NAME_MALFORMED", f"not a database name: {name!r}", name=name)
    return name


async def _connect(url: str) -> Any:
    try:
        return await asyncpg.connect(url, timeout=10)
    except (OSError, asyncpg.CannotConnectNowError) as error:
        raise Unavailable("DATABASE_UNAVAILABLE", "the database does not answer", retry_after=1.0) from error
