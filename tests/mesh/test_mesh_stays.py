"""A mesh that stays: documents, registers and numbers outlive stops, kills and a restart of the machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import yaml
from lienthong.client import MAIN
from lienthong.client.agency import IssueHere
from lienthong.client.profiles import Profiles
from lienthong.client.registers import INCOMING, OUTGOING
from lienthong.mesh import MeshView
from lienthong.registry.v1 import register_pb2

from tests.mesh.mail import NOTATION, document, leader_signed
from tests.mesh.reckoning import book
from tests.mesh.waiting import delivered, reached
from tests.support.mesh import agency
from tests.support.standing import Standing, standing

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="module")]

OFFICE, WARD = "G22", "H01.107"
NODES = ["G22", "H01", WARD]
# For a timestamp that is refused while the machine is so busy that the clock is doubted, and its back-off.
PATIENCE = 150.0


@pytest.fixture(scope="module")
def mesh() -> Iterator[Standing]:
    """Three tiers of today, brought up once; the tests here run in their order."""
    with standing("stays") as made:
        made.up("--topology", "three-tiers")
        yield made


async def send(view: MeshView, folder: Path) -> tuple[int, int]:
    """One document from the top to the ward, accepted there: its number and its arrival number."""
    signed = await leader_signed(view, OFFICE, folder / "van-ban.pdf")
    async with agency(view, OFFICE, "clerk") as office, agency(view, WARD) as ward:
        main = await office.attach(signed, MAIN)
        sent = await office.submit(document(OFFICE, main), [WARD], IssueHere(notation=NOTATION))
        issued = await office.wait_issued(sent.submission_id, within=PATIENCE)
        await reached(office, issued, "01", within=PATIENCE)
        delivery = await delivered(ward, issued)
        accepted = await ward.inbox.accept(delivery.delivery_id)
        await reached(office, issued, "03", within=PATIENCE)
    return issued.document.number, accepted.arrival_number


async def numbers(view: MeshView, code: str, direction: register_pb2.Direction.ValueType) -> list[int]:
    """The numbers in a register, as its organization reads them."""
    async with agency(view, code) as client:
        return sorted([entry.number async for entry in client.registers.entries(book(client, direction))])


async def check_kept(view: MeshView, count: int, folder: Path) -> None:
    """So many documents are in outbox, both registers and inbox, and the last can still be opened."""
    wanted = list(range(1, count + 1))
    assert await numbers(view, OFFICE, OUTGOING) == wanted
    assert await numbers(view, WARD, INCOMING) == wanted
    async with agency(view, WARD) as ward, agency(view, OFFICE) as office:
        deliveries = await ward.inbox.all()
        assert [delivery.document.number for delivery in deliveries] == wanted
        fetched = await ward.inbox.fetch(deliveries[-1].delivery_id, folder / "den")
        assert all(file.stat().st_size > 0 for file in fetched.files.values())
        submissions, _ = await office.submissions()
        assert len(submissions) == count


async def test_up_makes_a_mesh_with_profiles_for_everybody(mesh: Standing, tmp_path: Path) -> None:
    view = mesh.view
    assert [node.node for node in view.topology.nodes] == NODES
    assert await send(view, tmp_path) == (1, 1)

    profiles = Profiles.read(view.layout.profiles)
    assert profiles.default == "G22/clerk/tran-thi-van-thu"
    assert profiles.named("operator/quan-tri")[1].node == OFFICE
    assert profiles.named(f"operator/quan-tri@{WARD}")[1].addresses == view.address(WARD)
    people = [p for organization in view.topology.organizations for p in organization.people]
    assert len(profiles.profiles) == len(people) + len(NODES)
    for profile in profiles.profiles.values():
        assert profile.certificate.is_file()
        assert profile.key.stat().st_mode & 0o077 == 0


async def test_status_tells_all_of_it(mesh: Standing) -> None:
    said = mesh.run("status")
    assert said.code == 0, said
    shown = said.json
    assert shown["well"]
    assert [node["node"] for node in shown["nodes"]] == NODES
    for node in shown["nodes"]:
        assert node["serving"]
        assert node["link"] is (None if node["node"] == OFFICE else True)
        assert node["waiting"] == 0
        assert node["files"] > 0
        assert node["database"] > 0
        [process] = node["processes"]
        assert psutil.Process(process["pid"]).cmdline()[1:] == ["-m", "services.node"]
        assert process["memory"] > 20 * 1024 * 1024
    assert shown["postgres"]["own"]
    assert psutil.Process(shown["postgres"]["pid"]).name().startswith("postgres")


async def test_up_again_changes_nothing_and_says_that_all_is_well(mesh: Standing) -> None:
    before = mesh.state
    said = mesh.run("up", "--topology", "three-tiers")
    assert (said.code, said.json["started"]) == (0, False)
    assert mesh.state == before


async def test_a_killed_node_comes_back_and_another_is_none_the_worse(mesh: Standing) -> None:
    before = mesh.state
    victim = before.parts["H01"].pid
    assert victim is not None
    os.kill(victim, signal.SIGKILL)

    after = mesh.until(lambda state: state.parts["H01"].restarts == 1 and state.parts["H01"].serving)
    assert after.parts["H01"].pid != victim
    assert after.parts["H01"].exit_code == -signal.SIGKILL
    assert after.parts["G22"] == before.parts["G22"]


async def test_status_counts_a_node_that_does_not_serve(mesh: Standing) -> None:
    victim = mesh.state.parts[WARD].pid
    assert victim is not None
    os.kill(victim, signal.SIGSTOP)
    try:
        said = mesh.run("status")
    finally:
        os.kill(victim, signal.SIGCONT)
    assert said.code == 3, said
    assert [node["node"] for node in said.json["nodes"] if not node["serving"]] == [WARD]


async def test_a_killed_database_comes_back_with_what_was_in_it(mesh: Standing, tmp_path: Path) -> None:
    victim = mesh.state.postgres_pid
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    mesh.until(lambda state: state.postgres_restarts == 1 and state.postgres_pid is not None)
    mesh.run("up")  # returns when all serve
    await check_kept(mesh.view, 1, tmp_path)


async def test_all_is_there_after_a_stop_and_numbers_go_on(mesh: Standing, tmp_path: Path) -> None:
    family = mesh.family()
    said = mesh.run("down")
    assert (said.code, said.json) == (0, {"stopped": True, "deleted": False})
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive
    stopped = mesh.run("status")
    assert (stopped.code, stopped.json["phase"]) == (4, "STOPPED")
    again = mesh.run("down")
    assert (again.code, again.json["stopped"]) == (0, False)

    addresses = mesh.view.ports
    view = mesh.up()
    assert view.ports == addresses
    await check_kept(view, 1, tmp_path)
    assert await send(view, tmp_path) == (2, 2)


async def test_all_is_there_after_the_machine_lost_its_power(mesh: Standing, tmp_path: Path) -> None:
    killed = mesh.power_cut()
    assert not any(psutil.pid_exists(pid) for pid in killed)
    assert (mesh.folder / "postgres" / "data" / "postmaster.pid").exists()
    assert mesh.run("status").code == 4

    view = mesh.up()
    await check_kept(view, 2, tmp_path)
    assert await send(view, tmp_path) == (3, 3)


async def test_what_operators_changed_is_not_undone_by_a_restart(mesh: Standing) -> None:
    """The topology opens a mesh; afterwards its directory belongs to those who run it."""
    for node in mesh.view.topology.nodes:
        assert not mesh.view.layout.node(node.node).directory.exists()
        settings = yaml.safe_load(mesh.view.layout.node(node.node).settings.read_text())
        assert "organizations_file" not in settings["registry"]
