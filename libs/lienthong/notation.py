"""Number and notation of an issued document as printed, `05/QĐ-BNV` (decree 30/2020, annex I, II.3)."""

from __future__ import annotations

import re
from typing import Final

from lienthong.errors import InvalidArgument

MAX_NOTATION: Final = 30  # decree 30/2020, annex VI: CodeNotation
# Letters of any script but no combining marks: a decomposed `Ơ` would be a second spelling of one notation.
_NOTATION: Final = re.compile(r"[^\W_]+([-/.&][^\W_]+)*")


def check_notation(text: str, field: str) -> str:
    """`QĐ-BNV`: groups of letters and digits, no spaces; else InvalidArgument("NOTATION_INVALID")."""
    if len(text) > MAX_NOTATION or _NOTATION.fullmatch(text) is None:
        raise InvalidArgument(
            "NOTATION_INVALID", f"a notation is like QĐ-BNV, at most {MAX_NOTATION} characters", field=field
        )
    return text


def check_series(text: str, field: str) -> str:
    """Empty for the single series, or a short name of one; else InvalidArgument("SERIES_INVALID")."""
    if text and (len(text) > MAX_NOTATION or _NOTATION.fullmatch(text) is None):
        raise InvalidArgument("SERIES_INVALID", "not the name of a series", field=field)
    return text


def printed_number(number: int) -> str:
    """Arabic numerals from 1; below ten with a leading zero."""
    if number < 1:
        raise InvalidArgument("NUMBER_INVALID", "a document number starts at 1", number=number)
    return f"{number:02d}"


def printed_code(number: int, notation: str) -> str:
    """Number, a slash, notation."""
    return f"{printed_number(number)}/{notation}"
