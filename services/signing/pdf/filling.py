"""Filling number and date after the leader signed: the one change that a leader's signature permits."""

# mypy: allow-untyped-calls

from collections.abc import Mapping
from typing import Final

from lienthong.errors import FailedPrecondition
from lienthong.notation import printed_number
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name, pdf_string
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

from services.signing.domain import (
    DATE_FIELD,
    NUMBER_FIELD,
    IssueMark,
    printed_date,
    printed_notation,
)
from services.signing.pdf.drawings import text_lines
from services.signing.pdf.opening import entry, field_text, form_fields
from services.signing.pdf.placing import import_drawing, rectangle_size

# ND 30/2020 annex I, II.3 and II.4: size 13; the number upright, place and date in italics.
_SIZE: Final = 13.0


def mark_values(mark: IssueMark, *, with_notation: bool) -> dict[str, str]:
    """What the two fields print. Most drafters print the notation and leave a gap for the number."""
    number = printed_notation(mark.number, mark.notation) if with_notation else printed_number(mark.number)
    return {NUMBER_FIELD: number, DATE_FIELD: printed_date(mark.date)}


def fill_fields(writer: IncrementalPdfFileWriter, values: dict[str, str]) -> None:
    """Set value and appearance of the text fields. A field with another value is never overwritten."""
    fields = form_fields(writer.prev)
    for name, text in values.items():
        field = _text_field(fields, name)
        present = field_text(field)
        if present == text:
            continue
        _refuse_other_value(name, present)
        _fill(writer, field, text, italic=name == DATE_FIELD)


def require_unfilled(fields: Mapping[str, generic.DictionaryObject]) -> None:
    """Number and date are still to be filled: whoever filled them knew neither."""
    for name in (NUMBER_FIELD, DATE_FIELD):
        _refuse_other_value(name, field_text(_text_field(fields, name)))


def _text_field(fields: Mapping[str, generic.DictionaryObject], name: str) -> generic.DictionaryObject:
    field = fields.get(name)
    if field is None or entry(field, "/FT") != "/Tx":
        raise FailedPrecondition("DOCUMENT_NOT_PREPARED", "the document lacks a field to fill", field=name)
    return field


def _refuse_other_value(name: str, present: str) -> None:
    if present:
        raise FailedPrecondition(
            "FIELD_ALREADY_FILLED", "the field has another value", field=name, value=present
        )


def _fill(
    writer: IncrementalPdfFileWriter, field: generic.DictionaryObject, text: str, *, italic: bool
) -> None:
    width, height = rectangle_size(field)
    drawing = import_drawing(writer, text_lines((text,), width, height, _SIZE, italic=italic))
    field[pdf_name("/V")] = pdf_string(text)
    field[pdf_name("/AP")] = generic.DictionaryObject({pdf_name("/N"): drawing})
    writer.update_container(field)
