"""What is in a package and what a signature has to cover: content, metadata, the signatures' own parts."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from services.signing.domain import Reason
from services.signing.ooxml import names, relationships
from services.signing.ooxml.errors import unacceptable
from services.signing.ooxml.package import CONTENT_TYPES_PART, Package, normal_name
from services.signing.ooxml.relationships import ROOT, Relationship

PACKAGE_RELATIONSHIPS = relationships.part_of(ROOT)
_MAX_RELATIONSHIP_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Survey:
    """Every part is in one of: content, metadata, infrastructure, relationships, the content types."""

    relationships: Mapping[str, tuple[Relationship, ...]]
    origin: str | None
    signatures: tuple[str, ...]
    infrastructure: frozenset[str]
    metadata: frozenset[str]
    content: tuple[str, ...]

    def to_be_signed(self) -> dict[str, tuple[Relationship, ...]]:
        """Relationship part to the relationships in it that a signature must cover; empty ones left out."""
        wanted = {part: tuple(filter(self.is_content, found)) for part, found in self.relationships.items()}
        return {part: found for part, found in wanted.items() if found and part not in self.infrastructure}

    def is_content(self, relationship: Relationship) -> bool:
        """Whether the arrow leads to what readers show, rather than to metadata or signatures."""
        if relationship.source != ROOT or relationship.external:
            return True
        if relationship.type == names.ORIGIN_RELATIONSHIP:
            return relationship.target != self.origin
        return (
            relationship.type not in names.METADATA_RELATIONSHIPS or relationship.target not in self.metadata
        )

    def all_relationships(self) -> Iterable[Relationship]:
        return (relationship for found in self.relationships.values() for relationship in found)


def survey(package: Package) -> Survey:
    """Read all relationship parts of the package and sort its parts."""
    found = _relationships(package)
    origin = _origin(found)
    signatures, infrastructure = _signature_parts(package, found, origin)
    shown = {
        relationship.target
        for part, group in found.items()
        for relationship in group
        if part not in infrastructure and not relationship.external and not _is_metadata(relationship)
        if relationship.target != origin or relationship.type != names.ORIGIN_RELATIONSHIP
    }
    # What content points to is content, whatever else points to it: metadata is no place to hide a part.
    infrastructure -= shown
    metadata = _metadata(found) - shown - infrastructure
    fixed = infrastructure | metadata | found.keys() | {CONTENT_TYPES_PART}
    content = tuple(part for part in package.entries if part not in fixed)
    return Survey(found, origin, signatures, infrastructure, metadata, content)


def require_one_main_part(found: Survey, package: Package) -> None:
    """Exactly one main part, of a kind that Office opens."""
    main = [r for r in found.all_relationships() if r.source == ROOT and r.type in names.MAIN_RELATIONSHIPS]
    if len(main) > 1:
        raise unacceptable(Reason.MAIN_PART_AMBIGUOUS, "the package has several main parts", count=len(main))
    if not main or main[0].external or main[0].target not in package:
        raise unacceptable(Reason.DOCUMENT_FORMAT, "the package has no main part")
    kind = (package.content_type(main[0].target) or "").lower()
    if not any(word in kind for word in names.MAIN_TYPES):
        raise unacceptable(
            Reason.DOCUMENT_FORMAT, "the package is no text, spreadsheet or presentation", type=kind
        )


def active_parts(package: Package) -> list[str]:
    """Parts that run: macros and ActiveX controls, told by their content types."""
    kinds = ((part, (package.content_type(part) or "").lower()) for part in package.entries)
    return sorted(part for part, kind in kinds if any(word in kind for word in names.ACTIVE_TYPES))


def _relationships(package: Package) -> dict[str, tuple[Relationship, ...]]:
    """By relationship part; targets as the archive spells them, since names ignore case (OPC 6.2.2.3)."""
    spelling = {part.lower(): part for part in package.entries}
    found: dict[str, tuple[Relationship, ...]] = {}
    parts = [part for part in package.entries if relationships.is_relationships(part)]
    # Each signature reads them all again, so a few megabytes of arrows would cost minutes.
    if sum(package.entries[part].info.file_size for part in parts) > _MAX_RELATIONSHIP_BYTES:
        raise unacceptable(Reason.DOCUMENT_TOO_COMPLEX, "the package has too many relationships")
    for part in parts:
        arrows = relationships.read(package.read(part), part)
        found[part] = tuple(
            arrow
            if arrow.external
            else replace(arrow, target=spelling.get(normal_name(arrow.target).lower(), arrow.target))
            for arrow in arrows
        )
    return found


def _is_metadata(relationship: Relationship) -> bool:
    return relationship.source == ROOT and relationship.type in names.METADATA_RELATIONSHIPS


def _metadata(found: Mapping[str, tuple[Relationship, ...]]) -> frozenset[str]:
    return frozenset(
        r.target for r in found.get(PACKAGE_RELATIONSHIPS, ()) if _is_metadata(r) and not r.external
    )


def _origin(found: Mapping[str, tuple[Relationship, ...]]) -> str | None:
    arrows = [r for r in found.get(PACKAGE_RELATIONSHIPS, ()) if r.type == names.ORIGIN_RELATIONSHIP]
    if len(arrows) > 1 or any(arrow.external for arrow in arrows):
        raise unacceptable(Reason.SIGNATURE_MALFORMED, "the package has several signature origins")
    return arrows[0].target if arrows else None


def _signature_parts(
    package: Package, found: Mapping[str, tuple[Relationship, ...]], origin: str | None
) -> tuple[tuple[str, ...], frozenset[str]]:
    """The signature parts in order, and every part that exists only for signatures."""
    if origin is None:
        return (), frozenset()
    arrows = found.get(relationships.part_of(origin), ())
    signatures = tuple(r.target for r in arrows if r.type == names.SIGNATURE_RELATIONSHIP and not r.external)
    certificates = {
        relationship.target
        for signature in signatures
        for relationship in found.get(relationships.part_of(signature), ())
        if package.content_type(relationship.target) == names.CERTIFICATE_TYPE
    }
    own = {origin, *signatures, *certificates}
    allowed = {names.SIGNATURE_RELATIONSHIP, names.CERTIFICATE_RELATIONSHIP}
    own |= {
        part
        for part in map(relationships.part_of, tuple(own))
        if part in found and all(r.type in allowed and not r.external for r in found[part])
    }
    return signatures, frozenset(own)
