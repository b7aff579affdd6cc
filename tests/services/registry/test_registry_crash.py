"""The registry's own process, killed while it numbers: nothing acknowledged is lost, no number is skipped."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lienthong.errors import DomainError
from lienthong.registry.v1 import register_pb2 as pb
from lienthong.registry.v1.register_pb2_grpc import RegisterServiceStub

from tests.services.registry.asking import (
    EXAMPLE,
    ROUTING,
    check,
    issue,
    outgoing,
    reservation,
    reserve,
    void,
)
from tests.support.postgres import Databases
from tests.support.serving import TRUST_DOMAIN, Pki

ROOT = Path(__file__).parents[3]
CALLERS = 16
KILLED_AFTER = 120


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    told = b""
    async for line in process.stderr:
        told += line
        if b'"serving"' in line:
            return str(json.loads(line)["address"])
    raise AssertionError(f"the registry did not start: {told.decode()}")


@asynccontextmanager
async def registry_process(url: str, pki: Pki) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`python -m services.registry` and its address; ended with SIGTERM unless it is dead already."""
    tls = pki.tls("node/H01/registry")
    told = {
        "NODE": "H01",
        "TRUST_DOMAIN": TRUST_DOMAIN,
        "SERVICE": "registry",
        "TLS__CERTIFICATE": str(tls.certificate),
        "TLS__KEY": str(tls.key),
        "TLS__ROOTS": str(tls.roots),
        "REGISTRY__DATABASE__URL": url,
        "REGISTRY__ORGANIZATIONS_FILE": str(EXAMPLE),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LIENTHONG_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.registry",
        cwd=ROOT,
        env={**inherited, **{f"LIENTHONG_{name}": value for name, value in told.items()}},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        address = await asyncio.wait_for(_address(process), 60)
        assert process.stderr is not None
        drain = asyncio.create_task(process.stderr.read())  # a full pipe would stop the process
        yield process, address
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(asyncio.gather(process.wait(), drain), 30)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_killed_process_leaves_every_number_explained(databases: Databases, pki: Pki) -> None:
    url = await databases.create("services.registry")
    given: dict[str, int] = {}
    asked: dict[str, pb.Reservation] = {}

    async with registry_process(url, pki) as (process, address):
        channel = pki.channel(ROUTING, "H01", address)
        stub = RegisterServiceStub(channel)

        async def caller() -> None:
            while process.returncode is None:
                item = reservation()
                asked[item.request_id] = item
                try:
                    [number] = await reserve(stub, item)
                except DomainError:
                    return  # the process is dead
                given[number.entry_id] = number.number
                if len(given) == KILLED_AFTER:
                    process.kill()

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        await channel.close()
        assert await process.wait() == -9

    async with registry_process(url, pki) as (_, address):
        channels = [pki.channel(who, "H01", address) for who in (ROUTING, "operator/an")]
        stub, operator = (RegisterServiceStub(channel) for channel in channels)
        found = await check(operator, outgoing())
        assert found.highest >= len(given) >= KILLED_AFTER
        assert (list(found.missing), found.chain_intact) == ([], True)
        # Whoever repeats gets the number of before; whoever never heard an answer gets one now.
        answers = await asyncio.gather(*(reserve(stub, item) for item in asked.values()))
        numbers = {answer[0].entry_id: answer[0].number for answer in answers}
        assert numbers.items() >= given.items()
        assert sorted(numbers.values()) == list(range(1, len(asked) + 1))
        first, second, *_ = numbers
        await issue(stub, first, subject="MẪU")
        await void(stub, second)
        found = await check(operator, outgoing())
        assert found.issued + found.void + found.reserved == found.highest == len(asked)
        assert (list(found.missing), found.chain_intact) == ([], True)
        for channel in channels:
            await channel.close()
