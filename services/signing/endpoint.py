"""The timestamp authority's own listener: RFC 3161 over HTTP, for programs that speak nothing else.

Plain HTTP: a token is signed and carries no secret; who needs privacy puts a proxy before it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiohttp import web
from lienthong.errors import Unavailable

from services.signing.tsa import TimestampAuthority
from services.signing.tsa_http import timestamp_app

_log: Final = logging.getLogger(__name__)


class TimestampEndpoint:
    """Listens on "host:port" while it runs."""

    def __init__(self, authority: TimestampAuthority, listen: str) -> None:
        self._authority = authority
        host, _, port = listen.rpartition(":")
        self._host, self._port = host, int(port)
        self._listening = False

    async def check_ready(self) -> None:
        if not self._listening:
            raise Unavailable("TIMESTAMP_UNAVAILABLE", "the timestamp listener is not open", port=self._port)

    async def run(self) -> None:
        """Serve until cancelled."""
        runner = web.AppRunner(timestamp_app(self._authority), access_log=None, handle_signals=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
            self._listening = True
            _log.info("timestamps over HTTP", extra={"host": self._host, "port": self._port})
            await asyncio.Event().wait()
        finally:
            self._listening = False
            await runner.cleanup()
