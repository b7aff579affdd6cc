# ruff: noqa: N818 - the classes are named for what they tell the caller, as the canonical codes are
"""The one error vocabulary: domain exceptions with a stable reason, known on both sides of a call.

    raise NotFound("ORGANIZATION_UNKNOWN", f"no organization {code}", code=code)
    raise InvalidArgument("CODE_MALFORMED", "not an organization code", field="recipients[0].code")

The class says what kind of trouble it is (rpc/errors.py gives each its canonical code), the reason says
which one, the metadata carries every dynamic part, and advice/ says what a clerk does next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,61}[A-Z0-9]")


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that is wrong: its path in the request, and why."""

    field: str
    description: str


class DomainError(Exception):
    """Something a caller can be told about; never raised itself, only its subclasses are."""

    def __init__(
        self,
        reason: str,
        message: str = "",
        *,
        field: str | None = None,
        retry_after: float | None = None,
        violations: Iterable[FieldViolation] = (),
        **metadata: object,
    ) -> None:
        if not _REASON.fullmatch(reason):
            raise ValueError(f"an error reason is UPPER_SNAKE of at most 63 letters, not {reason!r}")
        self.reason = reason
        self.message = message or reason.lower().replace("_", " ")
        self.metadata: dict[str, str] = {key: str(value) for key, value in metadata.items()}
        own = (FieldViolation(field, self.message),) if field is not None else ()
        self.violations: tuple[FieldViolation, ...] = (*own, *violations)
        self.retry_after = retry_after
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class InvalidArgument(DomainError):
    """The request is wrong whatever the state of the system."""


class NotFound(DomainError):
    """What the request names does not exist, or not for this caller."""


class AlreadyExists(DomainError):
    """What the request makes exists already with other content."""


class FailedPrecondition(DomainError):
    """The request is well formed, but the state of what it names forbids it."""


class PermissionDenied(DomainError):
    """The caller is known and may not do this."""


class Unauthenticated(DomainError):
    """It is not known who calls."""


class ResourceExhausted(DomainError):
    """A queue or quota is full: repeat after `retry_after` seconds."""


class Unavailable(DomainError):
    """Something needed does not answer now: repeat later."""


class Aborted(DomainError):
    """A concurrent change came first: repeat the whole transaction."""


class DeadlineExceeded(DomainError):
    """The caller's time was over; the effect is unknown."""


class DataLoss(DomainError):
    """Stored bytes are not what was stored."""


class Internal(DomainError):
    """A defect on our side; the details are in our log under a correlation id."""
