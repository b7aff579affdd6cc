"""Parsing untrusted XML and canonicalising parts of it exactly as XMLDSig verifiers do."""

import copy
from collections.abc import Mapping
from typing import cast

from lxml import etree

from services.signing.domain import Reason
from services.signing.ooxml.errors import unacceptable
from services.signing.ooxml.names import C14N, EXCLUSIVE_C14N, XML_PREFIX


def parse(data: bytes, part: str) -> etree._Element:
    """The root element; no DTD, no entities, no network, bounded depth (libxml2's limits stay on)."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    # Looked for before parsing too, so that the expansion of entities never starts.
    if b"<!DOCTYPE" in data:
        raise unacceptable(Reason.DOCTYPE_PRESENT, "a part declares a document type", part=part)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise unacceptable(Reason.DOCUMENT_BROKEN, "a part is not well-formed XML", part=part) from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise unacceptable(Reason.DOCTYPE_PRESENT, "a part declares a document type", part=part)
    return root


def serialize(root: etree._Element) -> bytes:
    """The part as it is stored."""
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", standalone=True)


def children(parent: etree._Element) -> list[etree._Element]:
    """Child elements, without comments and processing instructions."""
    return list(parent.iterchildren(etree.Element))


def new(tag: str, attributes: Mapping[str, str], namespaces: Mapping[str | None, str]) -> etree._Element:
    """A root element; None is the default namespace (which the stubs of lxml do not know)."""
    return etree.Element(tag, dict(attributes), nsmap=cast(Mapping[str, str], namespaces))


def attributes_of(element: etree._Element) -> dict[str, str]:
    return {str(name): str(value) for name, value in element.attrib.items()}


def canonical(element: etree._Element, method: str = C14N) -> bytes:
    """Canonical bytes of a sub-tree, comments omitted."""
    if method == EXCLUSIVE_C14N:
        return etree.tostring(element, method="c14n", exclusive=True, with_comments=False, with_tail=False)
    if method != C14N:
        raise unacceptable(
            Reason.SIGNATURE_MALFORMED, "the canonicalisation is not accepted", algorithm=method
        )
    detached = element if element.getparent() is None else _detached(element)
    return etree.tostring(detached, method="c14n", exclusive=False, with_comments=False, with_tail=False)


def _detached(element: etree._Element) -> etree._Element:
    """A copy that keeps the inherited context: lxml drops inherited namespaces that the sub-tree does not
    use, but inclusive C14N (1.0, section 2.4) prints all in scope, and inherited `xml:` attributes too."""
    attributes = attributes_of(element)
    for ancestor in element.iterancestors():
        for name, value in ancestor.attrib.items():
            if str(name).startswith(XML_PREFIX):
                attributes.setdefault(str(name), str(value))
    # nsmap of an element already holds everything in scope, nearest declaration first.
    root = new(element.tag, attributes, element.nsmap)
    root.text = element.text
    root.extend(copy.deepcopy(child) for child in element)
    return root
