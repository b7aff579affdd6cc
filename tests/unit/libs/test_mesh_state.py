"""The supervisor's lock and state: who lives is known for sure, and nobody reads half a file."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from lienthong.mesh.state import MeshLock, MeshState, PartState, Phase, Problem, is_held

NOW = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)


def test_one_holds_the_lock_and_who_looks_does_not_take_it(tmp_path: Path) -> None:
    file = tmp_path / "run" / "lock"
    assert not is_held(file)

    lock = MeshLock.take(file)
    assert lock is not None
    assert is_held(file)
    assert is_held(file)
    assert MeshLock.take(file) is None

    lock.release()
    assert not is_held(file)


def test_a_child_keeps_the_lock_that_it_was_given(tmp_path: Path) -> None:
    """How `up` hands it to the supervisor: there is no moment at which nobody holds it."""
    file = tmp_path / "lock"
    lock = MeshLock.take(file)
    assert lock is not None
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock.descriptor]
    ) as child:
        lock.release()
        assert is_held(file)
        child.kill()
        child.wait()
        assert not is_held(file), "the kernel frees it, however the child ended"


def test_a_child_that_was_not_given_it_does_not_keep_it(tmp_path: Path) -> None:
    """Else a node that outlived its supervisor for a moment would look like the supervisor."""
    file = tmp_path / "lock"
    lock = MeshLock.take(file)
    assert lock is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        lock.release()
        assert not is_held(file)
        child.kill()


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "state.yaml"
    assert MeshState.read(file) is None
    part = PartState(pid=7, since=NOW, restarts=2, serving=True, exit_code=-9)
    state = MeshState(
        phase=Phase.FAILED,
        pid=5,
        since=NOW,
        generation=3,
        postgres_pid=6,
        parts={"H01/routing": part, "H01/storage": PartState(since=NOW)},
        problem=Problem(reason="PORT_TAKEN", message="cổng đã có người dùng"),
    )
    state.write(file)

    assert MeshState.read(file) == state
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.yaml"]
