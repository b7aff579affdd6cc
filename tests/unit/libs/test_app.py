"""A process from its start to its graceful end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from lienthong.app import App, serve, supervise
from lienthong.clock import FakeClock, SystemClock
from lienthong.errors import Unavailable
from lienthong.pki.testing import TestAuthority
from lienthong.routing.v1 import queue_pb2, queue_pb2_grpc
from lienthong.rpc.client import channel_to
from lienthong.rpc.server import Server
from lienthong.settings import NodeSettings, TlsSettings

from tests.unit.libs.rpc_support import DOMAIN, NODE, ROUTING, Authority, ProbeServicer, compile_contract


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def settings_of(authority: Authority) -> NodeSettings:
    tls = authority.issue(f"spiffe://{DOMAIN}/node/H01/node")
    return NodeSettings(node=NODE, trust_domain=DOMAIN, tls=tls, grace=5)


async def test_apps_share_one_server_and_end_gracefully(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    contract = compile_contract(tmp_path_factory.mktemp("contract"))
    servicer = ProbeServicer(contract)
    closed: list[str] = []
    looped = asyncio.Event()

    async def loop() -> None:
        looped.set()
        await asyncio.Event().wait()

    def closing(name: str, error: Exception | None = None) -> Any:
        async def close() -> None:
            closed.append(name)
            if error is not None:
                raise error

        return close

    async def ready() -> None:
        return None

    first = App(
        "probe",
        servicers=[(contract.grpc.add_ProbeServicer_to_server, servicer)],
        background=[loop],
        checks={"database": ready},
        close=[closing("pool"), closing("channels", OSError("already gone"))],
    )
    second = App("other", close=[closing("other")])
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve([first, second], settings_of(authority), stop, on_started=started.set_result)
    )
    server: Server = await started
    async with channel_to(authority.issue(ROUTING), f"127.0.0.1:{server.port}", "localhost") as channel:
        probe = contract.grpc.ProbeStub(channel)
        assert (await probe.One(contract.pb2.Ask(what="hello"))).text == "hello"
        await asyncio.wait_for(looped.wait(), 5)
        stub: Any = health_pb2_grpc.HealthStub(channel)
        health = await stub.Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        talk = probe.Talk()  # in flight while the server stops: it may finish
        await talk.write(contract.pb2.Ask(what="a"))
        assert (await talk.read()).text == "a"
        stop.set()
        await asyncio.sleep(0.2)
        await talk.write(contract.pb2.Ask(what="b"))
        assert (await talk.read()).text == "b"
        await talk.done_writing()
        with pytest.raises(Unavailable):
            await probe.One(contract.pb2.Ask(what="too late"))
    await asyncio.wait_for(serving, 10)
    assert closed == ["other", "channels", "pool"]


class Watched(queue_pb2_grpc.EventServiceServicer):
    """One event, then silence for ever, as with every Watch of this system."""

    async def ListEvents(
        self, request: queue_pb2.ListEventsRequest, context: Any
    ) -> queue_pb2.ListEventsResponse:
        return queue_pb2.ListEventsResponse()

    async def WatchEvents(
        self, request: queue_pb2.WatchEventsRequest, context: Any
    ) -> AsyncIterator[queue_pb2.WatchEventsResponse]:
        yield queue_pb2.WatchEventsResponse()
        await asyncio.Event().wait()


async def test_who_watches_does_not_hold_up_the_end(authority: Authority) -> None:
    app = App("watched", servicers=[(queue_pb2_grpc.add_EventServiceServicer_to_server, Watched())])
    settings = settings_of(authority).model_copy(update={"grace": 600.0})
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve([app], settings, stop, on_started=started.set_result))
    server: Server = await started
    async with channel_to(authority.issue(ROUTING), f"127.0.0.1:{server.port}", "localhost") as channel:
        call: Any = queue_pb2_grpc.EventServiceStub(channel).WatchEvents(queue_pb2.WatchEventsRequest())
        await anext(aiter(call))
        stop.set()
        with pytest.raises(Unavailable) as ended:
            await anext(aiter(call))
    assert ended.value.reason == "SHUTTING_DOWN"
    # Far within the grace of ten minutes.
    await asyncio.wait_for(serving, 30)


async def test_a_start_that_fails_closes_what_was_built(authority: Authority) -> None:
    closed = asyncio.Event()

    async def close() -> None:
        closed.set()

    settings = settings_of(authority).model_copy(update={"listen": "256.0.0.1:0"})
    with pytest.raises(Exception, match="cannot be bound"):
        await serve([App("a", close=[close])], settings, asyncio.Event())
    assert closed.is_set()


async def test_a_failing_loop_starts_again_after_a_growing_delay(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    starts: list[float] = []

    async def loop() -> None:
        starts.append(clock.monotonic())
        if len(starts) < 4:
            raise RuntimeError("lost the connection")

    task = asyncio.create_task(supervise("forwarder", loop, clock))
    with caplog.at_level(logging.ERROR):
        for _ in range(200):
            await asyncio.sleep(0)
            clock.advance(0.25)
    await task
    assert starts == [0.0, 0.5, 1.5, 3.5]
    assert [vars(record)["loop"] for record in caplog.records] == ["forwarder"] * 3


PROCESS = """
import sys
from pathlib import Path
from lienthong.app import App, run
from lienthong.settings import NodeSettings
async def close():
    Path(sys.argv[1]).write_text("closed")
async def loop():
    import asyncio
    print("up", flush=True)
    await asyncio.Event().wait()
async def build(settings):
    return [App("a", background=[loop], close=[close])]
run(build, NodeSettings)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_process_gracefully(number: int, tmp_path: Path) -> None:
    ours = TestAuthority.create(tmp_path / "pki", SystemClock(), DOMAIN)
    issued = ours.tls_node(NODE)
    tls = TlsSettings(certificate=issued.chain_path, key=issued.key_path, roots=ours.roots_path)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith("LIENTHONG_")},
        "LIENTHONG_NODE": NODE,
        "LIENTHONG_TRUST_DOMAIN": DOMAIN,
        **{f"LIENTHONG_TLS__{k.upper()}": str(v) for k, v in tls.model_dump().items()},
    }
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(tmp_path / "closed")],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.wait(20) == 0
    assert (tmp_path / "closed").read_text() == "closed"


async def test_loop_that_breaks_while_it_is_cancelled_ends() -> None:
    """A task group (before Python 3.13) then raises what broke it, and no CancelledError."""
    begun = asyncio.Event()
    runs = 0

    async def loop() -> None:
        nonlocal runs
        runs += 1
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ExceptionGroup("the stream broke", [OSError()]) from None

    task = asyncio.create_task(supervise("link", loop, FakeClock()))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()
    assert runs == 1
