"""The timestamp authority's own listener: RFC 3161 over HTTP, for programs that speak nothing else.

Plain HTTP: a token is signed and carries no secret; who needs privacy puts a proxy before it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

from aiohttp import web
from lienthong.rpc.ports import refused_port

from services.signing.tsa import TimestampAuthority
from services.signing.tsa_http import timestamp_app

_log: Final = logging.getLogger(__name__)


class TimestampEndpoint:
    """Listens on "host:port" from its making on; what comes before `run` waits in the kernel's queue."""

    def __init__(self, authority: TimestampAuthority, listen: str) -> None:
        self._authority = authority
        host, _, port = listen.rpartition(":")
        self._host, self._port = host, int(port)
        self._socket: socket.socket | None = self._bound()

    async def run(self) -> None:
        """Serve until cancelled."""
        # A second run, after a failure, needs a socket of its own: the first was closed with its server.
        listening, self._socket = self._socket or self._bound(), None
        runner = web.AppRunner(timestamp_app(self._authority), access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.SockSite(runner, listening).start()
            _log.info("timestamps over HTTP", extra={"host": self._host, "port": self._port})
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def close(self) -> None:
        """Let the port go where `run` was never called."""
        listening, self._socket = self._socket, None
        if listening is not None:
            listening.close()

    def _bound(self) -> socket.socket:
        try:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            return socket.create_server((self._host.strip("[]"), self._port), family=family)
        except OSError as error:
            raise refused_port(f"{self._host}:{self._port}", "signing.tsa_listen") from error
