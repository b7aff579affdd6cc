"""Pure rules of storage: what a digest is, who may have bytes, which range of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from lienthong.errors import FailedPrecondition, InvalidArgument, PermissionDenied, ResourceExhausted

DIGEST_BYTES = 32
MAX_CHUNK = 512 * 1024
"""The largest piece that is taken in (storage.proto, UploadRequest)."""
SENT_CHUNK = 256 * 1024
"""The largest piece that is sent out."""
MAX_HOLDS = 1_000
MAX_HOLD_DIGESTS = 1_000
MAX_STAT_DIGESTS = 10_000
MAX_REPLICATED = 1_000
MAX_HOLDER_LETTERS = 200


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes, known by what they are."""

    sha256: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies where blobs live, recorded or not. `modified`: seconds of the store's own clock."""

    sha256: bytes
    size: int
    modified: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a row says. `leaving`: the collector has decided, and it is nobody's any more."""

    sha256: bytes
    size: int
    leaving: bool


class Fault(Enum):
    """How what is recorded and what is there differ."""

    MISSING = "missing"
    SIZE = "size"
    DIGEST = "digest"
    UNRECORDED = "unrecorded"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference; `size` is 0 where nothing is recorded, `found` where nothing is there."""

    sha256: bytes
    fault: Fault
    size: int
    found: int
    holds: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a comparison is."""

    compared: int
    recorded: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a comparison saw in all."""

    recorded: int
    recorded_bytes: int
    findings: int


@dataclass(frozen=True, slots=True)
class Announced:
    """What an uploader says will come; empty or 0 where it does not know."""

    sha256: bytes = b""
    size: int = 0

    @property
    def content(self) -> Content | None:
        """What will come, where all of it was said: only that can be taken up again after a break."""
        return Content(self.sha256, self.size) if self.sha256 and self.size else None

    def check(self, content: Content) -> None:
        """Refuse bytes that are not the announced ones."""
        if self.size and self.size != content.size:
            raise InvalidArgument(
                "SIZE_MISMATCH", "the length is not the announced one", expected=self.size, found=content.size
            )
        if self.sha256 and self.sha256 != content.sha256:
            raise InvalidArgument(
                "DIGEST_MISMATCH",
                "the bytes have another digest",
                expected=self.sha256.hex(),
                found=content.sha256.hex(),
            )


@dataclass(frozen=True, slots=True)
class BlobStat:
    """What is known of one digest; size is 0 where the bytes are not here."""

    sha256: bytes
    present: bool
    size: int
    granted: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """Digests that stay until the holder lets go."""

    holder: str
    digests: tuple[bytes, ...]


class Purpose(Enum):
    """What a grant allows."""

    DOWNLOAD = "download"
    PULL = "pull"
    PUSH = "push"


class Direction(Enum):
    """Which way blobs move, as seen by the side that dials."""

    PULL = "pull"
    PUSH = "push"


@dataclass(frozen=True, slots=True)
class Grant:
    """A statement whose signature was verified; whether it covers a request is `check_grant`'s to say."""

    signer_domain: str
    signer_node: str
    purpose: Purpose
    digests: frozenset[bytes]
    beneficiary: str
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody wants to do at this node by a grant. `beneficiary` is who asks, by certificate."""

    node: str
    trust_domain: str
    purpose: Purpose
    beneficiary: str
    digests: frozenset[bytes]


def check_grant(grant: Grant, claim: Claim) -> None:
    """PermissionDenied("GRANT_INVALID") unless this node's own routing gave exactly this claim."""
    if (grant.signer_domain, grant.signer_node) != (claim.trust_domain, claim.node):
        raise _invalid("it was given by another node", signer=grant.signer_node)
    if grant.purpose is not claim.purpose:
        raise _invalid("it allows something else", allows=grant.purpose.value, wanted=claim.purpose.value)
    if grant.beneficiary != claim.beneficiary:
        raise _invalid("it was given to somebody else", beneficiary=grant.beneficiary)
    if not claim.digests <= grant.digests:
        missing = min(claim.digests - grant.digests)
        raise _invalid("it does not cover the digest", sha256=missing.hex())


def check_digest(digest: bytes, field: str) -> bytes:
    """The digest, or InvalidArgument("DIGEST_MALFORMED")."""
    if len(digest) != DIGEST_BYTES:
        raise InvalidArgument("DIGEST_MALFORMED", "a SHA-256 digest has 32 bytes", field=field)
    return digest


def check_digests(digests: Sequence[bytes], field: str, limit: int) -> tuple[bytes, ...]:
    """The digests as they were asked for."""
    if len(digests) > limit:
        raise InvalidArgument("TOO_MANY_DIGESTS", f"at most {limit} digests", field=field, limit=limit)
    return tuple(check_digest(digest, field) for digest in digests)


def unique(digests: Iterable[bytes]) -> tuple[bytes, ...]:
    """Each digest once, the first place counts."""
    return tuple(dict.fromkeys(digests))


def check_range(offset: int, length: int, size: int) -> int:
    """The number of bytes that the range means, or InvalidArgument("RANGE_INVALID")."""
    if offset < 0 or length < 0 or offset > size or offset + length > size:
        raise InvalidArgument(
            "RANGE_INVALID", "the range is outside of the blob", offset=offset, length=length, size=size
        )
    return length or size - offset


def check_offset(offset: int) -> None:
    """Refuse to go on before the beginning; whether the bytes reach that far is staging's to say."""
    if offset < 0:
        raise offset_wrong(0)


def offset_wrong(here: int) -> FailedPrecondition:
    """What a stream is told that goes on where the bytes that are here do not end."""
    return FailedPrecondition(
        "UPLOAD_OFFSET_WRONG", "the upload does not go on where what is here ends", offset=here
    )


def check_size(size: int, limit: int) -> None:
    """ResourceExhausted("ATTACHMENT_TOO_LARGE") for what is larger than this node takes."""
    if size < 0:
        raise InvalidArgument("SIZE_MISMATCH", "a length is not negative", field="size_bytes")
    if size > limit:
        raise ResourceExhausted("ATTACHMENT_TOO_LARGE", "the attachment is too large", limit=limit)


def check_chunk(chunk: bytes) -> None:
    """InvalidArgument("CHUNK_TOO_LARGE") for a piece that would make memory grow."""
    if len(chunk) > MAX_CHUNK:
        raise InvalidArgument(
            "CHUNK_TOO_LARGE", "a chunk is larger than allowed", size=len(chunk), limit=MAX_CHUNK
        )


def check_hold(holder: str, digests: Sequence[bytes], field: str) -> Hold:
    """A hold that names somebody and something."""
    if not 0 < len(holder) <= MAX_HOLDER_LETTERS:
        raise InvalidArgument("HOLDER_MALFORMED", "a hold needs the name of its holder", field=field)
    return Hold(holder, check_digests(digests, field, MAX_HOLD_DIGESTS))


def _invalid(message: str, **metadata: str) -> PermissionDenied:
    error = PermissionDenied("GRANT_INVALID", f"the grant is not good for this: {message}")
    error.metadata.update(metadata)
    return error
