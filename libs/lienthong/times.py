"""Times on the wire and days in the registers: protobuf timestamps, and the calendar of Vietnam."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final, overload

from google.protobuf.timestamp_pb2 import Timestamp
from lienthong.errors import InvalidArgument

# Vietnam keeps UTC+7 all the year; a fixed offset needs no time zone data on the machine.
VIETNAM: Final = timezone(timedelta(hours=7), "+07")


def vietnam_day(moment: datetime) -> date:
    """The calendar day in Vietnam: days and years of registers change at its midnight."""
    return moment.astimezone(VIETNAM).date()


@overload
def to_timestamp(moment: datetime) -> Timestamp: ...
@overload
def to_timestamp(moment: datetime | None) -> Timestamp | None: ...
def to_timestamp(moment: datetime | None) -> Timestamp | None:
    """The protobuf form; None stays None, which leaves a message field unset."""
    if moment is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def from_timestamp(stamp: Timestamp) -> datetime:
    """An aware time in UTC; a stamp out of range raises ValueError."""
    return stamp.ToDatetime(UTC)


def parse_day(text: str, field: str) -> date:
    """Read `YYYY-MM-DD`, or raise InvalidArgument("DATE_INVALID")."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise InvalidArgument("DATE_INVALID", f"{field} is not a day written YYYY-MM-DD", field=field)
    return day
