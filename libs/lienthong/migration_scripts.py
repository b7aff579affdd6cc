"""Alembic's part of migrations.py: turns a service's revisions into one SQL script."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory


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


def write_script(folder: Path, found: str | None, wanted: str, version_table: str) -> str:
    """The SQL that leads from revision `found` to `wanted`; the transaction is the caller's."""
    scripts = ScriptDirectory(folder, version_locations=[folder / "versions"])
    output = io.StringIO()

    def steps(current: Any, _: MigrationContext) -> Any:
        return scripts._upgrade_revs(wanted, current)

    with EnvironmentContext(
        Config(), scripts, fn=steps, as_sql=True, starting_rev=found, destination_rev=wanted
    ) as environment:
        environment.configure(
            dialect_name="postgresql",
            output_buffer=output,
            version_table=version_table,
            transactional_ddl=False,
        )
        environment.run_migrations()
    return output.getvalue()
