"""Codes of organizations: the present form (QĐ 20/2020/QĐ-TTg), the old one (QCVN 102:2016), their relation.

The relation is a proposal and not a law: agencies were free to rebuild their trees when they took new codes,
so the directory keeps an alias table and uses these functions only where a table says nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

MAX_CODE_LENGTH: Final = 35  # QĐ 20/2020/QĐ-TTg, article 4

_QD20: Final = re.compile(r"[A-Y][0-9]{2}(\.[0-9A-Z]+)*", re.ASCII)
_QCVN102: Final = re.compile(r"[0-9A-Z]{3}\.[0-9A-Z]{2}\.[0-9A-Z]{2}\.[A-Y][0-9]{2}", re.ASCII)
_ZEROS: Final = ("000", "00", "00")
"""What stands in the groups of levels 4, 3 and 2 when there is no unit at that level."""


class CodeScheme(IntEnum):
    """A system of codes; the numbers are those of the contract."""

    QD20 = 1
    QCVN102 = 2


@dataclass(frozen=True, slots=True, order=True)
class CodeKey:
    """One code in its one stored spelling."""

    scheme: CodeScheme
    value: str


def is_qd20(text: str) -> bool:
    """Whether this is a present code, `H53.31.23`."""
    return len(text) <= MAX_CODE_LENGTH and _QD20.fullmatch(text) is not None


def full_qcvn102(text: str) -> str | None:
    """The 13 characters of an old code, also of one whose leading zero groups were dropped; None if neither.

    `28.22.H17` circulates for `000.28.22.H17`.
    """
    groups = text.split(".")
    if len(groups) > 4:
        return None
    padded = ".".join((*_ZEROS[: 4 - len(groups)], *groups))
    return padded if _QCVN102.fullmatch(padded) else None


def proposed_qcvn102(code: str) -> str | None:
    """The old code that a present code suggests, or None where the old form has no room for it.

    Groups are reversed (the old form reads right to left) and missing levels filled with zeros. A group of
    another width, or of zeros only, could not be turned back, so nothing is proposed for it.
    """
    first, *below = code.split(".")
    if not is_qd20(code) or len(below) > 3:
        return None
    zeros = tuple(reversed(_ZEROS))
    if any(len(group) != len(zero) or group == zero for group, zero in zip(below, zeros, strict=False)):
        return None
    return ".".join((*reversed((*below, *zeros[len(below) :])), first))


def proposed_qd20(old: str) -> str:
    """The present code that a full old code suggests: its groups reversed, zero groups dropped."""
    *below, first = old.split(".")
    kept = [group for group, zero in zip(below, _ZEROS, strict=True) if group != zero]
    return ".".join((first, *reversed(kept)))


def lookup_keys(text: str) -> tuple[CodeKey, ...]:
    """What a code as people write it may mean, most likely first; empty when it is no code at all.

    `A01.02.03.H53` is well formed in both systems: only the directory can tell which one is meant.
    """
    keys: list[CodeKey] = []
    if is_qd20(text):
        keys.append(CodeKey(CodeScheme.QD20, text))
    if (old := full_qcvn102(text)) is not None:
        keys.append(CodeKey(CodeScheme.QCVN102, old))
    return tuple(keys)
