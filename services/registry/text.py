"""What texts a register takes: bounded, printable, in one spelling. Pure."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from lienthong.errors import InvalidArgument

MAX_NOTATION: Final = 30  # decree 30/2020, annex VI: CodeNotation
# Letters of any script but no combining marks: a decomposed `Ơ` would be a second spelling of one notation.
_NOTATION: Final = re.compile(r"[^\W_]+([-/.&][^\W_]+)*")
_SERIES: Final = re.compile(r"([^\W_]+([-/.&][^\W_]+)*)?")
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


def check_notation(text: str, field: str) -> str:
    """`QĐ-BNV`: groups of letters and digits, no spaces (decree 30/2020, annex I, II.3)."""
    if len(text) > MAX_NOTATION or _NOTATION.fullmatch(text) is None:
        raise InvalidArgument("NOTATION_INVALID", f"{field} is not a notation such as QĐ-BNV", field=field)
    return text


def check_series(text: str, field: str) -> str:
    """Empty for the single series, or a short name of one."""
    if len(text) > MAX_NOTATION or _SERIES.fullmatch(text) is None:
        raise InvalidArgument("SERIES_INVALID", f"{field} is not the name of a series", field=field)
    return text
