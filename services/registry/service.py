"""The servicers of the registry: convert in, do, convert out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from lienthong.errors import InvalidArgument, PermissionDenied
from lienthong.ids import parse_id
from lienthong.paging import page_size
from lienthong.registry.v1 import directory_pb2 as dpb
from lienthong.registry.v1 import (
    directory_pb2_grpc,
    enrolment_pb2,
    enrolment_pb2_grpc,
    register_pb2_grpc,
)
from lienthong.registry.v1 import register_pb2 as rpb
from lienthong.rpc.identity import CallerKind, current_caller

from services.registry import directory_convert, paging, register_convert
from services.registry.directory import OrganizationDirectory
from services.registry.domain import Register
from services.registry.enrolment import Enrolment
from services.registry.export import Chunks, HtmlPage, Page, TextPage, cells_of
from services.registry.registers import Registers

# A page also ends here, so that it stays below the largest message (2 MiB) whatever its lines hold.
_PAGE_BYTES: Final = 1024 * 1024
_FORMS: Final[dict[int, type[Page]]] = {
    rpb.EXPORT_FORMAT_HTML: HtmlPage,
    rpb.EXPORT_FORMAT_TEXT: TextPage,
}


class DirectoryServicer(directory_pb2_grpc.DirectoryServiceServicer):
    """Who is who, and who serves whom."""

    def __init__(self, directory: OrganizationDirectory) -> None:
        self._directory = directory

    async def GetOrganization(
        self, request: dpb.GetOrganizationRequest, context: Any
    ) -> dpb.GetOrganizationResponse:
        organization = await self._directory.get(request.code)
        return dpb.GetOrganizationResponse(organization=directory_convert.organization_to_proto(organization))

    async def ListOrganizations(
        self, request: dpb.ListOrganizationsRequest, context: Any
    ) -> dpb.ListOrganizationsResponse:
        size = page_size(request.page_size)
        page = await self._directory.page(paging.place_of(request.page_token), size + 1)
        return dpb.ListOrganizationsResponse(
            organizations=[directory_convert.organization_to_proto(one) for one in page[:size]],
            next_page_token=paging.token_of(page[size - 1].code) if len(page) > size else "",
        )

    async def ListNodes(self, request: dpb.ListNodesRequest, context: Any) -> dpb.ListNodesResponse:
        return directory_convert.nodes_to_proto(await self._directory.nodes())

    async def ResolveRecipients(
        self, request: dpb.ResolveRecipientsRequest, context: Any
    ) -> dpb.ResolveRecipientsResponse:
        directory_convert.check_count(len(request.codes), directory_convert.MAX_CODES, "codes")
        return directory_convert.resolutions_to_proto(await self._directory.resolve(request.codes))

    async def ImportOrganizations(
        self, request: dpb.ImportOrganizationsRequest, context: Any
    ) -> dpb.ImportOrganizationsResponse:
        nodes, organizations = directory_convert.rows_from_proto(request)
        request_id = parse_id(request.request_id, "request_id")
        identity = (str(current_caller()), request_id, directory_convert.content_of(request))
        imported = await self._directory.import_once(identity, nodes, organizations)
        return directory_convert.imported_to_proto(imported)


class EnrolmentServicer(enrolment_pb2_grpc.EnrolmentServiceServicer):
    """Nodes that join under this one."""

    def __init__(self, enrolment: Enrolment) -> None:
        self._enrolment = enrolment

    async def InviteNode(
        self, request: enrolment_pb2.InviteNodeRequest, context: Any
    ) -> enrolment_pb2.InviteNodeResponse:
        return await self._enrolment.invite(request, str(current_caller()))

    async def EnrolNode(
        self, request: enrolment_pb2.EnrolNodeRequest, context: Any
    ) -> enrolment_pb2.EnrolNodeResponse:
        return await self._enrolment.enrol(request)


class RegisterServicer(register_pb2_grpc.RegisterServiceServicer):
    """The registers of outgoing and incoming documents."""

    def __init__(self, registers: Registers, directory: OrganizationDirectory) -> None:
        self._registers = registers
        self._directory = directory

    async def ReserveNumbers(
        self, request: rpb.ReserveNumbersRequest, context: Any
    ) -> rpb.ReserveNumbersResponse:
        acts = register_convert.reservations_from_proto(request, self._registers.now())
        return register_convert.reserved_to_proto(await self._registers.perform(acts))

    async def IssueEntries(self, request: rpb.IssueEntriesRequest, context: Any) -> rpb.IssueEntriesResponse:
        entries = await self._registers.perform(register_convert.issues_from_proto(request))
        return rpb.IssueEntriesResponse(entry_ids=[str(entry.entry_id) for entry in entries])

    async def VoidEntry(self, request: rpb.VoidEntryRequest, context: Any) -> rpb.VoidEntryResponse:
        await self._registers.perform([register_convert.void_from_proto(request)])
        return rpb.VoidEntryResponse()

    async def RecordArrivals(
        self, request: rpb.RecordArrivalsRequest, context: Any
    ) -> rpb.RecordArrivalsResponse:
        acts = register_convert.arrivals_from_proto(request, self._registers.now())
        return register_convert.arrived_to_proto(await self._registers.perform(acts))

    async def ListEntries(self, request: rpb.ListEntriesRequest, context: Any) -> rpb.ListEntriesResponse:
        register = _readable(request.book)
        size = page_size(request.page_size)
        number, entry_id = paging.entry_place(request.page_token)
        page = await self._registers.page(register, number, entry_id, size + 1)
        response, room = rpb.ListEntriesResponse(), _PAGE_BYTES
        for entry in page[:size]:
            line = register_convert.entry_to_proto(entry)
            room -= line.ByteSize()
            if room < 0 and response.entries:
                break
            response.entries.append(line)
        if len(response.entries) < len(page):
            last = page[len(response.entries) - 1]
            response.next_page_token = paging.entry_token(last.number, last.entry_id)
        return response

    async def CheckRegister(
        self, request: rpb.CheckRegisterRequest, context: Any
    ) -> rpb.CheckRegisterResponse:
        return register_convert.inspection_to_proto(await self._registers.inspect(_readable(request.book)))

    async def ExportRegister(
        self, request: rpb.ExportRegisterRequest, context: Any
    ) -> AsyncIterator[rpb.ExportRegisterResponse]:
        register = _readable(request.book)
        form = _FORMS.get(request.format)
        if form is None:
            raise InvalidArgument("FORMAT_UNSPECIFIED", "an export is HTML or plain text", field="format")
        name = await self._directory.name(register.organization, "book.organization")
        async for chunk in self._printed(register, form(register, name)):
            yield rpb.ExportRegisterResponse(chunk=chunk)

    async def _printed(self, register: Register, page: Page) -> AsyncIterator[bytes]:
        chunks = Chunks()
        for chunk in chunks.add(page.beginning()):
            yield chunk
        async for entry in self._registers.lines(register):
            for chunk in chunks.add(page.line(cells_of(entry))):
                yield chunk
        for chunk in (*chunks.add(page.end()), chunks.rest()):
            yield chunk


def _readable(book: rpb.Book) -> Register:
    """The register, where the caller may read it: an organization reads its own and no other."""
    register = register_convert.register_from_proto(book)
    caller = current_caller()
    if caller.kind is CallerKind.ORGANIZATION and caller.organization != register.organization:
        raise PermissionDenied(
            "ORGANIZATION_FOREIGN",
            "the register belongs to another organization",
            field="book.organization",
            organization=register.organization,
        )
    return register
