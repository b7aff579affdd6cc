"""A wire between two nodes that can be counted and cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass
class Wire:
    """Carries TCP to `target`; `cut_after` bytes from there the connection breaks, once; so it does after
    each of `cuts` bytes to there. While it is `away`, which a cut makes it if `stays_cut`, nobody gets
    through. `pause` seconds between reads make it slow."""

    target: str
    cut_after: int = 0
    cuts: list[int] = field(default_factory=list)
    stays_cut: bool = False
    away: bool = False
    pause: float = 0.0
    to_target: int = 0
    from_target: int = 0
    connections: int = 0
    address: str = ""
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self, port: int = 0) -> Wire:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", port)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await asyncio.sleep(0.05)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.away:
            writer.transport.abort()
            return
        self.connections += 1
        host, port = self.target.split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        self._writers |= {writer, far_writer}
        with suppress(ConnectionError):
            await asyncio.gather(self._out(reader, far_writer), self._back(far_reader, writer))
        self._writers -= {writer, far_writer}
        for each in (writer, far_writer):
            each.close()

    async def _out(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.to_target += len(data)
            if self.cuts and self.to_target > self.cuts[0]:
                self.cuts.pop(0)
                self._cut()
                return
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(self.pause)
        writer.close()

    def _cut(self) -> None:
        self.away = self.stays_cut
        for each in list(self._writers):
            each.transport.abort()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.from_target += len(data)
            if self.cut_after and self.from_target > self.cut_after:
                self.cut_after = 0
                self._cut()
                return
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(self.pause)
        writer.close()
