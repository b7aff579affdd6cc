"""What the machine could do at best: a bare stream over mutual TLS, bare commits of PostgreSQL.

The other end of the stream is a process of its own (`python -m tests.bench.limits PORT ...`), as nodes are.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
import grpc
from lienthong.rpc.credentials import client_credentials, server_credentials
from lienthong.settings import TlsSettings

BATCH: Final = 64
_METHOD: Final = "/bench.Bare/Take"
_LIMIT: Final = [
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.max_send_message_length", 8 * 1024 * 1024),
    ("grpc.ssl_target_name_override", "localhost"),
]


async def bare_stream(tls: TlsSettings, *, documents: int, size: int) -> float:
    """Documents a second over one stream in batches of 64, each batch answered."""
    batch, rounds = os.urandom(size * BATCH), max(1, documents // BATCH)
    async with _other_end(tls) as call:
        began = time.monotonic()
        answers = call(_repeated(batch, rounds))
        count = 0
        async for _ in answers:
            count += 1
        return count * BATCH / (time.monotonic() - began)


async def bare_bytes(tls: TlsSettings, *, size: int, piece: int = 256 * 1024) -> float:
    """MB a second over one stream in pieces, answered by one byte each."""
    rounds = size // piece
    async with _other_end(tls) as call:
        began = time.monotonic()
        async for _ in call(_repeated(os.urandom(piece), rounds)):
            pass
        return rounds * piece / (time.monotonic() - began) / 1e6


async def bare_commits(url: str, *, documents: int, size: int) -> float:
    """Documents a second into one table, 64 a commit, on one connection."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS bench_bare (id bigint, content bytea)")
        rows = [(number, os.urandom(size)) for number in range(BATCH)]
        rounds = max(1, documents // BATCH)
        statement = "INSERT INTO bench_bare SELECT * FROM unnest($1::bigint[], $2::bytea[])"
        ids, contents = [row[0] for row in rows], [row[1] for row in rows]
        began = time.monotonic()
        for _ in range(rounds):
            await connection.execute(statement, ids, contents)
        return rounds * BATCH / (time.monotonic() - began)
    finally:
        await connection.execute("DROP TABLE IF EXISTS bench_bare")
        await connection.close()


async def _repeated(message: bytes, times: int) -> AsyncIterator[bytes]:
    for _ in range(times):
        yield message


@asynccontextmanager
async def _other_end(tls: TlsSettings) -> AsyncIterator[Any]:
    arguments = [str(path) for path in (tls.certificate, tls.key, tls.roots)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.limits", *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    try:
        async with grpc.aio.secure_channel(
            f"127.0.0.1:{port}", client_credentials(tls), options=_LIMIT
        ) as channel:
            yield channel.stream_stream(
                _METHOD, request_serializer=_as_it_is, response_deserializer=_as_it_is
            )
    finally:
        process.terminate()
        await process.wait()


def _as_it_is(message: bytes) -> bytes:
    return message


async def _take(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
    async for _ in requests:
        yield b"."


async def _serve(tls: TlsSettings) -> None:
    handler = grpc.stream_stream_rpc_method_handler(
        _take,
        request_deserializer=_as_it_is,
        response_serializer=_as_it_is,
    )
    server = grpc.aio.server(options=_LIMIT)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Bare", {"Take": handler}),))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(tls))
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    import uvloop

    certificate, key, roots = map(Path, sys.argv[1:])
    uvloop.run(_serve(TlsSettings(certificate=certificate, key=key, roots=roots)))
