"""The command line as a program: what it prints, how it explains itself, how it refuses, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from lienthong.cli import app, hoisted, main
from lienthong.cli.exits import MEANINGS

from tests.unit.libs.cli_profiles import write_profiles

TRACE = "0af7651916cd43dd8448eb211c80319c"
PROGRAM = [sys.executable, "-m", "lienthong.cli"]
OURS = (
    *("prepare", "sign", "send", "reply"),
    *("inbox", "fetch", "accept", "refuse", "assign", "process", "complete"),
    *("submission", "receipts", "journey", "trace", "register", "ping", "profiles"),
)


@dataclass(frozen=True)
class Ended:
    """How a run in this process ended."""

    code: object
    out: str
    err: str


@pytest.fixture
def lienthong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ended]:
    """The program in this process, in a folder of its own, with nobody's profiles."""
    for name in ("LIENTHONG_PROFILE", "LIENTHONG_PROFILES", "LIENTHONG_LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["lienthong", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return Ended(ended.value.code, said.out, said.err)

    return run


Run = Callable[..., Ended]


def command(*path: str) -> Any:
    found: Any = typer.main.get_command(app)
    for name in path:
        found = found.commands[name]
    return found


def span_file(folder: Path) -> Path:
    span = {
        "trace_id": TRACE,
        "span_id": "a",
        "parent_id": "",
        "name": "issue",
        "service": "node",
        "node": "G22",
    }
    file = folder / "spans.jsonl"
    file.write_text(json.dumps(span | {"start_ns": 0, "end_ns": 2_000_000}) + "\n")
    return file


def test_version(lienthong: Run) -> None:
    done = lienthong("version")

    assert (done.code, done.out.strip()) == (0, version("lienthong"))


def test_help_shows_the_day_the_profiles_and_the_exit_codes(lienthong: Run) -> None:
    done = lienthong("--help")

    assert done.code == 0
    for name in OURS:
        assert f"\n  {name} " in done.out
    for line in MEANINGS.splitlines()[1:]:
        assert line in done.out
    assert "LIENTHONG_PROFILES" in done.out


def test_help_loads_nothing_that_it_does_not_need() -> None:
    """Time is the machine's; what makes the start slow is what is imported."""
    code = (
        "import sys\nfrom lienthong.cli import main\nsys.argv = ['lienthong', '--help']\n"
        "try:\n    main()\nfinally:\n"
        "    heavy = {'grpc', 'rich.console', 'cryptography', 'pydantic', 'pyhanko', 'google.protobuf'}\n"
        "    print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("path", [*((name,) for name in OURS), ("storage", "verify")])
def test_every_command_explains_itself_in_both_languages_with_examples(path: tuple[str, ...]) -> None:
    found = command(*path)

    vietnamese, english, examples = found.help.split("\n\n")
    assert vietnamese != english
    title, *lines = examples.splitlines()[1:]
    assert title == "Ví dụ / Examples:"
    assert len(lines) % 3 == 0
    for said_vi, said_en, line in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        assert said_vi.startswith("  # ")
        assert said_en.startswith("  # ")
        assert said_vi != said_en
        assert line.startswith("  lienthong ")
        assert " ".join(path) in line
    for parameter in found.params:
        assert getattr(parameter, "help", None), parameter.name


def test_the_options_of_every_command_may_stand_anywhere() -> None:
    assert hoisted(["inbox", "--all", "--json", "--profile", "H01"]) == [
        "--json",
        "--profile",
        "H01",
        "inbox",
        "--all",
    ]
    assert hoisted(["inbox", "--language=en"]) == ["--language=en", "inbox"]
    assert hoisted(["send", "a.pdf", "--", "--json"]) == ["send", "a.pdf", "--", "--json"]
    assert hoisted(["demo", "--json", "out.json"]) == ["demo", "--json", "out.json"]
    assert hoisted(["inbox", "--profile"]) == ["--profile", "inbox"]


def test_trace_draws_what_the_nodes_wrote(lienthong: Run, tmp_path: Path) -> None:
    span_file(tmp_path)

    done = lienthong("trace", "--id", TRACE, str(tmp_path))
    older = lienthong("trace", str(tmp_path), TRACE)

    assert done.code == 0, done.err
    assert done.out.startswith(f"trace {TRACE}: 1 spans, 1 nodes, 2.0 ms")
    assert "issue" in done.out
    assert older.out == done.out


def test_trace_of_files_as_json(lienthong: Run, tmp_path: Path) -> None:
    span_file(tmp_path)

    done = lienthong("trace", "--id", TRACE, str(tmp_path), "--json")

    told = json.loads(done.out)
    assert told["trace_id"] == TRACE
    assert [(span["node"], span["name"], span["end_ns"]) for span in told["spans"]] == [
        ("G22", "issue", 2_000_000)
    ]


@pytest.mark.parametrize(
    ("language", "label", "words"), [("vi", "Nên làm: ", "Hãy"), ("en", "Next: ", "trace")]
)
def test_a_refusal_says_what_to_do_in_the_chosen_language(
    lienthong: Run, tmp_path: Path, language: str, label: str, words: str
) -> None:
    done = lienthong("trace", "--id", TRACE, str(tmp_path), "--language", language)

    assert done.code == 1
    assert done.out == ""
    reason, *_, advice = done.err.strip().splitlines()
    assert reason.startswith("lienthong: TRACE_UNKNOWN: ")
    assert advice.strip().startswith(label)
    assert words in advice
    assert "Traceback" not in done.err


def test_a_refusal_as_json_is_on_standard_error(lienthong: Run, tmp_path: Path) -> None:
    done = lienthong("trace", "--id", TRACE, str(tmp_path), "--json")

    assert (done.code, done.out) == (1, "")
    error = json.loads(done.err)["error"]
    assert (error["reason"], error["exit_code"]) == ("TRACE_UNKNOWN", 1)
    assert set(error["advice"]) == {"vi", "en"}
    assert error["metadata"]["trace_id"] == TRACE


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["inbox"], "PROFILES_MISSING"),
        (["inbox", "--profiles", "none.yaml"], "PROFILES_MISSING"),
        (["inbox", "--profiles", "broken.yaml"], "PROFILES_INVALID"),
        (["inbox", "--all", "--new"], "OPTIONS_EXCLUSIVE"),
        (["fetch"], "OPTIONS_EXCLUSIVE"),
        (["--language", "fr", "inbox"], "LANGUAGE_UNKNOWN"),
        (["send", "none.pdf", "--to", "H01", "--subject", "a", "--notation", "QĐ"], "FILE_MISSING"),
        (["send", "a.pdf", "--subject", "a", "--notation", "QĐ"], "RECIPIENTS_NOT_GIVEN"),
        (["send", "a.pdf", "--to", "H01", "--notation", "QĐ"], "SUBJECT_NOT_GIVEN"),
        (["send", "a.pdf", "--to", "H01", "--subject", "a"], "NOTATION_NOT_GIVEN"),
        (["send", "a.pdf", "--to", "H01", "--subject", "a", "--number", "0/QĐ"], "NUMBER_MALFORMED"),
        (["send", "a.pdf", "--to", "H01", "--subject", "a", "--number", "5/QĐ"], "DAY_MALFORMED"),
        (
            ["send", "a.pdf", "--to", "H01", "--subject", "a", "--notation", "Q", "--due", "x"],
            "DAY_MALFORMED",
        ),
        (
            ["send", "a.pdf", "--to", "H01", "--subject", "a", "--notation", "Q", "--urgency", "mau"],
            "URGENCY_UNKNOWN",
        ),
        (
            [
                *("send", "a.pdf", "--to", "H01", "--subject", "a", "--notation", "Q"),
                "--no-wait",
                "--delivered",
            ],
            "OPTIONS_EXCLUSIVE",
        ),
        (
            [*("reply", "5/Q", "a.pdf", "--subject", "a", "--notation", "Q"), "--no-wait", "--delivered"],
            "OPTIONS_EXCLUSIVE",
        ),
        (["prepare", "none.pdf"], "FILE_MISSING"),
        (["sign", "a.pdf", "-o", "b.pdf"], "FILE_EXISTS"),
        (["sign", "a.pdf", "-o", "none/b.pdf"], "FILE_MISSING"),
        (["register", "sideways"], "DIRECTION_UNKNOWN"),
        (["trace", "--id", TRACE, "none"], "FILE_MISSING"),
    ],
)
def test_what_is_typed_wrongly_is_refused_before_anything_is_sent(
    lienthong: Run, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    for name in ("a.pdf", "b.pdf"):
        (tmp_path / name).write_bytes(b"%PDF")
    (tmp_path / "broken.yaml").write_text("profiles: {a: {node: 5}}")

    done = lienthong(*arguments)

    assert done.code == 2, done.err
    assert done.err.startswith(f"lienthong: {reason}: ")
    assert "Nên làm: " in done.err
    assert "Traceback" not in done.err


def test_a_node_that_is_away_is_another_exit_code(lienthong: Run, tmp_path: Path) -> None:
    write_profiles(tmp_path, "G22/clerk/mau")

    done = lienthong("inbox", "--patience", "0")

    assert done.code == 4, done.err
    assert done.err.startswith("lienthong: PEER_UNAVAILABLE: ")


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_reader_that_went_away_is_no_accident(tmp_path: Path, flags: list[str]) -> None:
    span_file(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        program = [*PROGRAM, *flags, "trace", "--id", TRACE, str(tmp_path)]
        done = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (141, b"")


def test_stopped_by_hand_it_says_nothing_ugly(tmp_path: Path) -> None:
    fifo = tmp_path / "spans.jsonl"
    os.mkfifo(fifo)
    program = [*PROGRAM, "trace", "--id", TRACE, str(fifo)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stderr is not None
        with fifo.open("w"):  # opens once the program reads it
            time.sleep(0.1)
            running.send_signal(signal.SIGINT)
            assert running.wait(20) == 130
        assert "Traceback" not in running.stderr.read().decode()
