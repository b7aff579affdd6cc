"""What every benchmark shares: results with the limit they stand beside, printed and kept.

A figure alone says nothing on shared machines; beside a limit that was measured in the same minute it does.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from lienthong.files import write_whole
from rich.console import Console
from rich.table import Table

RESULTS: Final = Path(__file__).parents[2] / "build" / "bench" / "results.json"


@dataclass(frozen=True, slots=True)
class Result:
    """One line: what was measured, and the limit of the machine that it is compared with.

    `ratio` is value / limit: for rates the part of what is possible, for times the multiple of it.
    """

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.value / self.limit if self.limit else None


def report(title: str, results: Sequence[Result], file: Path = RESULTS) -> None:
    """Print the table and append the results to the file, a JSON list."""
    table = Table(title=title, title_justify="left", caption=machine(), caption_justify="left")
    table.add_column("what")
    for heading in ("value", "unit", "limit", "ratio"):
        table.add_column(heading, justify="right")
    for result in results:
        table.add_row(
            result.name, _figure(result.value), result.unit, _figure(result.limit), _figure(result.ratio)
        )
    Console(width=110, soft_wrap=True).print(table)
    append(results, file)


def append(results: Sequence[Result], file: Path) -> None:
    """Add results to those of earlier runs."""
    file.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(file.read_text()) if file.exists() else []
    lines = [{**asdict(result), "ratio": result.ratio} for result in results]
    text = json.dumps([*known, *lines], indent=1, ensure_ascii=False) + "\n"
    write_whole(file, text.encode(), durable=False)


def machine() -> str:
    """Where it ran, and how busy that was."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} processors, load {load:.2f}, Python {sys.version.split()[0]}"


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which so many percent lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    if 0 < abs(value) < 0.1:
        return f"{value:.2g}"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f}"
