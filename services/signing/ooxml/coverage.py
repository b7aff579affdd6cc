"""Holding a signed Manifest against the package: what changed since, and what it never covered."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from lxml import etree

from services.signing.domain import Reason
from services.signing.ooxml import core, names, relationships, xml
from services.signing.ooxml.errors import unacceptable
from services.signing.ooxml.findings import Finding
from services.signing.ooxml.package import Package, normal_name
from services.signing.ooxml.relationships import Relationship
from services.signing.ooxml.survey import Survey


@dataclass(slots=True)
class Covered:
    """What the references of a Manifest stand for."""

    parts: set[str] = field(default_factory=set)
    ids: dict[str, set[str]] = field(default_factory=dict)
    types: dict[str, set[str]] = field(default_factory=dict)

    def holds(self, part: str, arrow: Relationship) -> bool:
        return arrow.id in self.ids.get(part, ()) or arrow.type in self.types.get(part, ())


def compare(package: Package, survey: Survey, manifest: etree._Element) -> Iterator[Finding]:
    """Every difference between the Manifest and the package."""
    covered = Covered()
    spelling = {part.lower(): part for part in package.entries}
    named: set[str] = set()
    for reference in xml.children(manifest):
        if reference.tag != f"{{{names.DS}}}Reference":
            raise unacceptable(
                Reason.SIGNATURE_MALFORMED, "the Manifest holds something that is no Reference"
            )
        path, found, kind = (reference.get("URI") or "").partition("?ContentType=")
        part = spelling.get(normal_name(path).lower())
        # Twice the same part would cost twice the work, and no signer does it.
        if not found or path in named:
            raise unacceptable(
                Reason.SIGNATURE_MALFORMED, "the Manifest has a reference that is not accepted"
            )
        named.add(path)
        if part is None:
            yield Finding(Reason.CHANGED_AFTER_SIGNING, path[:200], "the part was removed")
            continue
        actual = package.content_type(part)
        if actual not in (kind, unquote(kind)):
            yield Finding(Reason.CONTENT_TYPE_CHANGED, part, f"signed as {kind[:100]}, now {actual}")
        if not _matches(package, part, reference, covered):
            yield Finding(Reason.CHANGED_AFTER_SIGNING, part)
    yield from _uncovered(survey, covered)


def _matches(package: Package, part: str, reference: etree._Element, covered: Covered) -> bool:
    algorithm, value = core.expected_digest(reference)
    steps = core.transforms_of(reference)
    methods = [step.get("Algorithm") for step in steps]
    if not steps:
        covered.parts.add(part)
        return package.digest(part, algorithm) == value
    if methods == [names.RELATIONSHIP_TRANSFORM, names.C14N] and relationships.is_relationships(part):
        ids, types = _selected(steps[0], "SourceId"), _selected(steps[0], "SourceType")
        covered.ids[part], covered.types[part] = ids, types
        data = relationships.transform(package.read(part), part, ids, types)
    elif methods == [names.C14N]:
        covered.parts.add(part)
        data = xml.canonical(package.read_xml(part))
    else:
        raise unacceptable(Reason.SIGNATURE_MALFORMED, "a transform is not accepted", part=part)
    return hashlib.new(algorithm, data).digest() == value


def _selected(step: etree._Element, attribute: str) -> set[str]:
    return {value for element in xml.children(step) if (value := element.get(attribute)) is not None}


def _uncovered(survey: Survey, covered: Covered) -> Iterator[Finding]:
    for part in survey.content:
        if part not in covered.parts:
            yield Finding(Reason.PART_NOT_SIGNED, part)
    for part, arrows in survey.to_be_signed().items():
        for arrow in arrows:
            signed = covered.holds(part, arrow)
            if not signed:
                detail = f"{arrow.id}: {arrow.type.rpartition('/')[2]} -> {arrow.target}"
                yield Finding(Reason.RELATIONSHIP_NOT_SIGNED, part, detail[:300])
            if arrow.external and arrow.type in names.TEMPLATE_RELATIONSHIPS:
                yield Finding(Reason.TEMPLATE_ATTACHED, part, arrow.target[:200], signed=signed)
            if arrow.external and arrow.type in names.EXTERNAL_CONTENT:
                yield Finding(Reason.CONTENT_NOT_COVERED, part, arrow.target[:200])
