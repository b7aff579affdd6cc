"""Spans in a file of JSON lines, log lines with the ids of their span, stored trace contexts."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lienthong import telemetry
from lienthong.settings import TelemetrySettings
from opentelemetry import trace

REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def spans_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Spans of `telemetry` go to this file; the provider of the process stays as it is."""
    file = tmp_path / "deep" / "spans.jsonl"
    provider = telemetry.make_provider(TelemetrySettings(spans_file=file), service="routing", node="H01")
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
    yield file
    provider.shutdown()


def wait_for_lines(file: Path, count: int) -> list[dict[str, Any]]:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if file.exists() and len(found := spans_in(file)) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"no {count} spans in {file}")


def test_a_stored_context_is_continued_and_written_without_a_flush(spans: Path) -> None:
    other = "00-1af7651916cd43dd8448eb211c80319c-c7ad6b7169203331-01"
    with telemetry.span_from(REMOTE, "relay", links=[other, "rubbish"], attributes={"batch": 3}):
        stored = telemetry.current_traceparent()
    (span,) = wait_for_lines(spans, 1)
    assert span["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert span["parent_id"] == "b7ad6b7169203331"
    assert stored == f"00-{span['trace_id']}-{span['span_id']}-01"
    assert (span["name"], span["service"], span["node"]) == ("relay", "routing", "H01")
    assert (span["attributes"], span["links"], span["status"]) == ({"batch": 3}, [other], "UNSET")
    assert span["end_ns"] >= span["start_ns"]
    assert spans.stat().st_mode & 0o077 == 0


def test_a_failure_is_in_the_span(spans: Path) -> None:
    with pytest.raises(ValueError, match="broken"), telemetry.span_from("", "fails"):
        raise ValueError("broken")
    (span,) = wait_for_lines(spans, 1)
    assert (span["status"], span["parent_id"]) == ("ERROR", "")


def test_what_the_sender_did_not_sample_is_not_written(spans: Path) -> None:
    with telemetry.span_from(REMOTE[:-1] + "0", "unsampled"):
        assert telemetry.current_traceparent().endswith("-00")
    with telemetry.span_from(REMOTE, "sampled"):
        pass
    assert [span["name"] for span in wait_for_lines(spans, 1)] == ["sampled"]


def test_outside_of_a_span_there_is_no_context() -> None:
    assert telemetry.current_traceparent() == ""


def test_log_lines_carry_their_span(spans: Path) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    stream = io.StringIO()
    try:
        telemetry.setup_logging("INFO", service="routing", node="H01", stream=stream)
        with telemetry.span_from(REMOTE, "work"):
            logging.getLogger("lienthong.x").info("gửi", extra={"code": "OK"})
            span_id = trace.format_span_id(trace.get_current_span().get_span_context().span_id)
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["code"], line["service"], line["node"]) == ("gửi", "OK", "routing", "H01")
    assert (line["trace_id"], line["span_id"]) == (REMOTE.split("-")[1], span_id)
    assert "gửi" in stream.getvalue()
    assert {"time", "level", "logger"} <= line.keys()


KILLED = """
import sys, time
from pathlib import Path
from lienthong import telemetry
from lienthong.settings import TelemetrySettings
telemetry.setup(TelemetrySettings(spans_file=Path(sys.argv[1])), service="x", node="H01")
assert not [m for m in sys.modules if "otlp" in m]
with telemetry.span_from("", "before"):
    pass
time.sleep(60)
"""


def test_a_kill_loses_only_the_tail(tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(file)])
    try:
        wait_for_lines(file, 1)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert [span["name"] for span in spans_in(file)] == ["before"]
