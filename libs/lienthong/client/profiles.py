"""Profiles: who connects where with which certificate, by a name that people remember.

# profiles.yaml, paths relative to it
default: G22/clerk/tran-thi-van-thu
profiles:
  G22/clerk/tran-thi-van-thu:
    node: G22
    organization: G22
    addresses: 127.0.0.1:18001        # or one a service: {routing: ..., storage: ...}
    certificate: pki/issued/org/G22/clerk/tran-thi-van-thu/tls/chain.pem
    key: pki/issued/org/G22/clerk/tran-thi-van-thu/tls/key.pem
    roots: pki/roots.pem
    document_roots: pki/roots.pem     # what envelopes are judged by; `roots` by default
    spans: [nodes/G22/spans.jsonl]    # where `trace` may look, none by default
    language: vi
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from lienthong.client.connection import DEFAULT_PATIENCE, Connection
from lienthong.errors import FieldViolation, InvalidArgument, NotFound
from lienthong.pki.trust import TrustStore
from lienthong.settings import NodeCode, Section, TlsSettings
from pydantic import Field, ValidationError


class Profile(Section):
    """One way to connect. Paths are absolute once read."""

    node: NodeCode
    # None for operators and auditors, who belong to no agency.
    organization: NodeCode | None = None
    addresses: str | dict[str, str]
    certificate: Path
    key: Path
    roots: Path
    document_roots: Path | None = None
    spans: tuple[Path, ...] = ()
    language: Literal["vi", "en"] = "vi"

    @property
    def tls(self) -> TlsSettings:
        return TlsSettings(certificate=self.certificate, key=self.key, roots=self.roots)

    def connect(self, *, patience: float = DEFAULT_PATIENCE) -> Connection:
        """A connection with this certificate to this node: an async context manager."""
        trust = TrustStore.load(self.document_roots) if self.document_roots else None
        return Connection(self.tls, self.addresses, self.node, trust=trust, patience=patience)


class Profiles(Section):
    """A file of profiles."""

    default: str | None = None
    profiles: dict[str, Profile] = Field(default_factory=dict, max_length=10_000)

    @classmethod
    def read(cls, file: Path) -> Profiles:
        """The profiles of a YAML file, or InvalidArgument("PROFILES_INVALID") that names each mistake."""
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            found = cls.model_validate(content)
        except (OSError, yaml.YAMLError) as error:
            raise _invalid(file, [("file", " ".join(str(error).split()))]) from None
        except ValidationError as error:
            problems = error.errors(include_input=False, include_context=False, include_url=False)
            raise _invalid(file, [(".".join(map(str, p["loc"])), p["msg"]) for p in problems]) from None
        base = file.resolve().parent
        return cls(
            default=found.default,
            profiles={name: _absolute(profile, base) for name, profile in found.profiles.items()},
        )

    def write(self, file: Path) -> None:
        """Write the file; paths under its folder become relative to it."""
        base = file.resolve().parent
        content: dict[str, Any] = {"default": self.default, "profiles": {}}
        for name, profile in self.profiles.items():
            fields = profile.model_dump(exclude_defaults=True)
            content["profiles"][name] = {key: _relative(value, base) for key, value in fields.items()}
        file.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")

    def named(self, name: str | None) -> tuple[str, Profile]:
        """A profile by its name, or the default one; NotFound("PROFILE_UNKNOWN") names those there are."""
        wanted = name or self.default or ""
        if wanted not in self.profiles:
            known = ", ".join(sorted(self.profiles)[:20])
            message = f"no profile {wanted!r}; there are: {known}"
            raise NotFound("PROFILE_UNKNOWN", message, field="profile", profile=wanted)
        return wanted, self.profiles[wanted]


def _absolute(profile: Profile, base: Path) -> Profile:
    changed: Mapping[str, Any] = {
        "certificate": base / profile.certificate,
        "key": base / profile.key,
        "roots": base / profile.roots,
        "document_roots": base / profile.document_roots if profile.document_roots else None,
        "spans": tuple(base / place for place in profile.spans),
    }
    return profile.model_copy(update=changed)


def _relative(value: object, base: Path) -> object:
    if isinstance(value, tuple):
        return [_relative(item, base) for item in value]
    if isinstance(value, Path):
        return str(value.relative_to(base) if value.is_relative_to(base) else value)
    return value


def _invalid(file: Path, problems: list[tuple[str, str]]) -> InvalidArgument:
    line = "; ".join(f"{where}: {problem}" for where, problem in problems)
    return InvalidArgument(
        "PROFILES_INVALID",
        f"{file} is not usable: {line}",
        violations=[FieldViolation(where, problem) for where, problem in problems],
    )
