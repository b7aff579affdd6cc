"""The one catalogue of error reasons and what a clerk does next about each; one file a service."""

from __future__ import annotations

from lienthong.advice import command_line, common, operating, registry, reporting, routing, signing, storage
from lienthong.advice.entry import Advice
from lienthong.errors import DomainError

__all__ = ["ADVICE", "Advice", "explain", "merge"]


def merge(*parts: dict[str, Advice]) -> dict[str, Advice]:
    """Put the parts together; a reason in two of them would mean two different things."""
    merged: dict[str, Advice] = {}
    for part in parts:
        doubles = merged.keys() & part.keys()
        if doubles:
            raise ValueError(f"advice given twice: {sorted(doubles)}")
        merged.update(part)
    return merged


ADVICE: dict[str, Advice] = merge(
    common.ADVICE,
    command_line.ADVICE,
    operating.ADVICE,
    registry.ADVICE,
    signing.ADVICE,
    storage.ADVICE,
    routing.ADVICE,
    reporting.ADVICE,
)


def explain(error: DomainError) -> str:
    """A refusal for a person: its reason and message, and what to do next in both languages."""
    advice = ADVICE.get(error.reason)
    return f"{error}" if advice is None else f"{error}\n  vi: {advice.vi}\n  en: {advice.en}"
