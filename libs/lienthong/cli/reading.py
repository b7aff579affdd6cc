"""What people type for days, grades of urgency and lists of recipients, read into what the contract says."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Final

from lienthong.cli.exits import UsageRefused
from lienthong.types.v1 import document_pb2

_URGENCIES: Final = {
    "thuong": document_pb2.URGENCY_ORDINARY,
    "ordinary": document_pb2.URGENCY_ORDINARY,
    "khan": document_pb2.URGENCY_URGENT,
    "urgent": document_pb2.URGENCY_URGENT,
    "thuong-khan": document_pb2.URGENCY_VERY_URGENT,
    "very-urgent": document_pb2.URGENCY_VERY_URGENT,
    "hoa-toc": document_pb2.URGENCY_FLASH,
    "flash": document_pb2.URGENCY_FLASH,
}


def urgency(text: str) -> document_pb2.Urgency.ValueType:
    """`thường`, `khẩn`, `thượng-khẩn`, `hỏa-tốc`, with or without marks, or the English names."""
    key = "-".join(_bare(text).replace("_", " ").replace("-", " ").split())
    found = _URGENCIES.get(key)
    if found is None:
        message = f"--urgency {text}: thường, khẩn, thượng-khẩn or hỏa-tốc"
        raise UsageRefused("URGENCY_UNKNOWN", message, field="urgency")
    return found


def day(text: str, field: str) -> str:
    """`YYYY-MM-DD` from that or from `DD/MM/YYYY`, as days are written in Vietnam."""
    parts = text.strip().replace("/", "-").split("-")
    if len(parts) == 3 and len(parts[2]) == 4:
        parts.reverse()
    try:
        if len(parts) != 3 or len(parts[0]) != 4:
            raise ValueError
        return date(*map(int, parts)).isoformat()
    except ValueError:
        message = f"--{field} {text}: a day is 2026-12-07 or 07/12/2026"
        raise UsageRefused("DAY_MALFORMED", message, field=field) from None


def recipients(given: Iterable[str], file: Path | None) -> list[str]:
    """Codes from --to (repeated, or with commas) and from a file (a code a line, # begins a remark)."""
    words = [word for text in given for word in text.replace(",", " ").split()]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageRefused("FILE_MISSING", f"cannot read {file}: {error}", field="to-file") from None
        words += [word for line in lines for word in line.partition("#")[0].replace(",", " ").split()]
    found = list(dict.fromkeys(word.upper() for word in words))
    if not found:
        raise UsageRefused("RECIPIENTS_NOT_GIVEN", "say to whom: --to H01 or --to-file", field="to")
    return found


def number_and_notation(number: str, notation: str) -> tuple[int, str]:
    """`15` with --notation, or `15/QĐ-BNV` alone; number 0 when only the notation is given."""
    first, slash, rest = number.partition("/")
    chosen = unicodedata.normalize("NFC", (rest or notation).strip())
    if not chosen:
        message = "say --notation QĐ-BNV (the node numbers), or --number 15/QĐ-BNV (numbered already)"
        raise UsageRefused("NOTATION_NOT_GIVEN", message, field="notation")
    if not number:
        return 0, chosen
    if not first.isdecimal() or not int(first) or (slash and notation and rest.strip() != notation.strip()):
        raise UsageRefused("NUMBER_MALFORMED", f"--number {number}: 15, or 15/QĐ-BNV", field="number")
    return int(first), chosen


def _bare(text: str) -> str:
    """Without marks: `thượng khẩn` -> `thuong khan`."""
    decomposed = unicodedata.normalize("NFD", text.strip().casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).replace("đ", "d")
