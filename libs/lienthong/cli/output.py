"""Where results go: tables and facts for people, JSON for programs, progress on standard error.

Standard output holds the result alone. There is no colour and no progress where nobody looks on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Final, Literal, NoReturn, Protocol

from lienthong.cli.texts import Words
from rich import box
from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text as Styled

Cell = str | int | Styled
Unit = Literal["bytes", "things", ""]
_WIDE: Final = 200  # into a pipe nothing is folded or cut off
_CLOSED_PIPE: Final = 141  # 128 + SIGPIPE, as a shell says it


class Doing(Protocol):
    """Work under way: how much is done, of how much, and what it is doing now."""

    def __call__(self, done: int, total: int) -> None: ...

    def say(self, words: str) -> None: ...


class Output:
    """What a command prints."""

    def __init__(self, words: Words, *, as_json: bool, out: IO[str] | None = None) -> None:
        self.words = words
        self.as_json = as_json
        self.console = _console(out or sys.stdout)
        self.errors = _console(sys.stderr)

    # -- results ---------------------------------------------------------------------------------------------

    def json(self, value: object) -> None:
        """One JSON value on one line; a watch prints one line a thing that comes."""
        try:
            print(json.dumps(value, ensure_ascii=False), file=self.console.file, flush=True)
        except BrokenPipeError:
            end_with_closed_pipe()

    def line(self, words: str, style: str = "") -> None:
        """One line of text, never folded."""
        self.console.print(Styled(tame(words), style=style), soft_wrap=True)

    def facts(self, pairs: Iterable[tuple[str, Cell]]) -> None:
        """Names and values beneath each other; what is empty is left out."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for key, value in pairs:
            if value not in ("", 0):
                grid.add_row(self.words(key), cell(value))
        self.console.print(grid)

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, whole: Sequence[str] = ()
    ) -> None:
        """A table under the headings of `columns`; a column in `whole` is never folded."""
        table = Table(
            box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False, header_style="bold"
        )
        for column in columns:
            right = column.endswith("_ms") or column in ("number", "arrival_number", "holds")
            table.add_column(
                self.words(column),
                justify="right" if right else "left",
                no_wrap=column in whole,
                overflow="fold",
            )
        for row in rows:
            table.add_row(*map(cell, row))
        self.console.print(table)

    def show(self, picture: RenderableType) -> None:
        """Anything that rich can draw."""
        self.console.print(picture, highlight=False)

    # -- beside the result -----------------------------------------------------------------------------------

    def note(self, words: str) -> None:
        """What is worth knowing beside the result: to standard error, not in JSON."""
        if not self.as_json:
            self.errors.print(Styled(tame(words), style="dim"), soft_wrap=True)

    def warn(self, words: str) -> None:
        """What must be seen: to standard error, in JSON mode as an object with "warning"."""
        if self.as_json:
            print(json.dumps({"warning": words}, ensure_ascii=False), file=sys.stderr, flush=True)
            return
        self.errors.print(Styled(tame(words), style="bold red"), soft_wrap=True)

    @contextmanager
    def doing(self, key: str, what: str = "", *, unit: Unit = "bytes") -> Iterator[Doing]:
        """A progress bar, or a mere sign of life where the end is unknown; nothing where nobody looks on."""
        columns = [SpinnerColumn(), TextColumn("{task.description}", markup=False)]
        count: ProgressColumn = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
        sizes = [BarColumn(bar_width=30), count, TimeRemainingColumn()] if unit else []
        progress = Progress(
            *columns,
            *sizes,
            console=self.errors,
            transient=True,
            disable=self.as_json or not self.errors.is_terminal,
        )
        with progress:
            yield _Bar(progress, f"{self.words(key)} {tame(what)}".rstrip(), known=bool(unit))


class _Bar:
    """One line of progress."""

    def __init__(self, progress: Progress, description: str, *, known: bool) -> None:
        self._progress = progress
        self._description = description
        self._task: TaskID = progress.add_task(description, total=None if known else 1)

    def __call__(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)

    def say(self, words: str) -> None:
        self._progress.update(self._task, description=f"{self._description}: {tame(words)}")


class _Console(Console):
    """A console that ends quietly when its reader went away (`lienthong inbox --all | head`)."""

    def on_broken_pipe(self) -> NoReturn:
        self.quiet = True
        end_with_closed_pipe()


def end_with_closed_pipe() -> NoReturn:
    """Leave without a word: the interpreter must not try to flush into the closed pipe once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise SystemExit(_CLOSED_PIPE)


def cell(value: Cell) -> Styled:
    """Text as it is: no markup, no control characters from whoever wrote the subject."""
    return value if isinstance(value, Styled) else Styled(tame(str(value)))


def tame(text: str) -> str:
    """No control characters: what others wrote must not drive the terminal."""
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)


def tame_line(text: str) -> str:
    """`tame`, and one line: what others wrote must not pass for a line of ours."""
    return tame(text).replace("\n", " ")


def size_words(count: int) -> str:
    """`12.3 MB`; exact below a kilobyte."""
    size, units = float(count), ("B", "kB", "MB", "GB", "TB")
    for unit in units:
        if size < 1000 or unit == units[-1]:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable")


def _console(file: IO[str]) -> _Console:
    seen: Any = getattr(file, "isatty", bool)
    width = None if seen() or "COLUMNS" in os.environ else _WIDE
    return _Console(file=file, width=width, highlight=False)
