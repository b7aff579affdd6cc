"""The demo as a person runs it: a program of its own, judged by its files, its JSON, what it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from lienthong.demo.journal import Journal

from tests.support.mesh import processes_naming
from tests.unit.libs.test_demo_journal import assert_shape

pytestmark = pytest.mark.mesh

RECIPIENTS = ["H01", "H01.03", "H01.15", "H01.15.07", "H01.15.09"]
PATHS = {
    "H01": ["G22", "H01"],
    "H01.03": ["G22", "H01"],
    "H01.15": ["G22", "H01", "H01.15"],
    "H01.15.07": ["G22", "H01", "H01.15", "H01.15.07"],
    "H01.15.09": ["G22", "H01", "H01.15"],
}


@dataclass(frozen=True)
class Played:
    """One finished run."""

    folder: Path
    code: int
    said: str
    journal: Any
    left: list[str]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("demo")
    demo, mark = _start(folder, "--json", "out.json")
    said, _ = demo.communicate(timeout=170)
    target = folder / "out.json"
    written = json.loads(target.read_text()) if target.exists() else None
    return Played(folder, demo.returncode, said, written, processes_naming(mark))


def test_it_ends_well_and_says_so(played: Played) -> None:
    assert played.code == 0, played.said
    assert "delivered 5/5, refused 1, lost 0, duplicated 0, number gaps 0" in played.said
    assert re.search(r"nút H01 khi gói tin đang (LEASED|ACCEPTED)", played.said)
    assert "lienthong trace" in played.said


def test_nothing_is_left_running_and_no_work_folder(played: Played) -> None:
    assert played.left == []
    assert list((played.folder / "tmp").iterdir()) == []


def test_the_json_has_its_shape_and_totals(played: Played) -> None:
    assert_shape(played.journal, Journal)
    assert played.journal["totals"] == {
        "delivered": 5,
        "refused": 1,
        "lost": 0,
        "duplicated": 0,
        "gaps": 0,
    }
    assert {refusal["reason"] for refusal in played.journal["refusals"]} == {
        "SECRET_REFUSED",
        "ATTACHMENT_CHANGED",
    }
    assert played.journal["trace"]["nodes"] == ["G22", "H01", "H01.15", "H01.15.07"]


def test_every_recipient_is_reached_over_the_tree_and_answers(played: Played) -> None:
    recipients = {recipient["organization"]: recipient for recipient in played.journal["recipients"]}
    assert sorted(recipients) == RECIPIENTS
    for code, recipient in recipients.items():
        assert [hop["node"] for hop in recipient["hops"]] == PATHS[code]
        statuses = [status["code"] for status in recipient["statuses"]]
        wanted = {"H01.03": ["01", "02"], "H01.15.07": ["01", "03", "04", "05", "06"]}
        assert statuses == wanted.get(code, ["01", "03"])
        assert recipient["arrival_number"] == (None if code == "H01.03" else 1)
    [answered] = played.journal["reply"]["recipients"]
    assert [status["code"] for status in answered["statuses"]] == ["01", "03"]
    assert [hop["node"] for hop in answered["hops"]] == list(reversed(PATHS["H01.15.07"]))


def test_the_files_are_where_it_says_and_what_it_says(played: Played) -> None:
    for attachment in _attachments(played):
        path = Path(attachment["path"])
        assert hashlib.sha256(path.read_bytes()).hexdigest() == attachment["sha256"]
        assert (attachment["verdict"], attachment["level"]) == ("VALID", "B-T")
        assert path.is_relative_to(played.folder / "build" / "demo")
    [reply] = played.journal["reply"]["recipients"][0]["attachments"]
    assert reply["sha256"] == reply["source_sha256"]
    names = {path.name for path in (played.folder / "build" / "demo" / "G22").iterdir()}
    assert {"so-van-ban-di.html", "so-van-ban-den.html"} <= names


@pytest.mark.oracle
def test_pdfsig_judges_both_signatures_of_both_documents_valid(played: Played) -> None:
    program = shutil.which("pdfsig")
    if program is None:
        pytest.skip("NOT JUDGED: pdfsig is missing; install poppler-utils")
    mains = {a["sha256"]: a["path"] for a in _attachments(played) if a["role"] == "MAIN"}
    assert len(mains) == 2
    for path in mains.values():
        said = subprocess.run([program, "-nocert", path], capture_output=True, text=True, check=False).stdout
        assert said.count("Signature is Valid") == 2, said
        assert len(re.findall(r"^  - Total document signed", said, re.MULTILINE)) == 1, said


@pytest.mark.parametrize(
    ("number", "moment"),
    [(signal.SIGINT, "Tạo khóa"), (signal.SIGINT, "Ngắt đột ngột"), (signal.SIGTERM, "Văn thư chuyển")],
)
def test_stopped_in_the_middle_it_leaves_nothing(number: signal.Signals, moment: str, tmp_path: Path) -> None:
    demo, mark = _start(tmp_path)
    with demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if moment in line:
                break
        # A terminal's Ctrl-C reaches the whole group, a supervisor's SIGTERM the program alone.
        (os.killpg if number == signal.SIGINT else os.kill)(demo.pid, number)
        said = demo.stdout.read()
        assert demo.wait(60) == 130, said
    # The watchdogs of nodes and database end a moment after their program.
    deadline = time.monotonic() + 15
    while (left := processes_naming(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []
    assert list((tmp_path / "tmp").iterdir()) == []


def _start(folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """The demo in a folder of its own; the mark is in the environment of every process that it starts."""
    mark, temporary = uuid.uuid4().hex, folder / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "DEMO_TEST_MARK": mark, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    program = [sys.executable, "-c", "from lienthong.cli import main; main()", "demo", *arguments]
    demo = subprocess.Popen(
        program,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    return demo, mark


def _attachments(played: Played) -> Iterator[Any]:
    for recipient in (*played.journal["recipients"], *played.journal["reply"]["recipients"]):
        yield from recipient["attachments"]
