"""Every reason that our code can give is in the catalogue: the clerk is never left with a code word."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from lienthong import errors
from lienthong.advice import ADVICE

ROOT = Path(__file__).parents[3]
CLASSES = {name for name, kind in vars(errors).items() if isinstance(kind, type)} - {"FieldViolation"}


def reasons_raised(source: str) -> Iterator[str]:
    """The reason literals of the domain errors that are constructed in a piece of code."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in CLASSES and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def test_the_search_finds_reasons() -> None:
    source = 'raise NotFound("A_B", "x")\nraise errors.Internal("C_D")\nprint("E_F")'
    assert list(reasons_raised(source)) == ["A_B", "C_D"]


def test_every_reason_has_advice() -> None:
    missing = {
        f"{path.relative_to(ROOT)}: {reason}"
        for folder in ("libs/lienthong", "services")
        for path in (ROOT / folder).rglob("*.py")
        for reason in reasons_raised(path.read_text(encoding="utf-8"))
        if reason not in ADVICE
    }
    assert not missing, "\n".join(sorted(missing))
