"""How commands explain themselves: both languages, examples, and options that mean the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import typer
from lienthong.cli.exits import UsageRefused

C = TypeVar("C", bound=Callable[..., Any])

COMMON: Final = (
    "Tùy chọn chung, đặt ở đâu cũng được / anywhere: --profile TÊN, --profiles TỆP, --language vi|en, --json"
)
SETTINGS: Final = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}


def documented(
    app: typer.Typer, name: str, vi: str, en: str, *examples: tuple[str, str, str]
) -> Callable[[C], C]:
    """Register a command with its help: what it does, and examples (line, Vietnamese, English)."""
    lines = ["\b", "Ví dụ / Examples:"]
    for line, said_vi, said_en in examples:
        lines += [f"  # {said_vi}", f"  # {said_en}", f"  {line}"]
    body = f"{vi}\n\n{en}\n\n" + "\n".join(lines)
    return app.command(name, help=body, short_help=f"{vi} / {en}", epilog=COMMON, context_settings=SETTINGS)


def existing(path: Path) -> Path:
    """A file that is there, or a refusal that says so."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "is not there"
        raise UsageRefused("FILE_MISSING", f"{path} {what}", field=str(path))
    return path


def free(path: Path, *, force: bool) -> Path:
    """Where a result may be written: never over a file that somebody has, unless told to."""
    if path.exists() and not force:
        raise UsageRefused("FILE_EXISTS", f"{path} is there already", field=str(path))
    if not path.parent.is_dir():
        raise UsageRefused("FILE_MISSING", f"the folder {path.parent} is not there", field=str(path))
    return path
