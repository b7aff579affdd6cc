"""The command line: what it prints, and how it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

TRACE = "0af7651916cd43dd8448eb211c80319c"


def lienthong(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from lienthong.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_version() -> None:
    done = lienthong("version")

    assert (done.returncode, done.stdout.strip()) == (0, version("lienthong"))


def test_trace_draws_what_the_nodes_wrote(tmp_path: Path) -> None:
    span = {
        "trace_id": TRACE,
        "span_id": "a",
        "parent_id": "",
        "name": "issue",
        "service": "node",
        "node": "G22",
    }
    line = json.dumps(span | {"start_ns": 0, "end_ns": 2_000_000})
    (tmp_path / "spans.jsonl").write_text(line + "\n")

    done = lienthong("trace", str(tmp_path), TRACE)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"trace {TRACE}: 1 spans, 1 nodes, 2.0 ms")
    assert "issue" in done.stdout


def test_a_refusal_says_what_to_do_in_both_languages(tmp_path: Path) -> None:
    done = lienthong("trace", str(tmp_path), TRACE)

    assert done.returncode == 1
    reason, vietnamese, english = done.stderr.strip().splitlines()
    assert "TRACE_UNKNOWN" in reason
    assert vietnamese.strip().startswith("vi: ")
    assert english.strip().startswith("en: ")
    assert "Traceback" not in done.stderr
