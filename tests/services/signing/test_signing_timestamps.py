"""The node's own timestamp authority over HTTP and gRPC, its serials, and the clock it trusts."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from asn1crypto import tsp
from lienthong.clock import FakeClock
from lienthong.errors import Unavailable
from lienthong.signing.v1 import signing_pb2 as pb

from services.signing.clock_watch import ClockWatch
from services.signing.serials import BLOCK, Serials
from services.signing.settings import SigningSettings
from services.signing.store import reserve_serials, signatures_of
from services.signing.timestamps import TimestampRefused, build_query, read_reply
from services.signing.tsa import RefusedError
from tests.services.signing import wire
from tests.services.signing.conftest import AGENCY, AS_LEADER, Site

DATA = "nội dung MẪU".encode()
DIGEST = hashlib.sha256(DATA).digest()


async def over_http(site: Site, query: bytes) -> bytes:
    headers = {"Content-Type": "application/timestamp-query"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(site.timestamp_url, data=query, headers=headers) as reply,
    ):
        assert (reply.status, reply.content_type) == (200, "application/timestamp-reply")
        return await reply.read()


async def over_grpc(site: Site, query: bytes) -> bytes:
    answer = await site.timestamps().CreateTimestamp(pb.CreateTimestampRequest(query=query))
    return bytes(answer.reply)


def serial_of(reply: bytes) -> int:
    token = tsp.TimeStampResp.load(reply)["time_stamp_token"]
    return int(token["content"]["encap_content_info"]["content"].parsed["serial_number"].native)


@pytest.mark.oracle
@pytest.mark.parametrize("ask", [over_http, over_grpc])
async def test_openssl_accepts_the_token(site: Site, tmp_path: Path, ask: object) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("ORACLE MISSING: no openssl on this machine, tokens judged by ourselves only")
    assert callable(ask)
    files = {name: tmp_path / name for name in ("data", "query", "reply")}
    files["data"].write_bytes(DATA)
    files["query"].write_bytes(build_query(DIGEST, "sha256", 42))
    files["reply"].write_bytes(await ask(site, files["query"].read_bytes()))
    authority = site.pki.authority
    for against in (("-data", files["data"]), ("-queryfile", files["query"])):
        arguments = ["ts", "-verify", "-in", files["reply"], *against, "-CAfile", authority.roots_path]
        done = await asyncio.to_thread(
            subprocess.run,
            [openssl, *map(str, arguments), "-untrusted", str(authority.document_chain_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Verification: OK" in done.stdout, done.stdout + done.stderr


async def test_every_token_has_a_serial_of_its_own(site: Site) -> None:
    replies = await asyncio.gather(
        *((over_http if n % 2 else over_grpc)(site, build_query(DIGEST, "sha256", n)) for n in range(40))
    )
    assert len({serial_of(reply) for reply in replies}) == 40


async def test_a_refusal_is_an_answer(site: Site) -> None:
    for query in (b"", b"nonsense", b"\x30" * 70_000):
        with pytest.raises(TimestampRefused):
            read_reply(await over_grpc(site, query))


async def test_serials_survive_a_restart(site: Site) -> None:
    clock, seen = FakeClock(), set[int]()
    for _ in range(3):  # the same second: only the database keeps these processes apart
        serials = Serials(lambda: reserve_serials(site.database), clock)
        await serials.fill()
        seen.update(serials.take() for _ in range(5))
    assert len(seen) == 15
    assert max(seen).bit_length() < 160


async def test_serials_of_a_restored_database_differ_from_the_lost_ones() -> None:
    async def first_block() -> int:
        return 1

    clock, seen = FakeClock(), set[int]()
    for _ in range(2):
        serials = Serials(first_block, clock)
        await serials.fill()
        seen.update(serials.take() for _ in range(BLOCK))
        clock.advance(1)
    assert len(seen) == 2 * BLOCK


async def test_without_the_database_serials_last_for_a_while_and_then_nothing_is_stamped() -> None:
    numbers = iter((1, 2))

    async def two_blocks() -> int:
        try:
            return next(numbers)
        except StopIteration:
            raise Unavailable("DATABASE_UNAVAILABLE") from None

    serials = Serials(two_blocks, FakeClock())
    await serials.fill()
    serials.take()
    await serials.fill()
    taken = {serials.take() for _ in range(2 * BLOCK - 1)}
    assert len(taken) == 2 * BLOCK - 1
    with pytest.raises(RefusedError):
        serials.take()
    with pytest.raises(Unavailable):
        await serials.run()


async def test_a_clock_that_differs_from_its_witness_is_not_trusted() -> None:
    clock, error = FakeClock(), timedelta()

    async def witness() -> datetime:
        return clock.now() + error

    watch = ClockWatch(clock, witness, tolerance=1.0)
    assert not watch.is_trusted(), "unknown is not trusted"
    for apart, trusted in ((timedelta(seconds=0.5), True), (timedelta(hours=-1), False), (timedelta(), True)):
        error = apart
        await watch.compare()
        assert watch.is_trusted() is trusted
    await watch.check_ready()
    clock.advance(600)
    assert not watch.is_trusted(), "an old agreement proves nothing"
    with pytest.raises(Unavailable):
        await watch.check_ready()


class TestWithoutAnAuthority:
    """No authority answers: what needs a timestamp is refused whole."""

    @pytest.fixture
    def settings(self, settings: SigningSettings) -> SigningSettings:
        return settings.model_copy(update={"tsa": None, "tsa_urls": ()})

    async def test_a_leader_gets_no_unstamped_signature(self, site: Site, prepared: bytes) -> None:
        with pytest.raises(Unavailable) as refusal:
            await wire.signed(site.signing(AS_LEADER), wire.personal(AGENCY), prepared)
        assert refusal.value.reason == "TIMESTAMP_UNAVAILABLE"
        assert await signatures_of(site.database, wire.DOCUMENT_ID) == []

    async def test_queries_are_rejected_in_the_words_of_the_standard(self, site: Site) -> None:
        with pytest.raises(TimestampRefused):
            read_reply(await over_grpc(site, build_query(DIGEST, "sha256", 1)))
