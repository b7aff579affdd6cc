"""A mesh that stays and grows: what is added is taken over while it runs, any other change is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from lienthong.client import MAIN, Operator
from lienthong.client.agency import IssueHere
from lienthong.enrolment import Token
from lienthong.errors import NotFound
from lienthong.mesh import MeshView
from lienthong.mesh.joining import _token
from lienthong.mesh.topology import Node, Topology

from tests.mesh.mail import NOTATION, document, leader_signed
from tests.mesh.waiting import delivered, reached
from tests.support.mesh import agency, operator
from tests.support.standing import Standing, standing

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]

OFFICE = "G22"
PATIENCE = 150.0


@pytest.fixture(scope="module")
def mesh() -> Iterator[Standing]:
    """Three tiers of today; the tests here run in their order."""
    with standing("grows") as made:
        made.up("--topology", "three-tiers")
        yield made


async def test_another_topology_is_refused_and_an_addition_taken_over(mesh: Standing, tmp_path: Path) -> None:
    other = mesh.run("up", "--topology", "four-levels")
    assert (other.code, other.refusal["reason"]) == (1, "MESH_DIFFERS")
    assert "trust domain" in other.refusal["message"]

    content = Topology.named("three-tiers").model_dump(mode="json", exclude_none=True)
    content["organizations"][0]["name"] = "Tên khác MẪU"
    changed = tmp_path / "changed.yaml"
    changed.write_text(yaml.safe_dump(content), encoding="utf-8")
    renamed = mesh.run("up", "--topology", str(changed))
    assert renamed.refusal["reason"] == "MESH_DIFFERS"
    assert "organization G22: name" in renamed.refusal["message"]

    content = Topology.named("three-tiers").model_dump(mode="json", exclude_none=True)
    clerk = {"kind": "clerk", "name": "le-thi-moi", "title": "Lê Thị Mới"}
    added = {
        "code": "H01.04",
        "name": "Sở Xây dựng MẪU",
        "tier": "PROVINCE",
        "node": "H01",
        "superior": "H01",
    }
    content["organizations"].append({**added, "people": [clerk]})
    grown = tmp_path / "grown.yaml"
    grown.write_text(yaml.safe_dump(content), encoding="utf-8")
    view = mesh.up("--topology", str(grown))
    async with agency(view, "H01.04", "clerk") as department:
        assert list(await department.inbox.all()) == []
    await known_everywhere(view, "H01.04", "H01")


async def known_everywhere(view: MeshView, code: str, node: str) -> None:
    for place in view.topology.nodes:
        async with operator(view, place.node) as people:
            async with asyncio.timeout(30):
                while not await knows(people, code):
                    await asyncio.sleep(0.2)
            assert (await people.organization(code)).node == node


async def knows(people: Operator, code: str) -> bool:
    try:
        await people.organization(code)
    except NotFound:
        return False
    return True


def keep_a_token_that_nobody_knows(view: MeshView) -> None:
    """As after a try that failed, and a parent that forgot its tokens since: another is asked for."""
    newcomer = Node(node="H01.110", name="UBND xã MẪU Bốn", tier="COMMUNE", parent="H01")
    token = Token(
        node=newcomer.node,
        parent="H01",
        address=f"127.0.0.1:{view.ports['H01'].enrolment}",
        secret="bi-mat-khong-ai-biet",
        expire_time=datetime.now(UTC),
        roots=view.layout.roots.read_text(encoding="utf-8"),
    )
    token.write(_token(view.layout, newcomer))


async def test_a_new_node_enrols_and_serves_while_the_mesh_runs(mesh: Standing, tmp_path: Path) -> None:
    before = mesh.state
    keep_a_token_that_nobody_knows(mesh.view)
    said = mesh.run(
        "node add", "H01.110", "--name", "UBND xã MẪU Bốn", "--tier", "COMMUNE", "--parent", "H01"
    )
    assert said.code == 0, said
    view = mesh.view
    await known_everywhere(view, "H01.110", "H01.110")
    assert mesh.state.parts["G22"] == before.parts["G22"], "nobody was restarted for it"
    assert not list(view.layout.run.glob("*.token"))
    assert "request.der" in {
        file.name for file in view.layout.issued("node/H01.110/node", "tls").folder.iterdir()
    }

    signed = await leader_signed(view, OFFICE, tmp_path / "moi.pdf")
    async with agency(view, OFFICE, "clerk") as office, agency(view, "H01.110") as newcomer:
        main = await office.attach(signed, MAIN)
        sent = await office.submit(document(OFFICE, main), ["H01.110"], IssueHere(notation=NOTATION))
        issued = await office.wait_issued(sent.submission_id, within=PATIENCE)
        await reached(office, issued, "01", within=PATIENCE)
        assert (await delivered(newcomer, issued)).document.number == issued.document.number
    twice = mesh.run("node add", "H01.110", "--name", "Lại MẪU", "--tier", "COMMUNE", "--parent", "H01")
    assert twice.refusal["reason"] == "TOPOLOGY_INVALID"


async def test_delete_leaves_nothing_and_asks_first(mesh: Standing) -> None:
    unsure = mesh.run("down", "--delete")
    assert unsure.code == 1
    assert mesh.run("status").code == 0
    gone = mesh.run("down", "--delete", "--yes")
    assert (gone.code, gone.json) == (0, {"stopped": True, "deleted": True})
    assert not mesh.folder.exists()
    assert mesh.run("status").refusal["reason"] == "MESH_MISSING"
