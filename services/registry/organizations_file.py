"""A directory written by people: YAML with `nodes` and `organizations`, see examples/four-levels.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from lienthong.errors import InvalidArgument
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from services.registry.codes import CodeScheme
from services.registry.domain import Tier
from services.registry.import_rules import NodeRow, OrganizationRow

_MAX_BYTES: Final = 64 * 1024 * 1024

# YAML reads 2025-07-01 as a date; whether it stands in quotes should not matter to who writes it.
_Day = Annotated[str, BeforeValidator(str)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Node(_Strict):
    node: str
    parent: str = ""
    name: str
    tier: str


class _Organization(_Strict):
    code: str
    name: str
    superior: str = ""
    tier: str
    node: str = ""
    valid_from: _Day
    valid_to: _Day = ""
    aliases: Mapping[str, list[str]] = Field(default_factory=dict)


class _File(_Strict):
    nodes: list[_Node] = []
    organizations: list[_Organization] = []


def organizations_from_file(path: Path) -> tuple[list[NodeRow], list[OrganizationRow]]:
    """The rows of a file, or InvalidArgument("ORGANIZATIONS_FILE_INVALID") that says where it is wrong.

    What the rows say is judged by the import, like that of any other caller.
    """
    content = _parsed(path)
    nodes = [NodeRow(node.node, node.parent, node.name, _tier(node.tier)) for node in content.nodes]
    return nodes, [_row(organization) for organization in content.organizations]


def _parsed(path: Path) -> _File:
    try:
        return _File.model_validate(_read(path))
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _invalid(path, f"{where}: {first['msg']}") from None


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise _invalid(path, "the file is too large")
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _invalid(path, " ".join(str(error).split())) from None


def _row(organization: _Organization) -> OrganizationRow:
    aliases = tuple(
        (_scheme(scheme), value) for scheme, values in organization.aliases.items() for value in values
    )
    return OrganizationRow(
        organization.code,
        organization.name,
        organization.superior,
        _tier(organization.tier),
        organization.node,
        organization.valid_from,
        organization.valid_to,
        aliases,
    )


def _tier(name: str) -> int:
    return Tier[name].value if name in Tier.__members__ else 0


def _scheme(name: str) -> int:
    return CodeScheme[name].value if name in CodeScheme.__members__ else 0


def _invalid(path: Path, problem: str) -> InvalidArgument:
    return InvalidArgument(
        "ORGANIZATIONS_FILE_INVALID", f"the organizations file {path} cannot be used: {problem}", path=path
    )
