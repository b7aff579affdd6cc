"""Removes a mesh for ever, and nothing that is not its own.

A copy of a mesh's folder names the databases and links to the data of the mesh that it was copied from: of
a copy only what lies below its folder goes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from lienthong.errors import FailedPrecondition
from lienthong.mesh.databases import MeshDatabases
from lienthong.mesh.ground import data_name
from lienthong.mesh.layout import Layout
from lienthong.mesh.plan import Plan
from lienthong.mesh.state import MeshLock
from lienthong.postgres import ExternalPostgres


def delete(folder: Path) -> None:
    """Remove a stopped mesh for ever: its files, and on another's PostgreSQL the databases that it made.

    What we did not make stays, certificates of the owner's own first of all. Interrupted anywhere, it can be
    repeated, because the plan goes after all that it tells of.
    """
    layout = Layout(folder.resolve())
    plan = Plan.read(layout.plan)
    lock = MeshLock.take(layout.lock)
    if lock is None:
        raise FailedPrecondition("MESH_BUSY", "the mesh runs: stop it first")
    try:
        # The lock is held, but not by whom the state names: another `down` would signal a number that may
        # be anybody's by now.
        layout.state.unlink(missing_ok=True)
        if plan.folder in (None, layout.folder):
            _drop_databases(layout, plan)
        for place in _folders(layout, plan):
            _remove(place, follow=_is_own(place, layout, plan))
        for file in (layout.profiles, layout.postgres_url, *_run_files(layout), layout.plan):
            file.unlink(missing_ok=True)
        _remove(layout.run, follow=False)
        with suppress(OSError):
            layout.folder.rmdir()
    finally:
        lock.release()


def _drop_databases(layout: Layout, plan: Plan) -> None:
    # Without the URL nothing was made yet, or all was dropped by a removal that was interrupted.
    if plan.postgres_port is None and layout.postgres_url.exists():
        server = ExternalPostgres(layout.postgres_url.read_text(encoding="utf-8").strip())
        MeshDatabases(plan.mesh_id, dict.fromkeys(plan.ports, server)).drop()


def _folders(layout: Layout, plan: Plan) -> Iterator[Path]:
    yield layout.nodes
    yield layout.postgres
    if plan.pki is None:
        yield layout.pki


def _is_own(place: Path, layout: Layout, plan: Plan) -> bool:
    """Whether what a link points to is this mesh's, as PostgreSQL's data may be: ground.check_place."""
    return plan.folder == layout.folder or place.resolve().name == data_name(layout.folder)


def _remove(place: Path, *, follow: bool) -> None:
    if place.exists() and (follow or not place.is_symlink()):
        shutil.rmtree(place.resolve())
    if place.is_symlink():
        place.unlink()


def _run_files(layout: Layout) -> list[Path]:
    """All but the lock: without a plan they would be taken for somebody else's."""
    return [file for file in layout.run.iterdir() if file != layout.lock and not file.is_dir()]
