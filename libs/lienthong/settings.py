"""Settings of a process: environment LIENTHONG_*, over an optional file named by LIENTHONG_SETTINGS.

Each service describes its own part as a `Section`; a process puts the parts together:

    class RegistrySettings(Section):
        database: DatabaseSettings

    class RegistryProcess(NodeSettings):
        registry: RegistrySettings

    settings = load(RegistryProcess)      # LIENTHONG_REGISTRY__DATABASE__URL=...

Unknown keys are errors, in the file and in the environment: a misspelt key must not silently mean the
default. Secrets are never values here, only paths of files.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import yaml
from lienthong.errors import FieldViolation, InvalidArgument
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

PREFIX: Final = "LIENTHONG_"
FILE_VARIABLE: Final = "LIENTHONG_SETTINGS"
SERVICES: Final = ("registry", "signing", "routing", "storage", "reporting")
"""The five of a node; a process is one of them, or `node`: all in one."""
# Read by other parts of the system than settings classes.
_OTHER_VARIABLES: Final = frozenset(
    {"LIENTHONG_POSTGRES_URL", "LIENTHONG_PROFILE", "LIENTHONG_PROFILES", "LIENTHONG_LANGUAGE", FILE_VARIABLE}
)

NodeCode = Annotated[str, Field(pattern=r"^[A-Z0-9]+(\.[A-Z0-9]+)*$", max_length=40)]
TrustDomain = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]


class Section(BaseModel):
    """A part of the settings: frozen, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TlsSettings(Section):
    """Where a process finds its own certificate, its key, and the roots it trusts (PEM files)."""

    certificate: Path
    key: Path
    roots: Path


class DatabaseSettings(Section):
    """One service's database. `password_file`, where given, completes a URL that has no password."""

    url: str = Field(pattern=r"^postgres(ql)?://")
    password_file: Path | None = None
    pool_size: int = Field(default=8, ge=1, le=100)
    statement_timeout: float = Field(default=30.0, gt=0)
    lock_timeout: float = Field(default=5.0, gt=0)


class TelemetrySettings(Section):
    """Logs go to standard error; spans to a file of JSON lines, and to a collector where there is one."""

    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    spans_file: Path | None = None
    otlp_endpoint: str | None = None
    otlp_insecure: bool = False
    sample_ratio: float = Field(default=1.0, ge=0.0, le=1.0)


class NodeSettings(BaseSettings):
    """What every process of a node is told; subclasses add the sections of the services they host."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, case_sensitive=False
    )

    node: NodeCode
    trust_domain: TrustDomain
    service: str = Field(default="node", pattern=f"^(node|{'|'.join(SERVICES)})$")
    tls: TlsSettings
    listen: str = "127.0.0.1:0"
    # Where probes that know no TLS (Kubernetes' own) ask for health, and for nothing else; None: nowhere.
    health_listen: str | None = Field(default=None, pattern=r"^[^\s/]+:\d{1,5}$")
    # Where the node's own services answer, by name. In one process all names may mean one address.
    addresses: dict[str, str] = Field(default_factory=dict)
    telemetry: TelemetrySettings = TelemetrySettings()
    grace: float = Field(default=10.0, ge=0.0, le=600.0)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library passes all five by name
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file (which `load` passes as init arguments)."""
        return env_settings, init_settings


S = TypeVar("S", bound=NodeSettings)


def load(settings: type[S], file: Path | None = None, *, environ: Mapping[str, str] = os.environ) -> S:
    """Read and check the settings of a process, or raise InvalidArgument("SETTINGS_INVALID") in one line."""
    _refuse_unknown_variables(settings, environ)
    named = environ.get(FILE_VARIABLE)
    path = file or (Path(named) if named else None)
    try:
        return settings(**(_read(path) if path else {}))
    except ValidationError as error:
        raise _invalid([(_dotted(e["loc"]), e["msg"]) for e in error.errors(include_input=False)]) from None
    except SettingsError as error:
        raise _invalid([("environment", f"{error}; nested values are NAME__KEY=value or JSON")]) from None


def _refuse_unknown_variables(settings: type[NodeSettings], environ: Mapping[str, str]) -> None:
    # pydantic-settings only looks at variables it knows, so it would never see a misspelt one.
    unknown = [
        name
        for name in sorted(environ)
        if name.upper().startswith(PREFIX)
        and name not in _OTHER_VARIABLES
        and name.upper().removeprefix(PREFIX).split("__")[0].lower() not in settings.model_fields
    ]
    if unknown:
        raise _invalid([(name, "no such setting; remove or correct it") for name in unknown])


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise _invalid([(str(path), f"cannot be read: {reason}; name a YAML or TOML file")]) from None
    if not isinstance(content, dict):
        raise _invalid([(str(path), "holds no keys; write key: value lines")])
    return content


def _dotted(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "settings"


def _invalid(problems: list[tuple[str, str]]) -> InvalidArgument:
    line = "; ".join(f"{key}: {problem}" for key, problem in problems)
    return InvalidArgument(
        "SETTINGS_INVALID",
        f"settings are not usable: {line}",
        violations=[FieldViolation(key, problem) for key, problem in problems],
    )
