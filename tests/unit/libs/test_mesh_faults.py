"""What goes wrong outside of a supervisor is told, and ends no node."""

import logging
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import asyncpg
import pytest
from lienthong.clock import FakeClock, SystemClock
from lienthong.errors import FailedPrecondition, Unavailable
from lienthong.mesh.crew import Crew
from lienthong.mesh.faults import Endurance
from lienthong.mesh.keys import issue_all
from lienthong.mesh.layout import Layout
from lienthong.mesh.plan import Plan, new_plan
from lienthong.mesh.site import Site
from lienthong.mesh.state import MeshState, Phase
from lienthong.mesh.supervisor import Supervisor
from lienthong.mesh.topology import Topology
from lienthong.mesh.view import MeshView

TOPOLOGY = Topology.parse(
    """
trust_domain: mot.lienthong.test
nodes: [{node: G22, name: Nút MẪU, tier: CENTRAL}]
organizations: [{code: G22, name: Cơ quan MẪU, tier: CENTRAL, node: G22}]
operators: [quan-tri]
"""
)


def plan(pki: Path | None = None) -> Plan:
    return new_plan(
        TOPOLOGY,
        mesh_id="0123abcd",
        processes="node",
        base_port=20_000,
        embedded=False,
        pki=pki,
        rng=Random(1),
    )


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """One without a mesh; the signals of the tests' own process are given back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield Supervisor(tmp_path, SystemClock())
    signal.set_wakeup_fd(-1)
    for number, action in before.items():
        signal.signal(number, action)


def keep(supervisor: Supervisor, folder: Path, kept: Plan, seconds: float = 0.8) -> None:
    """Let it tend a mesh that has no processes, for a moment."""
    nobody = MeshView(TOPOLOGY.model_copy(update={"nodes": ()}), Layout(folder), {})
    crew = Crew(nobody, SystemClock())
    timer = threading.Timer(seconds, supervisor._signals.ask_stop)
    timer.start()
    try:
        supervisor._keep(Site(folder, kept, SystemClock()), crew)
    finally:
        timer.cancel()
        crew.close()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (OSError(28, "No space left on device"), "SUPERVISOR_FAILED"),
        (asyncpg.TooManyConnectionsError("too many"), "SUPERVISOR_FAILED"),
        (asyncpg.InterfaceError("closed"), "SUPERVISOR_FAILED"),
        (subprocess.TimeoutExpired("initdb", 3.0), "SUPERVISOR_FAILED"),
        (Unavailable("POSTGRES_NOT_STARTED", "no"), "POSTGRES_NOT_STARTED"),
    ],
)
def test_a_fault_is_logged_when_it_changes(
    fault: Exception, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    endurance = Endurance()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            with endurance.through("a step"):
                raise fault
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    found = endurance.problem("a step")
    assert found is not None
    assert found.reason == reason

    with caplog.at_level(logging.INFO), endurance.through("a step"):
        pass
    assert endurance.problem("a step") is None
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_a_mistake_of_ours_is_not_swallowed() -> None:
    with pytest.raises(ZeroDivisionError), Endurance().through("a step"):
        _ = 1 // 0


def test_what_keeps_it_from_starting_stands_in_its_state(supervisor: Supervisor, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.run.mkdir()
    plan().write(layout.plan)
    layout.nodes.write_text("no folder")

    with pytest.raises(FailedPrecondition, match="SUPERVISOR_FAILED"):
        supervisor.run()
    state = MeshState.read(layout.state)
    assert state is not None
    assert state.problem is not None
    assert (state.phase, state.problem.reason) == (Phase.FAILED, "SUPERVISOR_FAILED")
    assert "nodes" in state.problem.message


def test_a_plan_that_cannot_be_taken_over_is_answered_and_ends_nothing(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    layout = Layout(tmp_path)
    layout.run.mkdir()
    plan(tmp_path / "gone").write(layout.plan)
    supervisor._signals.ask_reload()

    keep(supervisor, tmp_path, plan(tmp_path / "gone"))
    state = MeshState.read(layout.state)
    assert state is not None
    assert state.problem is not None
    assert (state.phase, state.generation, state.plan) == (Phase.RUNNING, 1, None)
    assert state.problem.reason == "PKI_INCOMPLETE"


def test_a_state_that_cannot_be_written_ends_nothing(
    supervisor: Supervisor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = Layout(tmp_path)
    keep(supervisor, tmp_path, plan())  # there is no folder `run`
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1

    layout.run.mkdir()
    supervisor._signals.stop = False
    keep(supervisor, tmp_path, plan(), seconds=0.1)
    state = MeshState.read(layout.state)
    assert state is not None
    assert state.phase is Phase.RUNNING


def test_a_site_that_could_not_grow_is_as_it_was(tmp_path: Path) -> None:
    site = Site(tmp_path, plan(), FakeClock())
    before = site.view

    with pytest.raises(FailedPrecondition, match="PKI_INCOMPLETE"):
        site.grow(plan(tmp_path / "gone"))
    assert site.view is before


def test_certificates_of_an_owner_at_work_are_handed_over_whole_or_not_at_all(tmp_path: Path) -> None:
    made = Layout(tmp_path / "made")
    issue_all(TOPOLOGY, made, FakeClock())
    mesh = Layout(tmp_path / "mesh", made.pki)
    site = Site(mesh.folder, plan(made.pki), FakeClock())
    key = made.issued("node/G22", "envelope").key_path
    moved = key.rename(key.with_name("moved"))

    with pytest.raises(FailedPrecondition, match="PKI_INCOMPLETE"):
        site.refresh_revocations()
    assert not mesh.nodes.exists()

    moved.rename(key)
    site.refresh_revocations()
    assert (mesh.node("G22").keys / "node" / "G22" / "envelope" / "key.pem").read_bytes() == key.read_bytes()


def test_a_process_that_cannot_be_launched_is_tried_later(tmp_path: Path) -> None:
    clock = FakeClock()
    layout = Layout(tmp_path)
    crew = Crew(MeshView(TOPOLOGY.model_copy(update={"nodes": ()}), layout, {}), clock)
    try:
        crew.renew(plan().view(tmp_path), [])  # its folder is not there, so its log cannot be opened
        crew.tend()
        assert (crew.states()["G22"].pid, crew.states()["G22"].restarts) == (None, 0)

        clock.advance(60)
        crew.tend()
        assert (crew.states()["G22"].pid, crew.states()["G22"].restarts) == (None, 1)

        layout.node("G22").folder.mkdir(parents=True)
        clock.advance(60)
        crew.tend()
        assert crew.states()["G22"].pid is not None
    finally:
        crew.close(grace=0.0)
