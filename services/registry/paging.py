"""Page tokens: they are opaque to callers and checked when they come back. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Final
from uuid import UUID

from lienthong.errors import InvalidArgument

_MAX_TOKEN: Final = 200


def token_of(place: str) -> str:
    """The token of a place in a list."""
    return base64.urlsafe_b64encode(place.encode()).decode()


def place_of(token: str) -> str:
    """The place that a token names; empty for the start."""
    try:
        if len(token) <= _MAX_TOKEN:
            place = base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii")
            if place.isprintable():
                return place
    except (binascii.Error, ValueError):
        pass
    raise _invalid()


def entry_token(number: int, entry_id: UUID) -> str:
    """The token behind one line of a register."""
    return token_of(f"{number} {entry_id}")


def entry_place(token: str) -> tuple[int, UUID]:
    """Number and entry behind which the page starts."""
    if not token:
        return 0, UUID(int=0)
    number, _, entry_id = place_of(token).partition(" ")
    try:
        place = int(number), UUID(entry_id)
    except ValueError:
        raise _invalid() from None
    if not 0 < place[0] < 2**31:
        raise _invalid()
    return place


def _invalid() -> InvalidArgument:
    return InvalidArgument(
        "PAGE_TOKEN_INVALID", "page_token is not one that a page ended with", field="page_token"
    )
