"""Rules of a directory import: each breach is named by its row and field."""

from dataclasses import replace
from pathlib import Path

import pytest
from lienthong.errors import InvalidArgument

from services.registry.codes import CodeKey, CodeScheme
from services.registry.import_rules import Directory, NodeRow, OrganizationRow, merged
from services.registry.organizations_file import organizations_from_file

EXAMPLE = Path(__file__).parents[3] / "services/registry/examples/four-levels.yaml"
NODES, ORGANIZATIONS = organizations_from_file(EXAMPLE)
ROOT, PROVINCE = NODES[:2]
OFFICE = ORGANIZATIONS[0]


def known() -> Directory:
    return merged(Directory(), NODES, ORGANIZATIONS)


def test_the_example_holds_the_four_levels() -> None:
    directory = known()
    assert {n.node: n.parent for n in directory.nodes.values()} == {
        "G22": "",
        "H01": "G22",
        "H01.15": "H01",
        "H01.15.07": "H01.15",
    }
    served = {o.code: o.node for o in directory.organizations.values()}
    assert served["H01.03"] == "H01"
    assert served["H01.15.09"] == "H01.15"
    assert all("MẪU" in o.name for o in directory.organizations.values())
    assert directory.organizations["H01.15.07"].aliases == (CodeKey(CodeScheme.QCVN102, "000.07.15.H01"),)


def test_importing_again_changes_nothing() -> None:
    assert merged(known(), NODES, ORGANIZATIONS) == known()


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"code": "h01"}, "ORGANIZATION_CODE_INVALID", "organizations[0].code"),
        ({"node": "H77"}, "NODE_UNKNOWN", "organizations[0].node"),
        ({"superior": "H77"}, "SUPERIOR_UNKNOWN", "organizations[0].superior"),
        ({"superior": "H01.03"}, "SUPERIOR_CYCLE", "organizations[0].superior"),
        ({"valid_to": "2020-09-15"}, "VALIDITY_INVALID", "organizations[0].valid_to"),
        ({"valid_from": "15/9/2020"}, "VALIDITY_INVALID", "organizations[0].valid_from"),
        ({"valid_from": ""}, "VALIDITY_INVALID", "organizations[0].valid_from"),
        ({"tier": 0}, "TIER_UNKNOWN", "organizations[0].tier"),
        ({"name": " "}, "NAME_INVALID", "organizations[0].name"),
        ({"name": "a\0b"}, "NAME_INVALID", "organizations[0].name"),
        ({"aliases": ((2, "nonsense"),)}, "ORGANIZATION_CODE_INVALID", "organizations[0].aliases[0]"),
        ({"aliases": ((2, "01.H01"), (2, "07.15.H01"))}, "ALIAS_TAKEN", "organizations[0].aliases"),
        ({"aliases": ((1, "H01.03"),)}, "ALIAS_TAKEN", "organizations[0].aliases"),
    ],
)
def test_a_faulty_organization_is_named(change: dict[str, object], reason: str, field: str) -> None:
    row = replace(OFFICE, **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match=reason) as caught:
        merged(known(), [], [row])
    assert caught.value.reason == reason
    assert caught.value.violations[0].field == field


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (NodeRow("H02", "H99", "Nút MẪU", 2), "NODE_UNKNOWN"),
        (NodeRow("H02", "", "Gốc MẪU thứ hai", 1), "NODE_TREE_BROKEN"),
        (replace(PROVINCE, parent="H01.15.07"), "NODE_TREE_BROKEN"),
        (replace(PROVINCE, parent="H01"), "NODE_TREE_BROKEN"),
    ],
)
def test_a_faulty_node_is_named(row: NodeRow, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        merged(known(), [row], [])
    assert caught.value.reason == reason
    assert caught.value.violations[0].field == "nodes[0].parent"


def test_all_faults_are_told_at_once() -> None:
    rows = [replace(OFFICE, tier=9), ORGANIZATIONS[1], replace(OFFICE, code="H01.15", valid_from="")]
    with pytest.raises(InvalidArgument) as caught:
        merged(known(), [], rows)
    assert [violation.field for violation in caught.value.violations] == [
        "organizations[0].tier",
        "organizations[2].valid_from",
    ]


def test_a_row_twice_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="ORGANIZATION_DUPLICATE"):
        merged(known(), [], [OFFICE, OFFICE])


def test_a_code_passes_on_when_its_holder_has_closed() -> None:
    closed = replace(ORGANIZATIONS[2], valid_to="2025-07-01", aliases=((2, "03.H01"),))
    heir = OrganizationRow("H01.04", "Sở MẪU kế thừa", "H01", 2, "H01", "2025-07-01", "", ((2, "03.H01"),))
    after = merged(known(), [], [closed, heir])
    assert after.organizations["H01.04"].aliases == (CodeKey(CodeScheme.QCVN102, "000.00.03.H01"),)
    with pytest.raises(InvalidArgument, match="ALIAS_TAKEN"):
        merged(known(), [], [closed, replace(heir, valid_from="2025-06-30")])


@pytest.mark.parametrize(
    "text", ["nodes: [", "[]", "nodes: [{node: G22}]", "organisations: []", "nodes:\n - {node: G22, x: 1}"]
)
def test_a_faulty_file_says_where(tmp_path: Path, text: str) -> None:
    path = tmp_path / "organizations.yaml"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match="ORGANIZATIONS_FILE_INVALID"):
        organizations_from_file(path)
