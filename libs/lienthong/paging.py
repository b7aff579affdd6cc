"""Page sizes, the same for all lists: 0 takes the default, too many are cut to the most."""

from __future__ import annotations

from lienthong.errors import InvalidArgument


def page_size(asked: int, *, default: int = 100, most: int = 1_000) -> int:
    """How many to give (AIP-158); a negative size is InvalidArgument("PAGE_SIZE_INVALID")."""
    if asked < 0:
        raise InvalidArgument("PAGE_SIZE_INVALID", "page_size is negative", field="page_size")
    return min(asked or default, most)
