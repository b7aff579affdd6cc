"""How this package says that a document is no good: InvalidArgument with a Reason that a report can carry."""

from lienthong.errors import InvalidArgument

from services.signing.domain import Reason


def unacceptable(reason: Reason, message: str, **metadata: object) -> InvalidArgument:
    """The error for a document (or one signature of it) that is not what it must be."""
    error = InvalidArgument(reason.value, message)
    error.metadata.update({name: str(value) for name, value in metadata.items()})
    return error
