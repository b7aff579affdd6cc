"""Identifiers: UUIDv7 for what is made (they sort by time), UUIDv5 for what follows from something made."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from lienthong.errors import InvalidArgument
from uuid_utils.compat import uuid7

IdFactory = Callable[[], uuid.UUID]


def new_id() -> uuid.UUID:
    """A new identifier for ever."""
    return uuid7()


def sub_id(parent: uuid.UUID, step: str) -> uuid.UUID:
    """The identifier of one step of `parent`: the same whenever the step is repeated (design R1)."""
    return uuid.uuid5(parent, step)


def parse_id(text: str, field: str) -> uuid.UUID:
    """Read an identifier in its one canonical form (36 lower-case letters), or raise InvalidArgument.

    Other spellings of one id ("{...}", "urn:uuid:", upper case) are refused: ids are compared as text
    by other systems, and two spellings would be two documents to them.
    """
    try:
        value = uuid.UUID(text)
    except ValueError:
        value = None
    if value is None or str(value) != text:
        raise InvalidArgument("ID_MALFORMED", f"{field} is not a UUID in canonical form", field=field)
    return value
