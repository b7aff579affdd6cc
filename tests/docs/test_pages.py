"""Every command and code block of the pages works: typed into a real shell, against a real mesh.

All blocks of one page share a shell and a folder, as a reader's do. `make` is a stand-in there: a target that
`.ci/run` runs itself is only looked up, because this test is part of one; any other must at least exist.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import KINDS, ROOT, Block, blocks, links, pages

PAGES = pages()
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
_SECONDS = 170


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_says_what_it_is(page: Path) -> None:
    unknown = [f"line {block.line}: {block.kind!r}" for block in blocks(page) if block.kind not in KINDS]
    assert unknown == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    missing = [
        target
        for target in links(page)
        if not (page.parent / target).exists() and not (ROOT / target).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_yaml_block_is_yaml(page: Path) -> None:
    for block in blocks(page):
        if block.kind == "yaml":
            assert yaml.safe_load(block.text) is not None, f"line {block.line}"


def test_the_front_page_fits_on_a_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


@pytest.mark.mesh
@pytest.mark.timeout(_SECONDS + 10)
@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_what_the_page_tells_to_type_works(page: Path, tmp_path: Path) -> None:
    steps = [block for block in blocks(page) if block.kind in ("sh", "python")]
    if not steps:
        pytest.skip("the page has nothing to type")
    script = tmp_path / "typed.sh"
    script.write_text(_typed(steps), encoding="utf-8")
    folder = _reader(tmp_path / "reader")
    with (tmp_path / "said").open("wb") as said:
        shell = subprocess.run(
            ["bash", str(script)],
            cwd=folder,
            env=_environment(tmp_path),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
    output = (tmp_path / "said").read_text(encoding="utf-8", errors="replace")
    assert shell.returncode == 0, output[-6000:]


def _reader(folder: Path) -> Path:
    """A folder as the reader's: what the repository holds is there, what is typed leaves no trace in it."""
    folder.mkdir()
    for name in ("libs", "protos", "services", "k8s", "tests"):
        (folder / name).symlink_to(ROOT / name)
    # Whatever environment runs the tests is the one that `source .venv/bin/activate` enters.
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def _typed(steps: list[Block]) -> str:
    """One script: it stops at the first line that fails and ends what it started, whatever happens."""
    down = "lienthong down --data mesh --delete --yes >/dev/null 2>&1 || true"
    lines = ["set -euo pipefail", f"trap '{down}' EXIT"]
    for step in steps:
        lines.append(f"echo '--- {step.page}:{step.line}'")
        if step.kind == "sh":
            lines.append(step.text)
        else:
            lines.append(f"{sys.executable} - <<'PYTHON'\n{step.text}PYTHON")
    return "\n".join(lines) + "\n"


def _environment(tmp_path: Path) -> dict[str, str]:
    stand_ins = tmp_path / "bin"
    stand_ins.mkdir()
    make = stand_ins / "make"
    make.write_text(_MAKE.format(python=sys.executable, root=str(ROOT)), encoding="utf-8")
    make.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LIENTHONG_")}
    path = os.pathsep.join([str(stand_ins), str(Path(sys.executable).parent), kept.get("PATH", "")])
    # A package's modules are found wherever the reader stands; the pages' paths are of the tree.
    return {**kept, "PATH": path, "HOME": str(tmp_path)}


_MAKE = """#!{python}
import pathlib, re, sys
root = pathlib.Path({root!r})
target = sys.argv[1]
makefile = (root / "Makefile").read_text()
if not re.search(rf"^{{re.escape(target)}}:", makefile, re.MULTILINE):
    sys.exit(f"make: no target {{target}}")
"""


def test_ci_runs_the_two_commands_of_the_front_page() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    named = {
        match[1]
        for block in blocks(ROOT / "README.md")
        if block.kind == "sh"
        for match in re.finditer(r"^make ([a-z-]+)", block.text, re.MULTILINE)
    }
    run = set(re.findall(r"^make ([a-z-]+)", ci, re.MULTILINE))
    assert {"demo", "test"} <= named
    assert {"demo", "test", "check"} <= run
