"""How a command ends: exit codes, and a refusal as people or programs read it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import typer
from lienthong.cli.texts import Language, Words
from lienthong.errors import DeadlineExceeded, DomainError, InvalidArgument, Unavailable

DONE: Final = 0
REFUSED: Final = 1
USAGE: Final = 2
WAITING: Final = 3
UNREACHABLE: Final = 4
FINDINGS: Final = 5
INTERRUPTED: Final = 130

MEANINGS: Final = """\b
Mã kết thúc / Exit codes:
  0  xong / done
  1  bị từ chối, lý do được in ra / refused, the reason is printed
  2  lệnh sai, thiếu tệp, sai hồ sơ / wrong usage, missing file, wrong profile
  3  hết giờ chờ, việc vẫn tiếp tục / the wait ended, the work goes on
  4  nút hoặc dịch vụ cần thiết không trả lời / the node, or what it needs, does not answer
  5  có sai lệch: chữ ký không hợp lệ, sổ hay kho không khớp, có nơi không nhận được / findings
  130  dừng bằng Ctrl-C / stopped by Ctrl-C"""

# What is wrong with how the program was called, found by code that others share.
_CALLED_WRONGLY: Final = frozenset({"PROFILE_UNKNOWN", "PROFILES_INVALID", "FILE_UNREADABLE"})


class UsageRefused(InvalidArgument):
    """The command cannot be carried out as it was typed; nothing was asked of the node."""


def code_of(error: DomainError) -> int:
    """The exit code of a refusal."""
    if isinstance(error, UsageRefused) or error.reason in _CALLED_WRONGLY:
        return USAGE
    if isinstance(error, Unavailable):
        return UNREACHABLE
    return WAITING if isinstance(error, DeadlineExceeded) else REFUSED


def error_shape(error: DomainError) -> dict[str, Any]:
    """The object under "error" that --json prints to standard error."""
    from lienthong.advice import ADVICE

    advice = ADVICE.get(error.reason)
    return {
        "reason": error.reason,
        "message": error.message,
        "fields": [{"field": v.field, "description": v.description} for v in error.violations],
        "metadata": error.metadata,
        "retry_after": error.retry_after,
        "advice": {"vi": advice.vi, "en": advice.en} if advice else None,
        "exit_code": code_of(error),
    }


def print_refusal(error: DomainError, language: Language, *, as_json: bool) -> None:
    """To standard error: standard output holds results and nothing else."""
    shape = error_shape(error)
    if as_json:
        typer.echo(json.dumps({"error": shape}, ensure_ascii=False), err=True)
        return
    words = Words(language)
    typer.echo(f"lienthong: {error.reason}: {_tame(error.message)}", err=True)
    for violation in shape["fields"]:
        if violation["description"] != error.message:
            line = f"{violation['field']}: {violation['description']}"
        else:
            line = violation["field"]
        typer.echo(f"  {words('field')}: {_tame(line)}", err=True)
    details = _details(error.metadata, error.message)
    if details:
        typer.echo(f"  {words('details')}: {_tame(details)}", err=True)
    if error.retry_after is not None:
        delay = words("seconds", seconds=f"{error.retry_after:.0f}")
        typer.echo(f"  {words('retry_after')}: {delay}", err=True)
    if shape["advice"]:
        typer.echo(f"  {words('advice')}: {shape['advice'][language]}", err=True)


def _details(metadata: Mapping[str, str], message: str) -> str:
    """What the message does not say already: a correlation id, causes, limits."""
    return ", ".join(f"{key}={value}" for key, value in metadata.items() if value and value not in message)


def _tame(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
