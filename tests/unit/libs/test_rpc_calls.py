"""Calls over a real server and real mutual TLS: errors of all kinds, roles, certificates, deadlines."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from lienthong.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from lienthong.rpc import deadline
from lienthong.rpc.client import Channels, channel_to
from lienthong.rpc.health import Health
from lienthong.rpc.identity import node_dns_name
from lienthong.settings import TlsSettings

from tests.unit.libs.rpc_support import (
    DOMAIN,
    NODE,
    ROUTING,
    Authority,
    Contract,
    Site,
    compile_contract,
    running,
)


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return compile_contract(tmp_path_factory.mktemp("contract"))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


@pytest.fixture
async def site(contract: Contract, authority: Authority) -> AsyncIterator[Site]:
    async with running(contract, authority.issue(f"spiffe://{DOMAIN}/node/H01/node")) as site:
        yield site


@pytest.fixture
def stub(site: Site, authority: Authority) -> Any:
    return site.stub(authority.issue(ROUTING))


async def asks(site: Site, *words: str) -> AsyncIterator[Any]:
    for word in words:
        yield site.ask(word)


async def call(kind: str, stub: Any, site: Site, what: str) -> list[str]:
    """The texts of the answers of one call of this kind."""
    if kind == "One":
        return [(await stub.One(site.ask(what))).text]
    if kind == "Collect":
        return [(await stub.Collect(asks(site, "x", what))).text]
    answers = stub.Many(site.ask(what)) if kind == "Many" else stub.Talk(asks(site, "first", what))
    return [answer.text async for answer in answers]


KINDS = ["One", "Many", "Collect", "Talk"]


@pytest.mark.parametrize("kind", KINDS)
async def test_answers(kind: str, stub: Any, site: Site) -> None:
    assert (await call(kind, stub, site, "hello"))[-1] == "hello"
    assert (await call(kind, stub, site, "caller"))[-1] == "node/H01/routing"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_domain_error_comes_out_as_itself(kind: str, stub: Any, site: Site) -> None:
    with pytest.raises(NotFound) as raised:
        await call(kind, stub, site, "domain")
    assert (raised.value.reason, raised.value.metadata["document"]) == ("ID_MALFORMED", "15")
    assert raised.value.violations[0].field == "document"


async def test_an_error_in_mid_stream_comes_after_the_answers_before_it(stub: Any, site: Site) -> None:
    got = []

    async def read_all() -> None:
        async for answer in stub.Many(site.ask("busy")):
            got.append(answer.text)

    with pytest.raises(ResourceExhausted) as raised:
        await read_all()
    assert got == ["first"]
    assert raised.value.retry_after == 2.5


@pytest.mark.parametrize("kind", KINDS)
async def test_a_defect_tells_only_a_correlation_id(
    kind: str, stub: Any, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Internal) as raised:
        await call(kind, stub, site, "defect")
    error = raised.value
    assert error.reason == "INTERNAL"
    assert "hunter2" not in error.message + str(error.metadata)
    logged = [
        r for r in caplog.records if getattr(r, "correlation_id", "") == error.metadata["correlation_id"]
    ]
    assert len(logged) == 1
    assert "hunter2" in str(logged[0].exc_info)


async def test_reading_and_writing_by_hand(stub: Any, site: Site) -> None:
    talk = stub.Talk()
    await talk.write(site.ask("a"))
    assert (await talk.read()).text == "a"
    await talk.write(site.ask("busy"))
    with pytest.raises(ResourceExhausted):
        await talk.read()
    with pytest.raises(ResourceExhausted):
        await talk.write(site.ask("late"))
    talk = stub.Talk()
    await talk.done_writing()
    assert await talk.read() is grpc.aio.EOF
    with pytest.raises(Unavailable) as closed:
        await talk.write(site.ask("late"))
    assert closed.value.reason == "STREAM_CLOSED"


async def test_every_call_is_one_log_line(stub: Any, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "lienthong.rpc"):
        await stub.One(site.ask("hello"))
        with pytest.raises(NotFound):
            await stub.One(site.ask("domain"))
    lines = [vars(r) for r in caplog.records if r.getMessage() == "call"]
    assert [(line["code"], line["reason"]) for line in lines] == [("OK", ""), ("NOT_FOUND", "ID_MALFORMED")]
    assert all(line["caller"] == "node/H01/routing" and line["ms"] >= 0 for line in lines)


@pytest.mark.parametrize("uri", [f"spiffe://{DOMAIN}/org/G22/clerk/a", f"spiffe://{DOMAIN}/node/G22/routing"])
async def test_the_wrong_role_is_refused(uri: str, site: Site, authority: Authority) -> None:
    other = site.stub(authority.issue(uri))
    for kind in KINDS:
        with pytest.raises(PermissionDenied) as refused:
            await call(kind, other, site, "hello")
        assert refused.value.reason == "ROLE_REFUSED"
        assert refused.value.metadata["method"] == f"/lienthong_test.v1.Probe/{kind}"


async def test_a_refusal_keeps_its_reason_while_we_are_writing(site: Site, authority: Authority) -> None:
    # A race in grpc.aio that one call in twenty lost (see calls._RealStatus): hence the many calls.
    other = site.stub(authority.issue(f"spiffe://{DOMAIN}/auditor/a"))
    reasons = set()
    for _ in range(100):
        with pytest.raises(PermissionDenied) as refused:
            await call("Talk", other, site, "hello")
        reasons.add(refused.value.reason)
    assert reasons == {"ROLE_REFUSED"}


async def test_a_method_without_the_option_is_closed(stub: Any, site: Site) -> None:
    with pytest.raises(PermissionDenied) as refused:
        await stub.Forgotten(site.ask("hello"))
    assert refused.value.reason == "METHOD_CLOSED"


async def test_unknown_identities(site: Site, authority: Authority) -> None:
    with pytest.raises(Unauthenticated) as nobody:
        await site.stub(authority.issue()).One(site.ask("hello"))
    with pytest.raises(PermissionDenied) as foreign:
        await site.stub(authority.issue("spiffe://other/node/H01/routing")).One(site.ask("hello"))
    assert (nobody.value.reason, foreign.value.reason) == ("IDENTITY_UNKNOWN", "TRUST_DOMAIN_FOREIGN")


async def test_without_a_client_certificate_nothing_is_served(site: Site, authority: Authority) -> None:
    credentials = grpc.ssl_channel_credentials(authority.roots.read_bytes())
    options = [("grpc.ssl_target_name_override", "localhost")]
    async with grpc.aio.secure_channel(f"127.0.0.1:{site.server.port}", credentials, options) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await site.contract.grpc.ProbeStub(channel).One(site.ask("hello"), timeout=5)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_root(site: Site, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", "TEST other root")
    # The client does not trust the server:
    with pytest.raises(Unavailable) as refused:
        await site.stub(stranger.issue(ROUTING)).One(site.ask("hello"))
    assert refused.value.reason == "TLS_REFUSED"
    # The server does not trust the client; in TLS 1.3 the client learns it after its own handshake.
    with pytest.raises(Unavailable) as refused:
        await site.stub(stranger.issue(ROUTING, roots=authority.roots)).One(site.ask("hello"))
    assert refused.value.reason in {"TLS_REFUSED", "PEER_UNAVAILABLE"}


async def test_the_server_must_be_the_node_that_was_meant(site: Site, authority: Authority) -> None:
    with pytest.raises(Unavailable) as refused:
        await site.stub(authority.issue(ROUTING), node_dns_name("G22")).One(site.ask("hello"))
    assert refused.value.reason == "TLS_REFUSED"


async def test_nobody_there(contract: Contract, authority: Authority) -> None:
    async with channel_to(authority.issue(ROUTING), "127.0.0.1:1", "localhost") as channel:
        with pytest.raises(Unavailable) as refused:
            await contract.grpc.ProbeStub(channel).One(contract.pb2.Ask(what="hello"))
    assert refused.value.reason == "PEER_UNAVAILABLE"


async def test_a_renewed_certificate_serves_without_a_restart(
    contract: Contract, authority: Authority, tmp_path: Path
) -> None:
    served = authority.issue(f"spiffe://{DOMAIN}/node/H01/node")
    async with running(contract, served) as site:
        assert (await site.stub(authority.issue(ROUTING)).One(site.ask("a"))).text == "a"
        renewed = Authority(tmp_path / "renewed", "TEST new root")
        files = renewed.issue(f"spiffe://{DOMAIN}/node/H01/node")
        for old, new in zip(served.model_dump().values(), files.model_dump().values(), strict=True):
            shutil.copy(new, f"{old}.next")
            Path(f"{old}.next").replace(old)
        client = renewed.issue(ROUTING)
        assert (await site.stub(client).One(site.ask("b"))).text == "b"


async def test_too_large_a_message_is_the_caller_s_mistake(stub: Any, site: Site) -> None:
    assert (await stub.One(site.ask("fits", load=bytes(1_900_000)))).text == "fits"
    with pytest.raises(InvalidArgument) as refused:
        await stub.One(site.ask("no", load=bytes(2_200_000)))
    assert refused.value.reason == "MESSAGE_TOO_LARGE"


async def test_an_unknown_method(site: Site, authority: Authority) -> None:
    async with channel_to(authority.issue(ROUTING), f"127.0.0.1:{site.server.port}", "localhost") as channel:
        with pytest.raises(FailedPrecondition) as refused:
            await channel.unary_unary("/lienthong_test.v1.Probe/Unheard")(b"")
    assert refused.value.reason == "METHOD_UNKNOWN"


async def test_the_default_deadline_of_unary_calls(site: Site, authority: Authority) -> None:
    impatient = site.stub(authority.issue(ROUTING), timeout=0.2)
    with pytest.raises(DeadlineExceeded):
        await impatient.One(site.ask("sleep"))
    await asyncio.wait_for(site.servicer.cancelled.wait(), 5)
    assert 4 < (await impatient.One(site.ask("deadline"), timeout=5)).number < 5.1  # gRPC rounds up
    streamed = [answer.number async for answer in impatient.Many(site.ask("deadline"))]
    assert streamed[-1] == -1.0  # none was set


async def test_the_remaining_deadline_is_passed_on(stub: Any, site: Site) -> None:
    site.servicer.relay_to = stub  # whose own default is 10 s
    left = (await stub.Relay(site.ask("deadline"), timeout=3)).number
    assert 2 < left < 3
    site.servicer.cancelled.clear()
    with pytest.raises(DeadlineExceeded):
        await stub.Relay(site.ask("sleep"), timeout=0.3)
    await asyncio.wait_for(site.servicer.cancelled.wait(), 5)


async def test_a_downstream_error_passes_through_as_itself(stub: Any, site: Site) -> None:
    site.servicer.relay_to = stub
    with pytest.raises(NotFound) as raised:
        await stub.Relay(site.ask("domain"))
    assert raised.value.metadata["document"] == "15"


def test_detached_work_has_no_deadline() -> None:
    current = deadline.set_deadline(-1.0)
    with pytest.raises(DeadlineExceeded):
        deadline.timeout_for(5)
    with deadline.detached():
        assert deadline.timeout_for(5) == 5
    current.over = True  # the call has ended; a task that it started goes on
    assert deadline.timeout_for(5) == 5


async def test_a_cancelled_call_is_cancelled_at_the_server(stub: Any, site: Site) -> None:
    running_call = asyncio.ensure_future(stub.One(site.ask("sleep")))
    await asyncio.sleep(0.3)
    running_call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running_call
    await asyncio.wait_for(site.servicer.cancelled.wait(), 5)


async def health_of(site: Site, tls: TlsSettings, service: str = "") -> int:
    async with channel_to(tls, f"127.0.0.1:{site.server.port}", "localhost") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
        return int(answer.status)


async def test_health_tells_the_truth(contract: Contract, authority: Authority) -> None:
    broken = True

    async def database() -> None:
        if broken:
            raise ConnectionError("no database")

    health = Health({"database": database})
    tls = authority.issue(f"spiffe://{DOMAIN}/auditor/a")
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    async with running(contract, authority.issue(ROUTING), health) as site:
        assert await health_of(site, tls) == not_serving  # nothing was checked yet
        assert not await health.probe()
        assert await health_of(site, tls) == not_serving
        assert health.failing == {"database"}
        broken = False
        assert await health.probe()
        assert await health_of(site, tls) == serving
        assert await health_of(site, tls, "lienthong_test.v1.Probe") == serving
        await health.stop()
        assert await health_of(site, tls) == not_serving


async def test_reflection_lists_the_services(site: Site, authority: Authority) -> None:
    tls = authority.issue(f"spiffe://{DOMAIN}/operator/a")
    async with channel_to(tls, f"127.0.0.1:{site.server.port}", "localhost") as channel:
        make: Any = reflection_pb2_grpc.ServerReflectionStub
        stub = make(channel)
        talk = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="*")]))
        names = [s.name async for answer in talk for s in answer.list_services_response.service]
    assert {"lienthong_test.v1.Probe", "grpc.health.v1.Health"} <= set(names)


async def test_channels_are_an_address_book(site: Site, authority: Authority) -> None:
    address = f"127.0.0.1:{site.server.port}"
    channels = Channels(authority.issue(ROUTING), {"registry": address, "storage": address}, node=NODE)
    try:
        assert channels.channel("registry") is channels.channel("storage")
        probe = channels.stub(site.contract.grpc.ProbeStub, "registry")
        assert (await probe.One(site.ask("a"))).text == "a"
        with pytest.raises(InvalidArgument):
            channels.channel("signing")
    finally:
        await channels.close()


async def test_two_servers_cannot_share_a_port(site: Site, contract: Contract, authority: Authority) -> None:
    from lienthong.rpc.server import build_server

    with pytest.raises(FailedPrecondition) as refused:
        await build_server(
            authority.issue(ROUTING), f"127.0.0.1:{site.server.port}", [], node=NODE, trust_domain=DOMAIN
        )
    assert refused.value.reason == "PORT_TAKEN"
