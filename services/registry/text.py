"""What texts a register takes: bounded, printable, in one spelling. Pure."""

from __future__ import annotations

import unicodedata
from typing import Final

from lienthong.errors import InvalidArgument

_LAID_OUT: Final = frozenset("\n\t\r")


def is_plain(text: str, limit: int) -> bool:
    """At most `limit` characters, none of them a control character (line breaks and tabs apart)."""
    return len(text) <= limit and not any(
        unicodedata.category(letter) == "Cc" and letter not in _LAID_OUT for letter in text
    )


def check_text(text: str, limit: int, field: str) -> str:
    """The text, or InvalidArgument("TEXT_INVALID"). PostgreSQL takes no NUL, and a page no other controls."""
    if not is_plain(text, limit):
        raise InvalidArgument(
            "TEXT_INVALID",
            f"{field} has more than {limit} characters, or control characters",
            field=field,
            limit=limit,
        )
    return text
