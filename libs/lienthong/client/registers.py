"""The registers of one organization: entries, checks, exports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from lienthong.client.connection import Connection
from lienthong.client.files import arriving
from lienthong.registry.v1 import register_pb2, register_pb2_grpc

OUTGOING = register_pb2.DIRECTION_OUTGOING
INCOMING = register_pb2.DIRECTION_INCOMING
HTML = register_pb2.EXPORT_FORMAT_HTML
TEXT = register_pb2.EXPORT_FORMAT_TEXT


class Registers:
    """The books in which an organization's documents are numbered."""

    def __init__(self, connection: Connection, organization: str) -> None:
        self._connection = connection
        self._organization = organization
        self._service = connection.stub(register_pb2_grpc.RegisterServiceStub, "registry")

    def book(
        self, direction: register_pb2.Direction.ValueType, year: int, series: str = ""
    ) -> register_pb2.Book:
        """One of the organization's books."""
        return register_pb2.Book(
            organization=self._organization, direction=direction, year=year, series=series
        )

    async def entries(self, book: register_pb2.Book) -> AsyncIterator[register_pb2.Entry]:
        """All entries by number."""
        token = ""
        while True:
            request = register_pb2.ListEntriesRequest(book=book, page_token=token)
            page = await self._connection.repeat(lambda r=request: self._service.ListEntries(r))  # type: ignore[misc]
            for entry in page.entries:
                yield entry
            token = page.next_page_token
            if not token:
                return

    async def check(self, book: register_pb2.Book) -> register_pb2.CheckRegisterResponse:
        """Whether issued and void numbers together are 1..max, and the chain of records holds."""
        request = register_pb2.CheckRegisterRequest(book=book)
        return await self._connection.repeat(lambda: self._service.CheckRegister(request))

    async def export(
        self, book: register_pb2.Book, form: register_pb2.ExportFormat.ValueType, target: Path
    ) -> Path:
        """Write the book, ready to print or as text, to `target`."""

        async def call() -> Path:
            request = register_pb2.ExportRegisterRequest(book=book, format=form)
            with arriving(target) as file:
                async for piece in self._service.ExportRegister(request):
                    await asyncio.to_thread(file.write, piece.chunk)
            return target

        return await self._connection.repeat(call)
