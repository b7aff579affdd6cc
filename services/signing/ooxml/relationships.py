"""Relationship parts: reading, resolving targets, and the Relationships Transform (ECMA-376-2, 10.5.8.6)."""

import posixpath
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from lxml import etree

from services.signing.domain import Reason
from services.signing.ooxml import xml
from services.signing.ooxml.errors import unacceptable
from services.signing.ooxml.names import RELATIONSHIPS

ROOT: Final = "/"
_RELATIONSHIP: Final = f"{{{RELATIONSHIPS}}}Relationship"
_PART: Final = re.compile(r"(?P<folder>.*)/_rels/(?P<file>[^/]*)\.rels", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Relationship:
    """One arrow from a part (or the package, `/`) to a part or an address outside."""

    source: str
    id: str
    type: str
    target: str
    external: bool


def is_relationships(part: str) -> bool:
    return _PART.fullmatch(part) is not None


def part_of(source: str) -> str:
    """Where the relationships are kept: `/word/document.xml` -> `/word/_rels/document.xml.rels`."""
    folder, _, file = source.rpartition("/")
    return f"{folder}/_rels/{file}.rels"


def source_of(part: str) -> str:
    """Whose relationships a relationship part holds: `/_rels/.rels` -> `/`."""
    found = _PART.fullmatch(part)
    if found is None:
        raise ValueError(f"not a relationship part: {part}")
    return f"{found['folder']}/{found['file']}"


def read(data: bytes, part: str) -> list[Relationship]:
    """All relationships of the part; an Id used twice would let one signed arrow stand for another."""
    root, source = xml.parse(data, part), source_of(part)
    found = [_relationship(element, source, part) for element in root.iter(_RELATIONSHIP)]
    if len({relationship.id for relationship in found}) != len(found):
        raise unacceptable(Reason.DUPLICATE_ID, "a relationship Id is used twice", part=part)
    return found


def transform(data: bytes, part: str, ids: Collection[str], types: Collection[str] = ()) -> bytes:
    """What is digested of a relationship part: the chosen relationships, sorted by Id in code-point order,
    without text and comments, `TargetMode` made explicit."""
    root = xml.parse(data, part)
    result = xml.new(root.tag, xml.attributes_of(root), root.nsmap)
    chosen = [e for e in root.iterchildren(_RELATIONSHIP) if e.get("Id") in ids or e.get("Type") in types]
    for element in sorted(chosen, key=lambda e: e.get("Id") or ""):
        kept = etree.SubElement(result, element.tag, xml.attributes_of(element))
        if kept.get("TargetMode") is None:
            kept.set("TargetMode", "Internal")
    return xml.canonical(result)


def normalized(data: bytes, part: str) -> bytes | None:
    """The part without white space and comments, or None where it has none already.

    LibreOffice digests the white space that the transform drops; without any, all verifiers agree.
    """
    root = xml.parse(data, part)
    result = xml.new(root.tag, xml.attributes_of(root), root.nsmap)
    for element in root.iterchildren(_RELATIONSHIP):
        etree.SubElement(result, element.tag, xml.attributes_of(element))
    return None if xml.canonical(root) == xml.canonical(result) else xml.serialize(result)


def _relationship(element: etree._Element, source: str, part: str) -> Relationship:
    identifier, kind, target = (element.get(name) for name in ("Id", "Type", "Target"))
    if identifier is None or kind is None or target is None:
        raise unacceptable(Reason.DOCUMENT_BROKEN, "a relationship lacks Id, Type or Target", part=part)
    external = element.get("TargetMode", "Internal").lower() == "external"
    return Relationship(source, identifier, kind, target if external else _resolve(source, target), external)


def _resolve(source: str, target: str) -> str:
    path = target.partition("#")[0]
    joined = path if path.startswith("/") else posixpath.join(posixpath.dirname(source), path)
    return posixpath.normpath(joined)
