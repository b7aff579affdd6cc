"""What a mesh needs of its machine, looked at before anything is written: folder, room, ports, database."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lienthong.clock import Clock
from lienthong.errors import FailedPrecondition
from lienthong.mesh.layout import Layout
from lienthong.mesh.plan import Plan
from lienthong.mesh.ports import is_free
from lienthong.postgres import require_reachable
from lienthong.preflight import check_folder, open_database, place
from lienthong.settings import DatabaseSettings

ROOM: Final = 1024**3
ELSEWHERE: Final = Path("/var/lib/lienthong")
# A mesh that ended a moment ago may still be closing its ports.
_PATIENCE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.2
_RUN_FILES: Final = frozenset({"lock", "state.yaml", ".state.yaml.new", "supervisor.log"})


def check_place(folder: Path, *, embedded: bool, elsewhere: Path = ELSEWHERE) -> None:
    """The folder can be written in and has room, and PostgreSQL's account can enter where its data will lie;
    made if need be.

    That account is nobody's where root starts the mesh, and root's own folders are closed to it: then data
    lie in `elsewhere`, and DIR/postgres points there.

    FOLDER_NOT_WRITABLE, DISK_NEARLY_FULL, FOLDER_NOT_REACHABLE, DATABASE_MISSING.
    """
    if not folder.exists():
        # Others may pass through, or PostgreSQL could not; what lies in it is closed to them.
        _make(folder)
    check_folder(folder, "--data", room=ROOM)
    link = folder / "postgres"
    if embedded and link.is_symlink() and not link.exists():
        # Not mounted, most likely: a new cluster in its place would hide the old one.
        target = link.readlink()
        raise FailedPrecondition(
            "DATABASE_MISSING", f"{link} points to {target}, which is not there", path=target
        )
    if embedded and not link.exists() and not _reachable(folder):
        data = elsewhere / data_name(folder)
        if not data.parent.exists():
            _make(data.parent)
        require_reachable(data.parent)
        data.mkdir(exist_ok=True, mode=0o700)
        link.symlink_to(data)


def data_name(folder: Path) -> str:
    """What PostgreSQL's data of this folder are called where they lie elsewhere."""
    return f"postgres-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"


def check_unclaimed(layout: Layout, pki: Path | None) -> None:
    """A folder without a mesh holds nothing that a mesh would overwrite or that `down --delete` would remove.

    FailedPrecondition("FOLDER_NOT_EMPTY"). What a first `up` leaves that was interrupted before its plan was
    written, and `pki` where it lies here, are in nobody's way.
    """
    found = next(_foreign(layout, pki), None)
    # Looked at last: the plan is written before anything of these, perhaps by another `up` just now.
    if found is not None and not layout.plan.exists():
        raise FailedPrecondition(
            "FOLDER_NOT_EMPTY", f"{layout.folder} holds {found}, which is no mesh's", path=layout.folder
        )


def check_original(layout: Layout, plan: Plan) -> None:
    """A copy of a mesh that is still there has data of its own: FailedPrecondition("MESH_COPIED") where it
    would write into the databases of the other.
    """
    link = layout.postgres
    shared = plan.postgres_port is None or (
        link.is_symlink() and link.readlink().name != data_name(layout.folder)
    )
    if shared and plan.is_copy(layout.folder):
        raise FailedPrecondition(
            "MESH_COPIED",
            f"{layout.folder} is a copy of the mesh in {plan.folder}, and its databases are that mesh's",
            path=layout.folder,
            original=plan.folder,
        )


def check_data(layout: Layout) -> None:
    """A mesh that lived still has its PostgreSQL's data: else DATABASE_MISSING, and no new cluster."""
    lived = layout.lived()
    if lived and not (layout.postgres / "data").exists():
        data = layout.postgres.resolve()
        raise FailedPrecondition(
            "DATABASE_MISSING",
            f"the databases of {', '.join(lived)} are not in {data}",
            nodes=", ".join(lived),
            path=data,
        )


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


def _foreign(layout: Layout, pki: Path | None) -> Iterator[str]:
    own_link = layout.postgres.is_symlink() and layout.postgres.readlink().name == data_name(layout.folder)
    for path in (layout.pki, layout.nodes, layout.profiles, layout.postgres_url, layout.postgres):
        if path == pki or (path == layout.postgres and own_link):
            continue
        if path.exists() or path.is_symlink():
            yield path.name
    if layout.run.exists() and not layout.run.is_dir():
        yield layout.run.name
    elif layout.run.exists():
        yield from (f"run/{file.name}" for file in layout.run.iterdir() if file.name not in _RUN_FILES)


def _reachable(folder: Path) -> bool:
    try:
        require_reachable(folder)
    except FailedPrecondition:
        return False
    return True


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
