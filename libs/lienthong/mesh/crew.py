"""The processes of a mesh that stays: what ends unasked is started again, ever later if it goes on ending."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lienthong.clock import Clock
from lienthong.mesh.health import log_end
from lienthong.mesh.parts import Part
from lienthong.mesh.processes import NodeProcesses
from lienthong.mesh.state import PartState
from lienthong.mesh.view import MeshView

_log: Final = logging.getLogger("lienthong.mesh.crew")

_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 30.0
# Who lived so long did not end because of how it was started.
_SETTLED_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 20.0


@dataclass(slots=True)
class _Member:
    """What is known of one process."""

    since: datetime
    started: float
    restarts: int = 0
    # Ends in a row without a settled life between them.
    failures: int = 0
    serving: bool = False
    exit_code: int | None = None
    # When it may start again; None while it runs.
    due: float | None = None


class Crew:
    """Starts all processes of a mesh; `tend` is to be called a few times a second."""

    def __init__(self, view: MeshView, clock: Clock) -> None:
        self._view = view
        self._clock = clock
        self._processes = NodeProcesses()
        self._members: dict[Part, _Member] = {}
        try:
            for part in view.parts():
                self._start(part)
        except BaseException:
            self.close(grace=0.0)
            raise

    def tend(self) -> None:
        """Start again what ended, and ask those that were started last whether they serve."""
        for part, member in self._members.items():
            if member.due is not None:
                if self._clock.monotonic() >= member.due:
                    member.restarts += 1
                    self._launch_or_wait(part, member)
            elif not self._processes.alive(part.name):
                self._ended(part, member)
            elif not member.serving and self._view.part_is_serving(part):
                member.serving = True

    def renew(self, view: MeshView, changed: Sequence[Part]) -> None:
        """Take over a mesh that grew: stop and start what is told otherwise now, start what is new."""
        self._view = view
        running = [part for part in changed if self._processes.alive(part.name)]
        self._processes.stop([part.name for part in running], grace=_STOP_SECONDS)
        for part in changed:
            self._members[part] = self._newcomer()
            self._launch_or_wait(part, self._members[part])
        for part in view.parts():
            if part not in self._members:
                self._members[part] = self._newcomer()
                self._launch_or_wait(part, self._members[part])

    def serving(self) -> list[Part]:
        """Those that serve, as far as is known."""
        return [part for part, member in self._members.items() if member.serving and member.due is None]

    def states(self) -> dict[str, PartState]:
        """All processes as they are now."""
        return {part.name: self._state(part, member) for part, member in self._members.items()}

    def close(self, *, grace: float = _STOP_SECONDS) -> None:
        """Stop all, in order where there is time for it."""
        self._processes.close(grace=grace)

    def _state(self, part: Part, member: _Member) -> PartState:
        return PartState(
            pid=self._processes.pid(part.name) if member.due is None else None,
            since=member.since,
            restarts=member.restarts,
            serving=member.serving and member.due is None,
            exit_code=member.exit_code,
        )

    def _start(self, part: Part) -> None:
        member = self._members[part] = self._newcomer()
        self._launch(part, member)

    def _newcomer(self) -> _Member:
        return _Member(self._clock.now(), self._clock.monotonic())

    def _launch_or_wait(self, part: Part, member: _Member) -> None:
        """Where there is no room on the disk or no memory, the others must not suffer."""
        try:
            self._launch(part, member)
        except OSError as error:
            member.due = self._clock.monotonic() + _LONGEST_DELAY
            _log.error("process not started", extra={"part": part.name, "problem": str(error)})

    def _launch(self, part: Part, member: _Member) -> None:
        place = self._view.layout.part(part)
        self._processes.start(part.name, place.settings, place.log, module=part.module)
        member.since, member.started = self._clock.now(), self._clock.monotonic()
        member.serving, member.due = False, None

    def _ended(self, part: Part, member: _Member) -> None:
        now = self._clock.monotonic()
        member.failures = 1 if now - member.started > _SETTLED_SECONDS else member.failures + 1
        delay = min(_FIRST_DELAY * 2 ** min(member.failures - 1, 10), _LONGEST_DELAY)
        member.exit_code, member.due = self._processes.exit_code(part.name), now + delay
        _log.error(
            "process ended, it is started again",
            extra={
                "part": part.name,
                "exit_code": member.exit_code,
                "delay": delay,
                "said": log_end(self._view.layout.part(part).log)[-400:],
            },
        )
