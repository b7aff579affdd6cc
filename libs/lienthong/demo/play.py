"""Sets the stage, has the day played, clears the stage away whatever happens, and says how it went."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from lienthong.advice import ADVICE
from lienthong.clock import Clock, SystemClock
from lienthong.demo import evening, journal, story
from lienthong.demo.checks import verify
from lienthong.demo.desks import Desks
from lienthong.demo.screen import Screen
from lienthong.demo.seen import Day, Sent
from lienthong.demo.stage import Stage
from lienthong.errors import DomainError
from lienthong.ids import new_id
from lienthong.mesh import Mesh, Topology
from lienthong.waterfall import read_trace
from rich.console import Console

INTERRUPTED: Final = 130
_TRACE_LIMIT: Final = 16 * 1024**2
# What the killed node itself had on offer is offered again when its lease is over.
_QUICK: Final = {"routing": {"lease_seconds": 5.0}}


@dataclass(frozen=True, slots=True)
class _Places:
    """Documents are for people and stay; keys, databases and logs of the mesh go when all went well."""

    documents: Path
    mesh: Path

    @property
    def trace(self) -> Path:
        return self.documents / "trace"


def run(folder: Path, json_path: Path | None) -> int:
    """0 when every check held, 1 when one did not or something broke, 130 when stopped by a signal."""
    clock = SystemClock()
    screen = Screen(Console(), clock)
    places = _Places(folder, Path(tempfile.mkdtemp(prefix="lienthong-demo-")))
    code = _guarded(places, json_path, screen, clock)
    if code == 1:
        screen.trouble(f"Nhật ký của các nút được giữ lại ở (logs are kept in): {places.mesh}/nodes/*/log")
    else:
        shutil.rmtree(places.mesh, ignore_errors=True)
    return code


def _guarded(places: _Places, json_path: Path | None, screen: Screen, clock: Clock) -> int:
    try:
        with _ending_in_order():
            return _play(places, json_path, screen, clock)
    except (KeyboardInterrupt, asyncio.CancelledError):
        screen.trouble("Đã dừng theo yêu cầu; mọi tiến trình đã kết thúc (interrupted, nothing left running)")
        return INTERRUPTED
    except DomainError as error:
        screen.trouble(str(error))
        if error.reason in ADVICE:
            screen.note(ADVICE[error.reason].vi)
        _keep_traceback(places)
    except Exception as error:  # said to the person; the whole of it is beside the logs
        screen.trouble(f"{type(error).__name__}: {error}")
        _keep_traceback(places)
    return 1


def _play(places: _Places, json_path: Path | None, screen: Screen, clock: Clock) -> int:
    topology = Topology.four_levels()
    _clear(places, topology)
    screen.step("Tạo khóa và chứng thư THỬ NGHIỆM, PostgreSQL, bốn nút (TEST keys, database, four nodes)")
    day = Day(
        document=Sent(story.SENDER, str(new_id()), story.RECIPIENTS, {}),
        reply=Sent(story.REPLYING, str(new_id()), (story.SENDER,), {}),
    )
    mesh, whole = Mesh.start(topology, places.mesh, overrides=_QUICK, clock=clock), False
    try:
        screen.step("Đã có khóa và cơ sở dữ liệu; đang khởi động các nút (starting the nodes)")
        mesh.wait_ready()
        day.timings_ms["start"] = round(screen.elapsed * 1000)
        screen.step("Bốn nút sẵn sàng: " + ", ".join(node.node for node in topology.nodes) + " (ready)")
        registers = asyncio.run(_day(mesh, day, places, screen, clock))
        screen.step("Dừng bốn nút và cơ sở dữ liệu (stopping)")
        whole = True
    finally:
        # After a failure or a signal nobody waits for work to end in order.
        mesh.stop(grace=10.0 if whole else 0.5)
    _keep_trace(mesh, places)
    day.spans = read_trace([places.trace], day.trace_id)
    checks = verify(day, topology)
    if json_path is not None:
        journal.write(day, json_path)
    screen.picture(day, places.documents, registers)
    screen.result(day, checks, places.documents)
    for check in checks:
        if not check.holds:
            screen.trouble(f"Không đạt (check failed): {check.name}")
    return 0 if all(check.holds for check in checks) else 1


async def _day(mesh: Mesh, day: Day, places: _Places, screen: Screen, clock: Clock) -> Sequence[Path]:
    """The acts in order; returns the exported registers of the sender."""
    async with Desks(mesh, clock) as desks:
        stage = Stage(mesh, desks, screen, clock, new_id, places.documents)
        try:
            return await _acts(stage, day)
        except DomainError as error:
            # A call that a signal cut short may come back as a refusal: the signal is what happened.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from error
            raise


async def _acts(stage: Stage, day: Day) -> Sequence[Path]:
    signed = await story.sign(stage)
    await story.issue(stage, signed, day)
    await story.handle(stage, day)
    await story.reply(stage, day)
    await story.refuse(stage, signed, day)
    await evening.look_round(stage, day)
    return await evening.export_registers(stage, story.SENDER)


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does, so that everything is cleared away."""

    def as_interrupt(_number: int, _frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)

    wanted = {
        # A shell starts background jobs with SIGINT ignored: asyncio only listens to the default.
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: as_interrupt,
        signal.SIGHUP: as_interrupt,
    }
    before = {number: signal.signal(number, action) for number, action in wanted.items()}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _clear(places: _Places, topology: Topology) -> None:
    """Remove what an earlier demo left, and nothing else that may lie in the folder."""
    for name in (*(organization.code for organization in topology.organizations), places.trace.name):
        shutil.rmtree(places.documents / name, ignore_errors=True)
    places.documents.mkdir(parents=True, exist_ok=True)


def _keep_trace(mesh: Mesh, places: _Places) -> None:
    places.trace.mkdir(parents=True, exist_ok=True)
    for spans in mesh.layout.spans():
        if spans.stat().st_size <= _TRACE_LIMIT:
            shutil.copyfile(spans, places.trace / f"{spans.parent.name}.jsonl")


def _keep_traceback(places: _Places) -> None:
    (places.mesh / "demo-error.txt").write_text(traceback.format_exc(), encoding="utf-8")
