"""What a person sees: one Vietnamese line a step while the day runs, and at its end the whole picture."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from lienthong.clock import Clock
from lienthong.demo.checks import Check
from lienthong.demo.journal import shown_time
from lienthong.demo.seen import Day, Sent, count
from lienthong.reporting.v1 import reporting_pb2
from lienthong.types.v1 import document_pb2
from lienthong.waterfall import own_work, render
from rich.console import Console
from rich.markup import escape
from rich.tree import Tree

_NAMES: Final = {
    "01": "đã đến",
    "02": "từ chối tiếp nhận",
    "03": "đã tiếp nhận",
    "04": "phân công",
    "05": "đang xử lý",
    "06": "hoàn thành",
}


class Screen:
    """Prints to a console; knows how long the demo has been running."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._began = clock.monotonic()

    @property
    def elapsed(self) -> float:
        return self._clock.monotonic() - self._began

    def step(self, line: str) -> None:
        """One line of progress."""
        self._console.print(
            f"[cyan]{self.elapsed:6.1f}s[/cyan]  {escape(line)}", highlight=False, soft_wrap=True
        )

    def note(self, line: str) -> None:
        """What belongs to the line before."""
        self._console.print(f"         [dim]{escape(line)}[/dim]", highlight=False, soft_wrap=True)

    def trouble(self, line: str) -> None:
        """What went wrong."""
        self._console.print(f"[bold red]LỖI[/bold red] {escape(line)}", highlight=False, soft_wrap=True)

    def picture(self, day: Day, folder: Path, registers: Sequence[Path]) -> None:
        """Everything about the day that is worth seeing."""
        self._heading("Hành trình văn bản, chỉ đọc từ nút của nơi gửi (journey)")
        self._console.print(journey_tree(day.document), highlight=False)
        self._heading("Hành trình văn bản trả lời (reply)")
        self._console.print(journey_tree(day.reply), highlight=False)
        self._heading("Vết lan truyền qua các nút (trace)")
        self._waterfall(day, folder)
        for path in registers:
            if path.suffix == ".txt":
                self._heading(f"Sổ đăng ký của {day.document.sender} (register): {path.with_suffix('.html')}")
                self._plain(path.read_text(encoding="utf-8"))

    def result(self, day: Day, checks: Sequence[Check], folder: Path) -> None:
        """The checks, the totals, where the files lie, and what to type next."""
        self._heading("Kiểm tra từ phía các cơ quan (checked by the clients)")
        for check in checks:
            mark = "[green]đạt[/green]" if check.holds else "[bold red]KHÔNG ĐẠT[/bold red]"
            faults = ": " + "; ".join(check.faults) if check.faults else ""
            self._console.print(f"  {mark}  {escape(check.name + faults)}", highlight=False)
        totals = count(day)
        self._console.print()
        self._plain(
            f"delivered {totals.delivered}/{totals.recipients}, refused {totals.refused}, lost {totals.lost},"
            f" duplicated {totals.duplicated}, number gaps {totals.gaps}"
        )
        self._console.print()
        self._plain(f"Tệp của từng cơ quan ở (files): {folder}/<mã cơ quan>/van-ban-den/")
        main = _main_file(day)
        if main is not None:
            self._plain(f"Mở xem văn bản đã đóng dấu (open it): {main}")
        self._plain(f"Lệnh tiếp theo (next): {_program()} trace {folder / 'trace'} {day.trace_id}")

    def _waterfall(self, day: Day, folder: Path) -> None:
        nodes, services = ", ".join(day.trace_nodes), ", ".join(day.trace_services)
        self._plain(f"trace {day.trace_id}: {len(day.spans)} spans; {nodes}; {services}")
        width = max(120, min(self._console.width, 160))
        for line in render(own_work(day.spans), width).splitlines()[1:]:
            self._plain(line)
        self._plain(f"Cả các cuộc gọi (with all calls): {_program()} trace {folder / 'trace'} {day.trace_id}")

    def _heading(self, words: str) -> None:
        self._console.print()
        self._console.rule(f"[bold]{escape(words)}[/bold]", align="left")

    def _plain(self, words: str) -> None:
        # As it is: a table of a register is wider than most terminals and must not be folded.
        self._console.print(escape(words), highlight=False, soft_wrap=True)


def journey_tree(sent: Sent) -> Tree:
    """One branch a recipient: hops with in and out, verdicts, statuses, arrival number."""
    journey = sent.journey
    document = journey.document
    head = f"[bold]{document.number:02d}/{escape(document.notation)}[/bold] {escape(document.subject)}"
    issued = _clock_time(journey.issue_time)
    tree = Tree(f"{head}\n[dim]{document.organization}, phát hành {issued}, {document.document_id}[/dim]")
    for branch in journey.branches:
        _add_branch(tree, branch)
    return tree


def _add_branch(tree: Tree, branch: reporting_pb2.Branch) -> None:
    outcome = document_pb2.TransportOutcome.Name(branch.outcome).removeprefix("TRANSPORT_OUTCOME_")
    number = f", số đến [bold]{branch.arrival_number:02d}[/bold]" if branch.arrival_number else ""
    verdicts = ", ".join(
        f"{document_pb2.Verdict.Name(v.verdict).removeprefix('VERDICT_')} {v.level}" for v in branch.verdicts
    )
    label = f"[bold cyan]{branch.organization}[/bold cyan] (nút {branch.node}): {outcome}{number}"
    recipient = tree.add(f"{label}; tệp: {escape(verdicts)}")
    for hop in branch.hops:
        times = f"vào {_clock_time(hop.in_time)}  ra {_clock_time(hop.out_time)}"
        recipient.add(f"nút {hop.node:<10} {times}")
    for fact in sorted(branch.statuses, key=lambda fact: fact.sequence):
        colour = "red" if fact.status == "02" else "green"
        words = f"[{colour}]{fact.status} {_NAMES.get(fact.status, '')}[/{colour}]"
        reason = f": {escape(fact.reason)}" if fact.reason else ""
        recipient.add(f"{words} {_clock_time(fact.act_time)} {escape(fact.actor)}{reason}")


def _clock_time(stamp: Timestamp) -> str:
    """The time of day alone: everything here happens within a minute."""
    return shown_time(stamp)[11:23]


def _main_file(day: Day) -> Path | None:
    for arrival in day.document.arrivals.values():
        for attachment in arrival.fetched.document.attachments:
            if attachment.role == document_pb2.ATTACHMENT_ROLE_MAIN:
                return arrival.fetched.files[attachment.sha256]
    return None


def _program() -> str:
    """How the command line is called here: by its name where that is found, else by its path."""
    if shutil.which("lienthong"):
        return "lienthong"
    return os.path.relpath(sys.argv[0]) if Path(sys.argv[0]).name == "lienthong" else "lienthong"
