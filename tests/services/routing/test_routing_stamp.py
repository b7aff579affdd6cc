"""The timestamp authority is another organization's and may be away: a sealed document waits for its stamp,
off the request path, and cannot be sent before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from lienthong.client import MAIN
from lienthong.routing.v1 import submission_pb2

from tests.services.routing.papers import CLERK, HERE, SIXTH, Papers, client_of, document
from tests.support.node import Site, World
from tests.support.postgres import Databases

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Gate:
    """Stands before the node's own authority as somebody else's would: passes queries on, or is shut."""

    def __init__(self) -> None:
        self.is_open = True
        self.behind = ""
        self.turned_away = 0

    async def serve(self, request: web.Request) -> web.Response:
        if not self.is_open:
            self.turned_away += 1
            return web.Response(status=503)
        async with aiohttp.ClientSession() as session:
            query = {"data": await request.read(), "headers": {"Content-Type": request.content_type}}
            async with session.post(self.behind, **query) as answer:  # type: ignore[arg-type]
                return web.Response(body=await answer.read(), content_type=answer.content_type)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate() -> AsyncIterator[tuple[Gate, str]]:
    gate = Gate()
    application = web.Application()
    application.router.add_post("/", gate.serve)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield gate, f"http://127.0.0.1:{port}/"
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stamped_elsewhere(
    world: World,
    _databases: Databases,
    gate: tuple[Gate, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Site]:
    authority, url = gate
    folder: Path = tmp_path_factory.mktemp("stamped")
    site = await Site.create(world, "G22", _databases, folder, {"signing": {"tsa_urls": [url]}})
    authority.behind = site.timestamps_url
    await site.start()
    yield site
    await site.close()


async def test_a_sealed_document_waits_for_its_stamp(
    stamped_elsewhere: Site, gate: tuple[Gate, str], papers: Papers
) -> None:
    site, authority = stamped_elsewhere, gate[0]
    signed = await papers.signed(site)
    clerk = site.agency(CLERK)
    main = await clerk.attach(signed, MAIN)
    authority.is_open = False
    taken = await clerk.submit(document(main), [SIXTH], HERE)
    assert taken.state == submission_pb2.SUBMISSION_STATE_SEALED, "answered while the stamp is pending"
    async with asyncio.timeout(20):
        while authority.turned_away < 2:
            await asyncio.sleep(0.1)
    waiting = await clerk.submission(taken.submission_id)
    assert (waiting.state, waiting.envelope_id) == (submission_pb2.SUBMISSION_STATE_SEALED, "")
    assert await site.count("routing", "envelope") == 0, "what is not stamped is not sent"
    authority.is_open = True
    issued = await clerk.wait_issued(taken.submission_id, within=60)
    assert issued.document.number == waiting.document.number == 1
    inbox = site.agency(client_of(SIXTH)).inbox
    async with asyncio.timeout(20):
        while not (found := await inbox.all()):
            await asyncio.sleep(0.1)
    assert [verdict.level for delivery in found for verdict in delivery.verdicts] == ["B-T"]
