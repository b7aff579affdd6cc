"""A plan that was written and not taken over is offered again, and who waits is told why it failed."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from lienthong.clock import SystemClock
from lienthong.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument
from lienthong.mesh.control import Upbringing, Wishes
from lienthong.mesh.joining import _forget_tokens, _newcomer, _token, add_node
from lienthong.mesh.layout import Layout
from lienthong.mesh.plan import Plan, new_plan
from lienthong.mesh.state import MeshLock, MeshState, PartState, Phase, Problem
from lienthong.mesh.topology import Node, Topology

NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)
OLD = Topology.named("three-tiers")
NEWCOMER = {"code": "H01.110", "name": "UBND xã MẪU Bốn", "tier": "COMMUNE", "parent": "H01"}


class Running:
    """A folder whose lock is held and whose state says RUNNING; we are its supervisor."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.asked = 0
        self.old = new_plan(
            OLD,
            mesh_id="0123abcd",
            processes="node",
            base_port=20_000,
            embedded=False,
            pki=None,
            rng=Random(1),
        )
        self.layout.run.mkdir(parents=True)
        self.old.write(self.layout.plan)
        node, organization = _newcomer(self.old.view(folder), **NEWCOMER)
        self.grown = self.old.grown(OLD.with_node(node, organization), Random(2))

    def say(self, taken: Plan, generation: int = 2, problem: Problem | None = None) -> None:
        parts = {part.name: PartState(since=NOW, serving=True) for part in taken.view(Path()).parts()}
        state = MeshState(
            phase=Phase.RUNNING,
            pid=os.getpid(),
            since=NOW,
            generation=generation,
            plan=taken.digest(),
            parts=parts,
            problem=problem,
        )
        state.write(self.layout.state)

    def upbringing(self) -> Upbringing:
        return Upbringing(self.layout.folder, SystemClock(), {})


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path / "mesh")

    def count(*_: object) -> None:
        made.asked += 1

    before = signal.signal(signal.SIGHUP, count)
    lock = MeshLock.take(made.layout.lock)
    assert lock is not None
    yield made
    lock.release()
    signal.signal(signal.SIGHUP, before)


def test_what_runs_is_not_offered_again(running: Running) -> None:
    running.say(running.old)
    upbringing = running.upbringing()

    assert upbringing.begin(Wishes(topology=OLD)) is False
    assert (running.asked, upbringing.generation) == (0, 0)


@pytest.mark.parametrize("named", [True, False])
def test_a_plan_that_was_not_taken_over_is_offered_again(running: Running, named: bool) -> None:
    running.grown.write(running.layout.plan)
    running.say(running.old)
    upbringing = running.upbringing()

    assert upbringing.begin(Wishes(topology=running.grown.topology if named else None)) is False
    assert (running.asked, upbringing.generation) == (1, 3)
    assert Plan.read(running.layout.plan) == running.grown


def test_who_waits_is_told_why_it_was_not_taken_over(running: Running) -> None:
    running.grown.write(running.layout.plan)
    problem = Problem(reason="PKI_INCOMPLETE", message="certificates are missing")
    running.say(running.old, 2, problem)
    upbringing = running.upbringing()
    upbringing.begin(Wishes())

    with pytest.raises(DeadlineExceeded, match="NODE_NOT_READY"):  # that problem answered an earlier try
        upbringing.wait(lambda *_: None, timeout=0.0)
    running.say(running.old, 3, problem)
    with pytest.raises(FailedPrecondition, match="PKI_INCOMPLETE"):
        upbringing.wait(lambda *_: None, timeout=5.0)


def test_a_problem_is_told_though_all_old_nodes_serve(running: Running) -> None:
    """A topology that adds an organization alone has no new process that could be missing."""
    running.say(running.old, 2)
    upbringing = running.upbringing()
    upbringing.grow(running.old)
    running.say(running.old, 3, Problem(reason="MIGRATION_FAILED", message="not migrated"))

    with pytest.raises(FailedPrecondition, match="MIGRATION_FAILED"):
        upbringing.wait(lambda *_: None, timeout=5.0)


def test_a_node_that_enrolled_and_does_not_run_is_offered_again(running: Running) -> None:
    running.grown.write(running.layout.plan)
    running.say(running.old)

    upbringing = add_node(running.layout.folder, **NEWCOMER, clock=SystemClock())
    assert (running.asked, upbringing.generation) == (1, 3)


def test_a_node_that_runs_or_is_another_is_not_added_twice(running: Running) -> None:
    running.grown.write(running.layout.plan)
    running.say(running.grown)
    with pytest.raises(InvalidArgument, match="TOPOLOGY_INVALID"):
        add_node(running.layout.folder, **NEWCOMER, clock=SystemClock())

    running.say(running.old)
    with pytest.raises(InvalidArgument, match="TOPOLOGY_INVALID"):
        add_node(running.layout.folder, **{**NEWCOMER, "name": "Tên khác MẪU"}, clock=SystemClock())
    assert running.asked == 0


def test_a_token_belongs_to_the_facts_that_it_was_asked_for(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.run.mkdir()
    node = Node(node="H01.1", name="Xã MẪU", tier="COMMUNE", parent="H01")
    changes = [{}, {"name": "Xã MẪU Một"}, {"tier": "DISTRICT"}, {"parent": "H02"}, {"node": "H01.1.1"}]
    tokens = [_token(layout, node.model_copy(update=change)) for change in changes]
    assert len(set(tokens)) == len(changes)
    assert _token(layout, node) == tokens[0]

    for token in tokens:
        token.touch()
    _forget_tokens(layout, "H01.1")
    assert [token for token in tokens if token.exists()] == tokens[-1:]
