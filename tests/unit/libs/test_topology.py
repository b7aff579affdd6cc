"""Topologies: the shipped one says what the demo needs; a wrong one is refused where it is wrong."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from lienthong.errors import InvalidArgument
from lienthong.mesh.node_settings import directory
from lienthong.mesh.topology import SHIPPED, Topology
from lienthong.pki.identity import Kind


def small(**changes: Any) -> dict[str, Any]:
    return {
        "trust_domain": "mau.test",
        "nodes": [
            {"node": "G22", "name": "MẪU", "tier": "CENTRAL"},
            {"node": "H01", "name": "MẪU", "tier": "PROVINCE", "parent": "G22"},
        ],
        "organizations": [{"code": "G22", "name": "MẪU", "tier": "CENTRAL", "node": "G22"}],
    } | changes


def parse(content: dict[str, Any]) -> Topology:
    return Topology.parse(yaml.safe_dump(content, allow_unicode=True))


def test_the_shipped_topology_has_four_levels_in_one_line() -> None:
    topology = Topology.four_levels()

    chain = [topology.root.node]
    while children := topology.children(chain[-1]):
        assert len(children) == 1
        chain.append(children[0].node)
    assert chain == ["G22", "H01", "H01.15", "H01.15.07"]
    assert [topology.node(node).tier for node in chain] == ["CENTRAL", "PROVINCE", "DISTRICT", "COMMUNE"]


def test_the_shipped_topology_serves_guests_and_knows_a_closed_agency() -> None:
    topology = Topology.four_levels()

    assert [o.code for o in topology.served_by("H01")] == ["H01", "H01.03", "H01.99"]
    assert [o.code for o in topology.served_by("H01.15")] == ["H01.15", "H01.15.09"]
    assert topology.organization("H01.99").valid_to == "2025-07-01"
    assert topology.organization("H01.15.07").signs_itself


def test_everybody_open_has_a_leader_a_clerk_and_software_and_is_marked() -> None:
    topology = Topology.four_levels()

    assert topology.operators
    for organization in topology.organizations:
        assert "MẪU" in organization.name
        if organization.valid_to is None:
            for kind in (Kind.LEADER, Kind.CLERK, Kind.CLIENT):
                assert list(organization.of_kind(kind)), (organization.code, kind)


def test_the_directory_of_a_topology_names_no_people() -> None:
    content = directory(Topology.four_levels())

    assert [node["node"] for node in content["nodes"]] == ["G22", "H01", "H01.15", "H01.15.07"]
    assert "parent" not in content["nodes"][0]
    assert all({"people", "signs_itself"}.isdisjoint(row) for row in content["organizations"])


WRONG = [
    ("no nodes", small(nodes=[]), "nodes"),
    ("unknown key", small(color="red"), "color"),
    ("bad tier", small(nodes=[{"node": "G22", "name": "M", "tier": "VILLAGE"}]), "nodes.0.tier"),
    ("bad code", small(nodes=[{"node": "../x", "name": "M", "tier": "CENTRAL"}]), "nodes.0.node"),
    (
        "unknown parent",
        small(nodes=[{"node": "G22", "name": "M", "tier": "CENTRAL", "parent": "G1"}]),
        "G1 is not a node",
    ),
    (
        "circle",
        small(
            nodes=[
                {"node": "G22", "name": "M", "tier": "CENTRAL", "parent": "H01"},
                {"node": "H01", "name": "M", "tier": "PROVINCE", "parent": "G22"},
            ]
        ),
        "circle",
    ),
    (
        "two roots",
        small(
            nodes=[
                {"node": "G22", "name": "M", "tier": "CENTRAL"},
                {"node": "H01", "name": "M", "tier": "PROVINCE"},
            ]
        ),
        "exactly one node",
    ),
    ("node twice", small(nodes=[{"node": "G22", "name": "M", "tier": "CENTRAL"}] * 2), "named twice"),
    (
        "served by nobody",
        small(organizations=[{"code": "G1", "name": "M", "tier": "CENTRAL", "node": "G9"}]),
        "G9 is not a node",
    ),
    (
        "no superior",
        small(
            organizations=[{"code": "G1", "name": "M", "tier": "CENTRAL", "node": "G22", "superior": "G2"}]
        ),
        "no superior G2",
    ),
    (
        "person twice",
        small(
            organizations=[
                {
                    "code": "G1",
                    "name": "M",
                    "tier": "CENTRAL",
                    "node": "G22",
                    "people": [{"kind": "clerk", "name": "a"}] * 2,
                }
            ]
        ),
        "person is named twice",
    ),
    (
        "name that is a path",
        small(
            organizations=[
                {
                    "code": "G1",
                    "name": "M",
                    "tier": "CENTRAL",
                    "node": "G22",
                    "people": [{"kind": "clerk", "name": "../a"}],
                }
            ]
        ),
        "organizations.0.people.0.name",
    ),
]


@pytest.mark.parametrize(("content", "part"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_a_wrong_topology_is_refused_where_it_is_wrong(content: dict[str, Any], part: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        parse(content)

    assert refusal.value.reason == "TOPOLOGY_INVALID"
    assert part in refusal.value.message


def test_the_small_topology_of_these_tests_is_right() -> None:
    assert parse(small()).root.node == "G22"


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [\n", "trust_domain: [1]"])
def test_what_is_no_topology_at_all_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="TOPOLOGY_INVALID"):
        Topology.parse(text)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="TOPOLOGY_INVALID"):
        Topology.read(tmp_path / "none.yaml")


def test_todays_topology_has_three_tiers_in_force_and_keeps_what_ended() -> None:
    topology = Topology.named("three-tiers")

    assert [tier.tier for tier in topology.tiers if tier.until is None] == ["CENTRAL", "PROVINCE", "COMMUNE"]
    assert topology.tier("DISTRICT").until == "2025-07-01"
    assert {node.tier for node in topology.nodes} == {"CENTRAL", "PROVINCE", "COMMUNE"}
    served = [o.code for o in topology.served_by("H01") if o.tier == "COMMUNE"]
    assert served == ["H01.108", "H01.109"], "communes without a node are served by their province's"
    closed = {o.code: o.valid_to for o in topology.organizations if o.valid_to}
    assert closed == {"H01.15": "2025-07-01", "H01.99": "2025-03-01"}


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_is_right_and_speaks_both_languages(name: str) -> None:
    topology = Topology.named(name)

    assert all(tier.vi and tier.en for tier in topology.tiers)
    assert all("MẪU" in organization.name for organization in topology.organizations)


def test_a_file_is_named_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(small()))

    assert Topology.named(str(file)).trust_domain == "mau.test"


CENTRAL = {"tier": "CENTRAL", "vi": "Trung ương", "en": "Central"}
PROVINCE = {"tier": "PROVINCE", "vi": "Tỉnh", "en": "Province"}
WRONG_TIERS = [
    ("not of this mesh", small(tiers=[CENTRAL]), "node H01: tier PROVINCE is not one of this mesh"),
    ("order", small(tiers=[PROVINCE, CENTRAL]), "node H01: tier PROVINCE is above that of its superior"),
    ("twice", small(tiers=[CENTRAL, PROVINCE, CENTRAL]), "a tier is named twice"),
    (
        "ended",
        small(tiers=[CENTRAL, {**PROVINCE, "until": "2025-07-01"}]),
        "node H01: tier PROVINCE ended on 2025-07-01",
    ),
    ("none", small(tiers=[]), "tiers"),
]


@pytest.mark.parametrize(
    ("content", "part"), [case[1:] for case in WRONG_TIERS], ids=[case[0] for case in WRONG_TIERS]
)
def test_tiers_that_do_not_fit_are_refused(content: dict[str, Any], part: str) -> None:
    with pytest.raises(InvalidArgument, match="TOPOLOGY_INVALID") as refusal:
        parse(content)

    assert part in refusal.value.message


def test_an_organization_of_an_ended_tier_must_have_ended_with_it() -> None:
    tiers = [CENTRAL, PROVINCE, {"tier": "DISTRICT", "vi": "Huyện", "en": "District", "until": "2025-07-01"}]
    row = {"code": "H01.15", "name": "M", "tier": "DISTRICT", "node": "H01"}
    office = {"code": "G22", "name": "MẪU", "tier": "CENTRAL", "node": "G22"}

    ended = parse(small(tiers=tiers, organizations=[office, {**row, "valid_to": "2025-07-01"}]))
    assert ended.organization("H01.15").tier == "DISTRICT"
    for late in ({}, {"valid_to": "2025-07-02"}):
        with pytest.raises(InvalidArgument, match=r"H01\.15: tier DISTRICT ended on 2025-07-01"):
            parse(small(tiers=tiers, organizations=[office, {**row, **late}]))


def test_who_stands_outside_may_stand_anywhere() -> None:
    party = {"code": "A01", "name": "M", "tier": "OUTSIDE", "node": "G22"}
    below = {"code": "A01.01", "name": "M", "tier": "PROVINCE", "node": "G22", "superior": "A01"}

    assert parse(small(organizations=[party, below])).organization("A01").tier == "OUTSIDE"
