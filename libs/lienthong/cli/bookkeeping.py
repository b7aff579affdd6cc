"""A register as a table with its checks, or as a file ready to print."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lienthong.cli import shapes, showing
from lienthong.cli.exits import UsageRefused
from lienthong.cli.texts import ENTRY_STATES
from lienthong.client.registers import HTML, INCOMING, OUTGOING, TEXT
from lienthong.registry.v1 import register_pb2
from lienthong.times import vietnam_day
from rich.text import Text as Styled

if TYPE_CHECKING:
    from lienthong.cli.output import Cell
    from lienthong.cli.session import Session

_FORMS: Final = {"html": HTML, "txt": TEXT}


@dataclass(frozen=True, slots=True)
class Side:
    """Outgoing or incoming, and what such a register is called."""

    direction: register_pb2.Direction.ValueType
    heading: str
    name: str


_OUT: Final = Side(OUTGOING, "register_outgoing", "so-van-ban-di")
_IN: Final = Side(INCOMING, "register_incoming", "so-van-ban-den")
_SIDES: Final = {"outgoing": _OUT, "out": _OUT, "di": _OUT, "đi": _OUT} | {
    "incoming": _IN,
    "in": _IN,
    "den": _IN,
    "đến": _IN,
}


def direction_of(text: str) -> Side:
    found = _SIDES.get(text.casefold())
    if found is None:
        message = f"{text!r}: outgoing (đi) or incoming (đến)"
        raise UsageRefused("DIRECTION_UNKNOWN", message, field="direction")
    return found


def this_year(session: Session) -> int:
    """Registers begin with the year in Vietnam."""
    return vietnam_day(session.connection.clock.now()).year


async def export(session: Session, book: register_pb2.Book, form: str, target: Path) -> None:
    with session.output.doing("downloading", target.name, unit=""):
        await session.agency.registers.export(book, _FORMS[form], target)
    if session.output.as_json:
        session.output.json({"output": str(target)})
    else:
        session.output.line(session.words("written", output=target))


async def show(session: Session, book: register_pb2.Book, side: Side) -> bool:
    """The entries and the checks; whether something is wrong with the register."""
    registers, words = session.agency.registers, session.words
    entries = [entry async for entry in registers.entries(book)]
    check = await registers.check(book)
    wrong = bool(check.missing) or not check.chain_intact
    if session.output.as_json:
        session.output.json(
            {
                "organization": book.organization,
                "direction": "OUTGOING" if side is _OUT else "INCOMING",
                "year": book.year,
                "series": book.series,
                "entries": [shapes.entry_shape(entry) for entry in entries],
                "check": shapes.check_shape(check),
            }
        )
        return wrong
    series = f", {book.series}" if book.series else ""
    session.output.line(f"{words(side.heading)} {book.organization}, {book.year}{series}", style="bold")
    partner = "recipients" if side is _OUT else "author"
    rows = [_row(session, entry, partner) for entry in entries]
    columns = ["number", "date", "code", "type", "subject", partner, "state", "note"]
    showing.without_empty(session, columns, rows, whole=("number", "date", "code", "author"))
    _say_checks(session, check)
    return wrong


def _row(session: Session, entry: register_pb2.Entry, partner: str) -> tuple[Cell, ...]:
    about, name = entry.description, shapes.entry_state_name(entry.state)
    style = {"VOID": "red", "RESERVED": "yellow"}.get(name, "")
    return (
        entry.number,
        showing.day(entry.entry_date),
        about.code or (f"{entry.number:02d}/{entry.notation}" if entry.notation else ""),
        about.type_name,
        about.subject,
        ", ".join(about.recipients) if partner == "recipients" else about.author,
        Styled(session.words.name(ENTRY_STATES, name), style=style),
        entry.void_reason or about.note,
    )


def _say_checks(session: Session, check: register_pb2.CheckRegisterResponse) -> None:
    words, output = session.words, session.output
    if check.missing:
        output.warn(words("register_gaps", numbers=", ".join(map(str, check.missing))))
    if not check.chain_intact:
        output.warn(words("register_broken"))
    if not check.missing and check.chain_intact:
        counts = {key: getattr(check, key) for key in ("highest", "issued", "void", "reserved")}
        output.line(words("register_sound", **counts), style="green")
