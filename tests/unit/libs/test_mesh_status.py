"""How the status of a mesh is shown, to people and to programs."""

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lienthong.cli.mesh_status import render, shape
from lienthong.cli.output import Output
from lienthong.cli.texts import Words
from lienthong.mesh.status import MeshStatus, NodeStatus, ProcessStatus, ServerStatus, memory_of

NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
MIB = 1024 * 1024


def process(name: str, *, serving: bool = True) -> ProcessStatus:
    return ProcessStatus(name, serving, "127.0.0.1:18001", 42 if serving else None, NOW, 3, 77 * MIB)


def status(*, serving: bool = True, answers: bool = True) -> MeshStatus:
    office = NodeStatus("G22", "MẪU", "CENTRAL", None, (process("G22"),), None, 0, 38 * MIB, 2 * MIB)
    province = NodeStatus(
        "H01",
        "MẪU",
        "PROVINCE",
        "G22",
        (process("H01/registry"), process("H01/routing", serving=serving)),
        False,
        5,
        MIB,
        None,
    )
    server = ServerStatus("127.0.0.1:5432", own=True, answers=answers, pid=9, restarts=0)
    return MeshStatus(Path("/x"), "RUNNING", NOW, 41, server, (office, province))


def test_one_process_or_the_database_makes_it_unwell() -> None:
    assert status().well
    assert not status(serving=False).well
    assert not status(answers=False).well


def test_programs_get_all_of_it() -> None:
    content = json.loads(json.dumps(shape(status(serving=False))))

    assert (content["running"], content["well"]) == (True, False)
    assert [node["serving"] for node in content["nodes"]] == [True, False]
    assert content["nodes"][1]["processes"][1]["pid"] is None
    assert content["nodes"][0]["processes"][0]["since"] == "2026-03-02T01:00:00+00:00"


@pytest.mark.parametrize(("language", "heading"), [("vi", "Tiến trình"), ("en", "Process")])
def test_people_get_a_row_a_process(language: str, heading: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # no terminal's width: whole rows
    out = io.StringIO()
    render(status(serving=False), Output(Words(language), as_json=False, out=out))  # type: ignore[arg-type]
    lines = out.getvalue().splitlines()

    assert heading in lines[0]
    [routing] = [line for line in lines if "routing" in line]
    assert "✗" in routing
    [registry] = [line for line in lines if "registry" in line]
    assert registry.split()[-4:] == ["✗", "5", "1", "MiB"], "its parent is not connected and five wait"
    assert any("PostgreSQL" in line and "✓" in line for line in lines)


def test_memory_is_what_the_system_says() -> None:
    import os

    own = memory_of(os.getpid())
    assert own is None or own > 5 * MIB
    assert memory_of(2**22 + 1) is None
