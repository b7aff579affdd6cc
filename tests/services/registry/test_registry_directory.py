"""The directory through its stub: lookups by every code, resolution, imports."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from lienthong.errors import AlreadyExists, InvalidArgument, NotFound, PermissionDenied
from lienthong.registry.v1 import directory_pb2 as pb
from lienthong.settings import DatabaseSettings

from services.registry.app import build
from services.registry.settings import RegistrySettings
from tests.services.registry.asking import EXAMPLE, Registry, new_id

OPERATOR = "operator/an"


def commune(**fields: object) -> pb.Organization:
    facts: dict[str, object] = {
        "code": "H01.15.10",
        "name": "UBND xã MẪU thứ ba",
        "superior": "H01.15",
        "tier": pb.TIER_COMMUNE,
        "node": "H01.15",
        "valid_from": "2026-01-01",
    }
    return pb.Organization(**{**facts, **fields})  # type: ignore[arg-type]


def importing(
    *organizations: pb.Organization, nodes: list[pb.Node] | None = None
) -> pb.ImportOrganizationsRequest:
    return pb.ImportOrganizationsRequest(request_id=new_id(), nodes=nodes or [], organizations=organizations)


async def test_an_organization_is_found_by_every_code(registry: Registry) -> None:
    stub = registry.directory("org/H01/client/mau")
    alias = pb.Alias(scheme=pb.CODE_SCHEME_QCVN102, value="000.07.15.H01")
    for code in ("H01.15.07", "000.07.15.H01", "07.15.H01"):
        found = (await stub.GetOrganization(pb.GetOrganizationRequest(code=code))).organization
        assert (found.code, found.node, found.superior) == ("H01.15.07", "H01.15.07", "H01.15")
        assert list(found.aliases) == [alias]


async def test_unknown_and_malformed_codes_are_told_apart(registry: Registry) -> None:
    stub = registry.directory()
    with pytest.raises(NotFound, match="ORGANIZATION_UNKNOWN"):
        await stub.GetOrganization(pb.GetOrganizationRequest(code="H77"))
    with pytest.raises(InvalidArgument, match="ORGANIZATION_CODE_INVALID"):
        await stub.GetOrganization(pb.GetOrganizationRequest(code="tỉnh"))


async def test_recipients_resolve_item_by_item(registry: Registry) -> None:
    await registry.directory(OPERATOR).ImportOrganizations(
        importing(commune(valid_from="2026-03-03"), commune(code="H01.15.11", node=""))
    )
    codes = ["H01.15.09", "09.15.H01", "H01.99", "H77", "x", "H01.15.10", "H01.15.11", "G22"]
    answer = await registry.directory().ResolveRecipients(pb.ResolveRecipientsRequest(codes=codes))
    assert [(one.code, one.organization.node, one.reason) for one in answer.recipients] == [
        ("H01.15.09", "H01.15", ""),
        ("09.15.H01", "H01.15", ""),
        ("H01.99", "", "ORGANIZATION_CLOSED"),
        ("H77", "", "ORGANIZATION_UNKNOWN"),
        ("x", "", "ORGANIZATION_CODE_INVALID"),
        ("H01.15.10", "", "ORGANIZATION_NOT_YET_OPEN"),
        ("H01.15.11", "", "ORGANIZATION_NOT_SERVED"),
        ("G22", "G22", ""),
    ]
    # 3 March begins in Vietnam while UTC still has the 2nd: the clock stands at 2 March 01:00 UTC.
    registry.clock.advance(16 * 3600 - 1)
    late = await registry.directory().ResolveRecipients(pb.ResolveRecipientsRequest(codes=["H01.15.10"]))
    assert late.recipients[0].reason == "ORGANIZATION_NOT_YET_OPEN"
    registry.clock.advance(1)
    late = await registry.directory().ResolveRecipients(pb.ResolveRecipientsRequest(codes=["H01.15.10"]))
    assert late.recipients[0].reason == ""


async def test_ten_thousand_codes_resolve_at_once_and_no_more(registry: Registry) -> None:
    codes = [("H01", "000.07.15.H01", "H77", "x")[n % 4] for n in range(10_000)]
    answer = await registry.directory().ResolveRecipients(pb.ResolveRecipientsRequest(codes=codes))
    assert [one.code for one in answer.recipients] == codes
    with pytest.raises(InvalidArgument, match="TOO_MANY_ITEMS"):
        await registry.directory().ResolveRecipients(pb.ResolveRecipientsRequest(codes=[*codes, "H01"]))


async def test_pages_lead_through_all_organizations(registry: Registry) -> None:
    stub, codes, token = registry.directory("auditor/binh"), [], ""
    while True:
        page = await stub.ListOrganizations(pb.ListOrganizationsRequest(page_size=3, page_token=token))
        codes += [one.code for one in page.organizations]
        token = page.next_page_token
        if not token:
            break
    assert codes == ["G22", "H01", "H01.03", "H01.15", "H01.15.07", "H01.15.09", "H01.99"]
    with pytest.raises(InvalidArgument, match="PAGE_TOKEN_INVALID"):
        await stub.ListOrganizations(pb.ListOrganizationsRequest(page_token="~"))


async def test_the_tree_is_listed(registry: Registry) -> None:
    nodes = (await registry.directory().ListNodes(pb.ListNodesRequest())).nodes
    assert [(one.node, one.parent) for one in nodes] == [
        ("G22", ""),
        ("H01", "G22"),
        ("H01.15", "H01"),
        ("H01.15.07", "H01.15"),
    ]


async def test_imports_add_change_and_repeat(registry: Registry) -> None:
    stub = registry.directory(OPERATOR)
    request = importing(commune(), commune(code="H01.03", name="Sở MẪU đổi tên", tier=pb.TIER_PROVINCE))
    first = await stub.ImportOrganizations(request)
    assert (first.added, first.changed) == (1, 1)
    assert await stub.ImportOrganizations(request) == first
    same = importing(*request.organizations)
    again = await stub.ImportOrganizations(same)
    assert (again.added, again.changed, again.change_time) == (0, 0, first.change_time)
    request.organizations[0].name = "khác"
    with pytest.raises(AlreadyExists, match="REQUEST_ID_REUSED"):
        await stub.ImportOrganizations(request)


async def test_an_import_is_all_or_nothing(registry: Registry) -> None:
    stub = registry.directory(OPERATOR)
    with pytest.raises(InvalidArgument) as caught:
        await stub.ImportOrganizations(importing(commune(), commune(code="H01.15.11", node="H77", tier=0)))
    assert caught.value.violations[0].field == "organizations[1].tier"
    with pytest.raises(NotFound):
        await stub.GetOrganization(pb.GetOrganizationRequest(code="H01.15.10"))


async def test_imports_at_once_give_a_code_to_one_only(registry: Registry) -> None:
    stub = registry.directory(OPERATOR)
    old = [pb.Alias(scheme=pb.CODE_SCHEME_QCVN102, value="55.15.H01")]
    calls = [
        stub.ImportOrganizations(importing(commune(code=f"H01.15.{n}", aliases=old))) for n in range(20, 30)
    ]

    async def done(call: object) -> str:
        try:
            await call  # type: ignore[misc]
        except InvalidArgument as error:
            return error.reason
        return "IMPORTED"

    outcomes = await asyncio.gather(*map(done, calls))
    assert sorted(outcomes) == ["ALIAS_TAKEN"] * 9 + ["IMPORTED"]


async def test_who_may_not_import_is_refused(registry: Registry) -> None:
    for who in ("org/H01/clerk/mau", "auditor/binh", "node/G22/routing"):
        with pytest.raises(PermissionDenied, match="ROLE_REFUSED"):
            await registry.directory(who).ImportOrganizations(importing(commune()))


async def test_a_faulty_file_keeps_the_node_from_starting(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "organizations.yaml"
    path.write_text(EXAMPLE.read_text().replace("superior: H01.15\n", "superior: H88\n"))
    settings = RegistrySettings(database=DatabaseSettings(url=registry.database.url), organizations_file=path)
    with pytest.raises(InvalidArgument, match="SUPERIOR_UNKNOWN"):
        await build(settings, node=registry.pki.settings("H01"), database=registry.database)
