"""What a mesh needs of its machine, looked at before anything is written: folder, room, ports, database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lienthong.clock import Clock
from lienthong.errors import FailedPrecondition
from lienthong.mesh.plan import Plan
from lienthong.mesh.ports import is_free
from lienthong.postgres import require_reachable
from lienthong.preflight import check_folder, open_database, place
from lienthong.settings import DatabaseSettings

ROOM: Final = 1024**3
# A mesh that ended a moment ago may still be closing its ports.
_PATIENCE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.2


def check_place(folder: Path, *, embedded: bool) -> None:
    """The folder can be written in, has room, and PostgreSQL's account can enter it; it is made if need be.

    FOLDER_NOT_WRITABLE, DISK_NEARLY_FULL, FOLDER_NOT_REACHABLE.
    """
    if not folder.exists():
        # Others may pass through, or PostgreSQL could not; what lies in it is closed to them.
        _make(folder)
    check_folder(folder, "--data", room=ROOM)
    if embedded:
        require_reachable(folder)


def check_ports(plan: Plan, *, patience: float = _PATIENCE_SECONDS) -> None:
    """Nobody listens where the mesh is to: FailedPrecondition("PORT_TAKEN") names port and node."""
    deadline = time.monotonic() + patience
    while taken := [(port, owner) for port, owner in _ports(plan) if not is_free(port)]:
        if time.monotonic() > deadline:
            port, owner = taken[0]
            which = ", ".join(f"{number} ({whose})" for number, whose in taken[:8])
            raise FailedPrecondition("PORT_TAKEN", f"somebody else listens on {which}", port=port, node=owner)
        time.sleep(_POLL_SECONDS)


def check_database(url: str, clock: Clock) -> None:
    """A server of others answers, is new enough, agrees on the time, and lets us make databases.

    DATABASE_UNAVAILABLE, DATABASE_REFUSED, DATABASE_TOO_OLD, CLOCK_OFF.
    """
    asyncio.run(_check_database(url, clock))


async def _check_database(url: str, clock: Clock) -> None:
    settings = DatabaseSettings(url=url, pool_size=1)
    database = await open_database(settings, clock, application_name="lienthong-up")
    try:
        allowed = await database.fetchval(
            "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
        )
    finally:
        await database.close()
    if not allowed:
        raise FailedPrecondition(
            "DATABASE_REFUSED", f"{place(url)}: the account may make no databases (CREATEDB)"
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, mode=0o755)
    except OSError as error:
        raise FailedPrecondition(
            "FOLDER_NOT_WRITABLE", f"--data: {folder} cannot be made: {error.strerror}", path=folder
        ) from None


def _ports(plan: Plan) -> Iterator[tuple[int, str]]:
    for node, ports in plan.ports.items():
        for port in sorted({*ports.services.values(), ports.timestamps, ports.enrolment}):
            yield port, node
    if plan.postgres_port is not None:
        yield plan.postgres_port, "postgres"
