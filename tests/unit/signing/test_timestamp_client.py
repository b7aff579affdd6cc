"""The client of other organizations' timestamp authorities: slow, failing, lying, refusing ones."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from asn1crypto import cms
from lienthong.clock import FakeClock
from lienthong.errors import DataLoss, InvalidArgument, Unavailable

from services.signing.pdf_timestamper import PdfTimestamper
from services.signing.timestamps import HttpTimestamper, build_query, verify_token
from services.signing.tsa_http import REPLY_TYPE, timestamp_app
from tests.support.ooxml import OoxmlWorld, timestamp_authority

DIGEST = hashlib.sha256("MẪU".encode()).digest()
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HurriedClock(FakeClock):
    """Sleeping takes no time, but is remembered."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.advance(seconds)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> OoxmlWorld:
    return OoxmlWorld.create(tmp_path_factory.mktemp("pki"))


@asynccontextmanager
async def serving(answer: Answer | web.Application) -> AsyncIterator[str]:
    app = answer
    if not isinstance(app, web.Application):
        app = web.Application()
        app.router.add_post("/", answer)  # type: ignore[arg-type]
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url("/"))
    finally:
        await server.close()


def reply(body: bytes) -> web.Response:
    return web.Response(body=body, content_type=REPLY_TYPE)


def client(
    office: OoxmlWorld, *urls: str, clock: FakeClock | None = None, **options: float
) -> HttpTimestamper:
    return HttpTimestamper(urls, office.trust, clock or HurriedClock(), **options)  # type: ignore[arg-type]


async def test_token(office: OoxmlWorld) -> None:
    async with serving(timestamp_app(office.tsa)) as url, client(office, url) as timestamper:
        token = await timestamper.timestamp(DIGEST, "sha256")
    assert verify_token(token, DIGEST, office.trust).time == office.clock.now()


async def test_slow_authority_is_waited_for(office: OoxmlWorld) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.4)
        return reply(office.tsa.respond(await request.read()))

    async with serving(slow) as url, client(office, url, timeout=5) as timestamper:
        assert await timestamper.timestamp(DIGEST, "sha256")


async def test_second_authority_is_asked_when_the_first_is_too_slow(office: OoxmlWorld) -> None:
    asked: list[str] = []

    async def never(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        await asyncio.sleep(2)
        return web.Response()

    async with (
        serving(never) as first,
        serving(timestamp_app(office.tsa)) as second,
        client(office, first, second, timeout=0.2) as timestamper,
    ):
        assert await timestamper.timestamp(DIGEST, "sha256")
    assert asked == ["/"]


async def _broken(request: web.Request) -> web.StreamResponse:
    return web.Response(status=500)


async def _page(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>bảo trì</html>")


async def _redirect(request: web.Request) -> web.StreamResponse:
    raise web.HTTPTemporaryRedirect("http://169.254.169.254/")


async def _flood(request: web.Request) -> web.StreamResponse:
    return reply(bytes(70_000))


@pytest.mark.parametrize("first", [_broken, _page, _redirect, _flood])
async def test_failing_first_authority(office: OoxmlWorld, first: Answer) -> None:
    async with (
        serving(first) as bad,
        serving(timestamp_app(office.tsa)) as good,
        client(office, bad, good) as timestamper,
    ):
        assert await timestamper.timestamp(DIGEST, "sha256")


async def test_nobody_answers(office: OoxmlWorld) -> None:
    clock = HurriedClock()
    urls = [f"http://127.0.0.1:{unused_port()}/" for _ in range(2)]
    async with client(office, *urls, clock=clock, attempts=4, pause=2.0) as timestamper:
        with pytest.raises(Unavailable, match="TIMESTAMP_UNAVAILABLE") as caught:
            await timestamper.timestamp(DIGEST, "sha256")
    assert clock.pauses == [2.0, 4.0, 8.0]
    assert len(caught.value.metadata) == 2


async def test_refusal_is_told(office: OoxmlWorld) -> None:
    issued = office.authority.issued("tsa/test", "timestamp")
    tsa = timestamp_authority(issued, office.clock, clock_trusted=lambda: False)
    async with serving(timestamp_app(tsa)) as url, client(office, url, attempts=1) as timestamper:
        with pytest.raises(Unavailable, match="TIMESTAMP_UNAVAILABLE") as caught:
            await timestamper.timestamp(DIGEST, "sha256")
    assert "refused" in caught.value.metadata["authority_1"]


async def test_false_tokens(office: OoxmlWorld, tmp_path: Path) -> None:
    """Over another digest, of another request (a replay), of a stranger: nothing is what it says."""
    replayed = office.tsa.respond(build_query(DIGEST, "sha256", 1))
    stranger = OoxmlWorld.create(tmp_path)

    async def other_digest(request: web.Request) -> web.StreamResponse:
        return reply(office.tsa.respond(build_query(bytes(32), "sha256", 1)))

    async def replay(request: web.Request) -> web.StreamResponse:
        return reply(replayed)

    async def strange(request: web.Request) -> web.StreamResponse:
        return reply(stranger.tsa.respond(await request.read()))

    for lie in (other_digest, replay, strange):
        async with serving(lie) as url, client(office, url, attempts=1) as timestamper:
            with pytest.raises(DataLoss, match="TIMESTAMP_INVALID"):
                await timestamper.timestamp(DIGEST, "sha256")


async def test_few_requests_in_flight(office: OoxmlWorld) -> None:
    running, most = 0, 0

    async def counting(request: web.Request) -> web.StreamResponse:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.03)
        running -= 1
        return reply(office.tsa.respond(await request.read()))

    async with serving(counting) as url, client(office, url, max_in_flight=3) as timestamper:
        tokens = await asyncio.gather(*(timestamper.timestamp(DIGEST, "sha256") for _ in range(12)))
    assert len(set(tokens)) == 12
    assert most == 3


async def test_weak_digest_is_not_even_sent(office: OoxmlWorld) -> None:
    async with client(office, "http://127.0.0.1:9/") as timestamper:
        with pytest.raises(InvalidArgument, match="DIGEST_INVALID"):
            await timestamper.timestamp(bytes(20), "sha1")


async def test_for_pyhanko(office: OoxmlWorld) -> None:
    stamper = PdfTimestamper(office.timestamper)
    token = await stamper.async_timestamp(DIGEST, "sha256")
    assert isinstance(token, cms.ContentInfo)
    assert verify_token(token.dump(), DIGEST, office.trust).time == office.clock.now()
    assert len((await stamper.async_dummy_response("sha256")).dump()) > len(token.dump())
