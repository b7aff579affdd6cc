"""The plaintext listener for probes: the truth about health, and nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from lienthong.app import App, serve
from lienthong.errors import FailedPrecondition, Unavailable
from lienthong.routing.v1 import queue_pb2, queue_pb2_grpc
from lienthong.rpc.health import Health, answering_probes
from lienthong.rpc.server import Server
from lienthong.settings import NodeSettings

from tests.support.serving import free_port
from tests.unit.libs.rpc_support import DOMAIN, NODE, Authority

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Database:
    """Well or not, as the test says."""

    well = True

    async def check_ready(self) -> None:
        if not self.well:
            raise Unavailable("DATABASE_UNAVAILABLE", "the database does not answer")


class Events(queue_pb2_grpc.EventServiceServicer):
    """A service of the mTLS port."""

    async def ListEvents(self, request: queue_pb2.ListEventsRequest, context: Any) -> Any:
        return queue_pb2.ListEventsResponse()

    async def WatchEvents(self, request: queue_pb2.WatchEventsRequest, context: Any) -> Any:
        yield queue_pb2.WatchEventsResponse()


@asynccontextmanager
async def probing(address: str) -> AsyncIterator[grpc.aio.Channel]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        yield channel


async def ask(address: str, service: str = "") -> int:
    async with probing(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        return int(answer.status)


@asynccontextmanager
async def process(folder: Path, database: Database) -> AsyncIterator[str]:
    """A served process with a listener for probes; gives its address."""
    listen = f"127.0.0.1:{free_port()}"
    tls = Authority(folder / "pki").issue(f"spiffe://{DOMAIN}/node/H01/node")
    settings = NodeSettings(node=NODE, trust_domain=DOMAIN, tls=tls, health_listen=listen, grace=5)
    app = App(
        "probed",
        servicers=[(queue_pb2_grpc.add_EventServiceServicer_to_server, Events())],
        checks={"database": database.check_ready},
    )
    stop = asyncio.Event()
    started: asyncio.Future[Server] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve([app], settings, stop, on_started=started.set_result))
    await started
    try:
        yield listen
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def reaches(address: str, status: int) -> None:
    async with asyncio.timeout(10):
        while await ask(address) != status:
            await asyncio.sleep(0.05)


async def test_readiness_follows_the_checks_and_liveness_does_not(tmp_path: Path) -> None:
    database = Database()
    async with process(tmp_path, database) as address:
        await reaches(address, SERVING)
        assert await ask(address, "live") == SERVING
        database.well = False
        await reaches(address, NOT_SERVING)
        # Killing the process would not bring its database back.
        assert await ask(address, "live") == SERVING
        database.well = True
        await reaches(address, SERVING)


async def test_no_other_service_answers_without_a_certificate(tmp_path: Path) -> None:
    async with process(tmp_path, Database()) as address, probing(address) as channel:
        events: Any = queue_pb2_grpc.EventServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await events.ListEvents(queue_pb2.ListEventsRequest(), timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
        anything: Any = channel
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(anything)
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await anext(aiter(reflection.ServerReflectionInfo(asked, timeout=5)))
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_nobody_may_watch(tmp_path: Path) -> None:
    async with process(tmp_path, Database()) as address, probing(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await anext(aiter(stub.Watch(health_pb2.HealthCheckRequest(service="any"), timeout=5)))
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_service_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    async with process(tmp_path, Database()) as address:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(address, "lienthong.routing.v1.Nothing")
        assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_before_the_first_checks_nothing_is_ready_but_the_process_lives() -> None:
    health = Health({"database": Database().check_ready})
    async with answering_probes(health, "127.0.0.1:0") as address:
        assert address is not None
        assert await ask(address) == NOT_SERVING
        assert await ask(address, "live") == SERVING
        assert await health.probe()
        assert await ask(address) == SERVING


async def test_while_it_drains_it_says_so() -> None:
    health = Health()
    await health.probe()
    async with answering_probes(health, "127.0.0.1:0") as address:
        assert address is not None
        await health.stop()
        assert await ask(address) == NOT_SERVING
        assert await ask(address, "live") == SERVING


async def test_a_taken_port_stops_the_start() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(FailedPrecondition, match="PORT_TAKEN: health_listen"):
            async with answering_probes(Health(), listen):
                pass


async def test_without_an_address_there_is_no_listener() -> None:
    async with answering_probes(Health(), None) as address:
        assert address is None
