"""What a mesh may become later, and what its ports are."""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from lienthong.errors import FailedPrecondition, InvalidArgument
from lienthong.mesh.directory_news import mark_imported, news, write_news
from lienthong.mesh.layout import NodeLayout
from lienthong.mesh.parts import Mode, Part, parts_of
from lienthong.mesh.plan import Plan, new_plan
from lienthong.mesh.ports import assign
from lienthong.mesh.topology import Node, Organization, Topology
from lienthong.settings import SERVICES

RNG = random.Random(1)
OLD = Topology.named("three-tiers")


def plan(*, mode: Mode = "node", base: int | None = 20_000) -> Plan:
    return new_plan(OLD, mesh_id="0123abcd", processes=mode, base_port=base, embedded=True, pki=None, rng=RNG)


def changed(change: Any) -> Topology:
    content = OLD.model_dump(mode="json")
    change(content)
    return Topology.model_validate(content)


def with_a_node() -> Topology:
    node = Node(node="H01.110", name="MẪU", tier="COMMUNE", parent="H01")
    return OLD.with_node(node, Organization(code="H01.110", name="MẪU", tier="COMMUNE", node="H01.110"))


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = plan()
    written.write(tmp_path / "mesh.yaml")

    assert Plan.read(tmp_path / "mesh.yaml") == written
    assert [file.name for file in tmp_path.iterdir()] == ["mesh.yaml"]


@pytest.mark.parametrize("text", ["", "a: [", "version: 2", "- 1"])
def test_a_damaged_plan_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "mesh.yaml").write_text(text)

    with pytest.raises(InvalidArgument, match="MESH_FILE_INVALID"):
        Plan.read(tmp_path / "mesh.yaml")


@pytest.mark.parametrize(("mode", "each"), [("node", 3), ("services", 7)])
def test_ports_go_up_from_the_base_and_none_is_given_twice(mode: Mode, each: int) -> None:
    made = plan(mode=mode)
    numbers = [port for ports in made.view(Path()).ports.values() for port in sorted(ports.numbers())]

    assert numbers == list(range(20_000, 20_000 + 3 * each))
    assert made.postgres_port == 20_000 + 3 * each


def test_services_of_one_process_share_its_port_and_others_do_not() -> None:
    whole = assign(["H01"], 20_000, RNG)["H01"]
    parted = assign(["H01"], 20_000, RNG, mode="services")["H01"]

    assert set(whole.addresses.values()) == {"127.0.0.1:20000"} == {whole.of("node"), whole.of("storage")}
    assert len(set(parted.addresses.values())) == len(SERVICES)
    assert parted.address == parted.of("routing") == parted.addresses["routing"]
    assert parts_of("H01", "node") == (Part("H01"),)
    assert [part.name for part in parts_of("H01", "services")] == [f"H01/{name}" for name in SERVICES]


def test_what_is_added_is_taken_over_and_keeps_the_old_ports() -> None:
    old = plan()
    grown = old.grown(with_a_node(), RNG)

    assert {node: grown.ports[node] for node in old.ports} == old.ports
    new = grown.view(Path()).ports["H01.110"].numbers()
    assert min(new) > max(port for ports in old.view(Path()).ports.values() for port in ports.numbers())
    assert old.postgres_port not in new
    assert grown.grown(with_a_node(), RNG) == grown
    assert plan(base=None).grown(OLD, RNG).topology == OLD, "nothing new needs no port"


def test_a_person_more_is_an_addition() -> None:
    def add(content: dict[str, Any]) -> None:
        content["organizations"][0]["people"].append({"kind": "clerk", "name": "nguoi-moi"})

    assert len(plan().grown(changed(add), RNG).topology.organizations[0].people) == 4


CHANGES: list[tuple[str, Any, str]] = [
    ("trust domain", lambda c: c.update(trust_domain="khac.test"), "trust domain khac.test"),
    ("node left out", lambda c: _without_the_ward(c), "node H01.107 is left out"),
    ("parent", lambda c: c["nodes"][2].update(parent="G22"), "node H01.107: parent is 'G22'"),
    ("name", lambda c: c["organizations"][0].update(name="Khác"), "organization G22: name is 'Khác'"),
    (
        "node that serves",
        lambda c: c["organizations"][1].update(node="H01"),
        "organization G09: node is 'H01'",
    ),
    ("person left out", lambda c: c["organizations"][0]["people"].pop(), "organization G22: client qlvb"),
    ("operator left out", lambda c: c.update(operators=[]), "operators left out: quan-tri"),
    ("tiers", lambda c: c["tiers"][0].update(en="Centre"), "other tiers"),
]


def _without_the_ward(content: dict[str, Any]) -> None:
    content["nodes"].pop()
    for organization in content["organizations"]:
        if organization["node"] == "H01.107":
            organization["node"] = "H01"


@pytest.mark.parametrize(("change", "part"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES])
def test_any_other_change_is_refused_by_name(change: Any, part: str) -> None:
    with pytest.raises(FailedPrecondition, match="MESH_DIFFERS") as refusal:
        plan().grown(changed(change), RNG)

    assert part in refusal.value.message


def test_each_row_of_the_directory_is_given_to_a_node_once(tmp_path: Path) -> None:
    """What operators change afterwards must not be undone by the file of the beginning."""
    node = NodeLayout(tmp_path)
    first = write_news(OLD, node)
    assert first is not None
    assert len(yaml.safe_load(first.read_text())["organizations"]) == len(OLD.organizations)

    mark_imported(OLD, node)
    assert not first.exists()
    assert write_news(OLD, node) is None

    second = write_news(with_a_node(), node)
    assert second is not None
    rows = yaml.safe_load(second.read_text())
    assert [row["node"] for row in rows["nodes"]] == ["H01.110"]
    assert [row["code"] for row in rows["organizations"]] == ["H01.110"]
    assert news(OLD, {}) == {**news(OLD, {"nodes": []})}
