"""Settings of signing."""

from __future__ import annotations

from pathlib import Path

from lienthong.settings import DatabaseSettings, NodeSettings, Section
from pydantic import Field

from services.signing.tsa import DEFAULT_POLICY

_MIB = 1024 * 1024


class AuthoritySettings(Section):
    """The node's own timestamp authority: its key, the chain (leaf first), the policy it stamps under."""

    key: Path
    chain: Path
    policy: str = Field(default=DEFAULT_POLICY, pattern=r"^[0-2](\.\d+)+$")


class SigningSettings(Section):
    """`keys` is walked for folders with `key.pem` and `chain.pem`; a `signature.png` there is what is seen.

    `spool` belongs to this process alone: what lies there at start is an earlier process's, and goes.
    """

    database: DatabaseSettings
    keys: Path
    document_roots: Path
    document_intermediates: Path | None = None
    # Of timestamp authorities; where left out, the documents' roots are theirs too.
    timestamp_roots: Path | None = None
    crls: tuple[Path, ...] = ()
    # Fingerprint -> identity URI, for certificates that the state issued without one.
    bindings: dict[str, str] = Field(default_factory=dict)
    # Authorities of others, tried in turn; without any the node's own stamps.
    tsa_urls: tuple[str, ...] = ()
    tsa: AuthoritySettings | None = None
    # "host:port" of RFC 3161 over HTTP; empty: only gRPC.
    tsa_listen: str = Field(default="", pattern=r"^(|[^\s/]+:\d{1,5})$")
    # How far the clock may be from the database's before nothing is stamped, in seconds.
    clock_tolerance: float = Field(default=1.0, gt=0)
    spool: Path
    max_document_bytes: int = Field(default=512 * _MIB, gt=0)
    workers: int = Field(default=2, ge=1, le=64)
    # Documents in hand at a time; each is on disk and at most one CPU's work, some wait for a timestamp.
    signing_places: int = Field(default=16, ge=1)
    validating_places: int = Field(default=16, ge=1)
    # Seconds a caller waits for a place, and seconds we wait for a caller's next piece.
    busy_patience: float = Field(default=5.0, ge=0)
    stall_patience: float = Field(default=60.0, gt=0)


class SigningProcess(NodeSettings):
    """The settings of a process that hosts signing alone."""

    signing: SigningSettings
