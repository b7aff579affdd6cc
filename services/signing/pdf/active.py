"""Finding content that acts: scripts, launches, XFA, media. A signature must not be put under any of it."""

# mypy: allow-untyped-calls

from collections.abc import Iterable, Iterator
from typing import Final

from lienthong.errors import InvalidArgument
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.reader import PdfFileReader

from services.signing.pdf.opening import DEFAULT_LIMITS, Limits, entry, pages

# ISO 32000-1 table 198, without the actions that only move the view or open a web page.
_ACTIVE_ACTIONS: Final = frozenset(
    {"/JavaScript", "/Launch", "/SubmitForm", "/ImportData", "/Rendition", "/Movie", "/Sound", "/GoToE",
     "/GoTo3DView", "/SetOCGState", "/Hide", "/ResetForm", "/RichMediaExecute"}
)  # fmt: skip
_ACTIVE_ANNOTATIONS: Final = frozenset(
    {"/Movie", "/Sound", "/Screen", "/3D", "/RichMedia", "/FileAttachment"}
)
_MAX_CHAIN: Final = 200


def refuse_active_content(reader: PdfFileReader, limits: Limits = DEFAULT_LIMITS) -> None:
    """InvalidArgument DOCUMENT_ACTIVE_CONTENT naming the first thing found."""
    for found in active_content(reader, limits):
        raise InvalidArgument("DOCUMENT_ACTIVE_CONTENT", "the document carries active content", found=found)


def active_content(reader: PdfFileReader, limits: Limits = DEFAULT_LIMITS) -> Iterator[str]:
    """Names of the active things in the catalog, form, pages, annotations and outline."""
    root = reader.root
    yield from _actions(entry(root, "/OpenAction"))
    yield from _triggers(root)
    names = entry(root, "/Names")
    if isinstance(names, generic.DictionaryObject) and "/JavaScript" in names:
        yield "JavaScript"
    form = entry(root, "/AcroForm")
    if isinstance(form, generic.DictionaryObject):
        if "/XFA" in form:
            yield "XFA"
        yield from _fields(entry(form, "/Fields", ()))
    yield from _pages(reader, limits)
    outline = entry(root, "/Outlines")
    if isinstance(outline, generic.DictionaryObject) and "/First" in outline:
        yield from _outline(outline["/First"], limits)


def _pages(reader: PdfFileReader, limits: Limits) -> Iterator[str]:
    count = 0
    for reference in pages(reader, limits):
        page = reference.get_object()
        yield from _triggers(page)
        for annotation in entry(page, "/Annots", ()):
            count += 1
            if count > limits.max_annotations:
                raise InvalidArgument("DOCUMENT_TOO_COMPLEX", "the document has too many annotations")
            item = annotation.get_object()
            if entry(item, "/Subtype") in _ACTIVE_ANNOTATIONS:
                yield str(item["/Subtype"])[1:]
            yield from _actions(entry(item, "/A"))
            yield from _triggers(item)


def _fields(fields: Iterable[generic.PdfObject]) -> Iterator[str]:
    """The form is a tree, and not deep: opening the file saw to that."""
    for reference in fields:
        field = reference.get_object()
        yield from _actions(entry(field, "/A"))
        yield from _triggers(field)
        yield from _fields(entry(field, "/Kids", ()))


def _outline(first: generic.DictionaryObject, limits: Limits) -> Iterator[str]:
    waiting, count = [first], 0
    while waiting:
        item = waiting.pop()
        count += 1
        if count > limits.max_annotations:
            raise InvalidArgument("DOCUMENT_TOO_COMPLEX", "the document has too many bookmarks")
        yield from _actions(entry(item, "/A"))
        waiting += [item[link] for link in ("/First", "/Next") if link in item]


def _triggers(holder: generic.DictionaryObject) -> Iterator[str]:
    triggers = entry(holder, "/AA")
    if isinstance(triggers, generic.DictionaryObject):
        for name in triggers:
            yield from _actions(triggers[name])


def _actions(action: object) -> Iterator[str]:
    """The action and what follows it, in all branches; a destination (an array or a name) is no action."""
    waiting, count = [action], 0
    while waiting:
        item = waiting.pop()
        count += 1
        if count > _MAX_CHAIN:
            raise InvalidArgument("DOCUMENT_BROKEN", "a chain of actions is too long")
        if isinstance(item, generic.ArrayObject):
            waiting += [part.get_object() for part in item]
        elif isinstance(item, generic.DictionaryObject):
            if entry(item, "/S") in _ACTIVE_ACTIONS:
                yield str(item["/S"])[1:]
            waiting.append(entry(item, "/Next"))
