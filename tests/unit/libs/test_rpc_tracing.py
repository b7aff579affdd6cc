"""One trace across a relayed call, in a process of its own (a process has one tracer provider)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = """
import asyncio, sys
from pathlib import Path
from grpc_health.v1 import health_pb2, health_pb2_grpc
from lienthong import telemetry
from lienthong.errors import NotFound
from lienthong.rpc.client import channel_to
from lienthong.settings import TelemetrySettings
from tests.unit.libs.rpc_support import Authority, ROUTING, compile_contract, running

async def main(folder):
    contract, authority = compile_contract(folder), Authority(folder / "pki")
    async with running(contract, authority.issue(ROUTING)) as site:
        stub = site.servicer.relay_to = site.stub(authority.issue(ROUTING))
        with telemetry.span_from("", "submit"):
            await stub.Relay(site.ask("hello"))
        with telemetry.span_from("", "stream"):
            assert len([a async for a in stub.Many(site.ask("hello"))]) == 2
        try:
            await stub.Relay(site.ask("domain"))
        except NotFound:
            pass
        await health_pb2_grpc.HealthStub(site.channels[0]).Check(health_pb2.HealthCheckRequest())

folder = Path(sys.argv[1])
recording = telemetry.setup(TelemetrySettings(spans_file=folder / "spans.jsonl"), service="node", node="H01")
asyncio.run(main(folder))
recording.shutdown()
"""


@pytest.fixture(scope="module")
def spans(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("tracing")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / "spans.jsonl").read_text().splitlines()]


def lineage(spans: list[dict[str, Any]], root: str) -> list[str]:
    """The names from this root down to its last descendant."""
    (current,) = [span for span in spans if span["name"] == root]
    names = []
    while True:
        names.append(current["name"].rpartition("/")[2])
        children = [span for span in spans if span["parent_id"] == current["span_id"]]
        if not children:
            return names
        current = children[0]


def test_client_and_server_spans_form_one_trace(spans: list[dict[str, Any]]) -> None:
    assert lineage(spans, "submit") == ["submit", "Relay", "Relay", "One", "One"]
    assert lineage(spans, "stream") == ["stream", "Many", "Many"]


def test_a_refusal_is_found_in_every_span_on_its_way(spans: list[dict[str, Any]]) -> None:
    failed = [span for span in spans if span["status"] == "ERROR"]
    assert len(failed) == 4
    assert {span["status_text"] for span in failed} == {"ID_MALFORMED"}
    assert [span["attributes"].get("lienthong.reason") for span in failed].count("ID_MALFORMED") == 2


def test_probes_leave_no_spans(spans: list[dict[str, Any]]) -> None:
    assert not [span["name"] for span in spans if "Health" in span["name"]]
