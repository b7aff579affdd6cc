"""What an object store answers, said in this system's words: away, refused, no bucket, full.

obstore tells a few answers by class and the others only in its text, which carries the HTTP status and the
store's own code (`<Code>NoSuchBucket</Code>`). Nothing else of that text is passed on: it is long and meant
for developers, who find it as the cause of the exception.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from lienthong.errors import DomainError, FailedPrecondition, ResourceExhausted, Unavailable
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

_STATUS: Final = re.compile(r"status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>(\w{1,60})</Code>")
_RETRY_SECONDS: Final = 5.0
_RANGE_NOT_SATISFIABLE: Final = "416"


class RangeMissing(Exception):  # noqa: N818 - an answer, not an error of ours
    """The object is shorter than where the range begins."""


@asynccontextmanager
async def told(seconds: float) -> AsyncIterator[None]:
    """Turn what goes wrong inside, or lasts longer, into a DomainError.

    FileNotFoundError passes: no such object, which only the caller can judge. RangeMissing likewise.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise _away("it did not answer in time") from error
    except (FileNotFoundError, BaseError) as error:
        text = str(error)
        code = _found(_CODE, text)
        if code == "NoSuchBucket":
            raise FailedPrecondition("BUCKET_MISSING", "the object store has no such bucket") from error
        if isinstance(error, FileNotFoundError):
            raise
        raise _said(error, _found(_STATUS, text), code) from error


def _said(error: BaseError, status: str, code: str) -> DomainError | RangeMissing:
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or status in {"401", "403"}:
        return FailedPrecondition("STORE_DENIED", "the object store refuses this node's key", code=code)
    if status == _RANGE_NOT_SATISFIABLE:
        return RangeMissing()
    if status == "507":  # what MinIO and Ceph say of a full disk or a quota
        return ResourceExhausted("STORAGE_FULL", "the object store is full", retry_after=60.0)
    return _away("it cannot be reached or fails", status=status, code=code)


def _away(why: str, status: str = "", code: str = "") -> Unavailable:
    return Unavailable(
        "STORE_UNAVAILABLE",
        f"the object store does not serve: {why}",
        retry_after=_RETRY_SECONDS,
        status=status,
        code=code,
    )


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    return match.group(1) if match else ""
