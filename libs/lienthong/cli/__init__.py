"""The command line: `lienthong --help`. Each command imports what it needs when it runs."""

from __future__ import annotations

from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated

import typer
from lienthong.advice import ADVICE
from lienthong.errors import DomainError

app = typer.Typer(
    name="lienthong",
    help="Liên Thông: trao đổi văn bản điện tử có ký số. Carries signed official documents between agencies.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    """Keeps the commands sub-commands, also while there are few."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(package_version("lienthong"))


@app.command()
def trace(
    places: Annotated[
        list[Path], typer.Argument(help="Files of spans, or folders that hold some (*.jsonl).", exists=True)
    ],
    trace_id: Annotated[str, typer.Argument(help="32 hexadecimal digits.")],
    width: Annotated[int, typer.Option(help="Columns to draw in.", min=80, max=400)] = 140,
) -> None:
    """Draw the waterfall of one trace from the spans that nodes wrote."""
    from lienthong.waterfall import read_trace, render

    typer.echo(render(read_trace(places, trace_id), width))


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where documents, logs and spans go.")] = Path("build/demo"),
    json: Annotated[Path | None, typer.Option(help="Also write what happened to this file, as JSON.")] = None,
) -> None:
    """Play a real day on four nodes: issue, deliver, refuse, accept, answer; verify all of it."""
    from lienthong.demo import run

    raise typer.Exit(run(folder, json))


def main() -> None:
    """Run; a refusal is its reason, its message, and what to do next, in both languages."""
    try:
        app()
    except DomainError as error:
        typer.echo(f"lienthong: {error}", err=True)
        advice = ADVICE.get(error.reason)
        if advice is not None:
            typer.echo(f"  vi: {advice.vi}\n  en: {advice.en}", err=True)
        raise SystemExit(1) from None
