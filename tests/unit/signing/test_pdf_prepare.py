"""Placing the four fields, and what is refused before a signature is put under it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lienthong.errors import DomainError, InvalidArgument
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.pdf_utils.reader import PdfFileReader

from services.signing.domain import AGENCY_FIELD, DATE_FIELD, LEADER_FIELD, NUMBER_FIELD, Rectangle, Verdict
from services.signing.pdf.opening import form_fields
from services.signing.pdf.preparing import prepare
from tests.support.documents import (
    PLACEMENTS,
    add_xfa,
    encrypted,
    launch_from_a_bookmark,
    letter,
    run_script_on_open,
    updated,
)
from tests.support.signing import SigningWorld


def _refusal(source: Path, tmp_path: Path) -> str:
    with pytest.raises(DomainError) as caught:
        prepare(source, tmp_path / "out.pdf", PLACEMENTS)
    assert not (tmp_path / "out.pdf").exists()
    return caught.value.reason


def test_the_four_fields_are_added_and_the_original_stays_its_beginning(tmp_path: Path) -> None:
    source = letter(tmp_path / "letter.pdf")
    done = prepare(source, tmp_path / "out.pdf", PLACEMENTS)
    assert set(done.places) == {NUMBER_FIELD, DATE_FIELD, LEADER_FIELD, AGENCY_FIELD}
    assert (tmp_path / "out.pdf").read_bytes().startswith(source.read_bytes())
    with (tmp_path / "out.pdf").open("rb") as stream:
        fields = form_fields(PdfFileReader(stream))
        assert fields[NUMBER_FIELD]["/FT"] == "/Tx"
        assert "/MK" not in fields[NUMBER_FIELD]
        assert fields[AGENCY_FIELD]["/Lock"]["/Action"] == "/All"
        assert fields[AGENCY_FIELD]["/Lock"]["/P"] == 1
        assert "/Lock" not in fields[LEADER_FIELD]
        assert len(PdfFileReader(stream).root["/Pages"]["/Kids"][0]["/Annots"]) == 4


def test_a_prepared_document_is_unsigned(world: SigningWorld, prepared: Path) -> None:
    assert world.validator.validate(prepared).verdict is Verdict.UNSIGNED


def test_preparing_twice_is_refused(prepared: Path, tmp_path: Path) -> None:
    assert _refusal(prepared, tmp_path) == "DOCUMENT_ALREADY_PREPARED"


def test_preparing_after_a_signature_is_refused(signed: Path, tmp_path: Path) -> None:
    assert _refusal(signed, tmp_path) == "DOCUMENT_ALREADY_SIGNED"


def test_an_encrypted_document_is_refused(tmp_path: Path) -> None:
    assert _refusal(encrypted(tmp_path / "secret.pdf"), tmp_path) == "DOCUMENT_ENCRYPTED"


def test_a_truncated_document_is_refused(tmp_path: Path) -> None:
    whole = letter(tmp_path / "letter.pdf").read_bytes()
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(whole[: len(whole) * 2 // 3])
    assert _refusal(broken, tmp_path) == "DOCUMENT_BROKEN"


def test_what_is_no_pdf_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.pdf"
    text.write_text("văn bản MẪU")
    assert _refusal(text, tmp_path) == "DOCUMENT_FORMAT"


@pytest.mark.parametrize("change", [run_script_on_open, launch_from_a_bookmark, add_xfa])
def test_active_content_is_refused(
    change: Callable[[IncrementalPdfFileWriter], None], tmp_path: Path
) -> None:
    source = updated(letter(tmp_path / "letter.pdf"), tmp_path / "script.pdf", change)
    assert _refusal(source, tmp_path) == "DOCUMENT_ACTIVE_CONTENT"


@pytest.mark.parametrize(
    "place", [Rectangle(0, 500, 700, 200, 20), Rectangle(0, 10, 835, 20, 20), Rectangle(7, 10, 10, 20, 20)]
)
def test_a_placement_outside_its_page_is_refused(place: Rectangle, tmp_path: Path) -> None:
    source = letter(tmp_path / "letter.pdf")
    with pytest.raises(InvalidArgument, match="PLACEMENT_OUTSIDE_PAGE"):
        prepare(source, tmp_path / "out.pdf", replace(PLACEMENTS, date=place))


@pytest.mark.parametrize("edge", [-1.0, float("nan"), float("inf")])
def test_a_placement_is_made_of_real_numbers(edge: float) -> None:
    with pytest.raises(InvalidArgument, match="PLACEMENT_OUTSIDE_PAGE"):
        Rectangle(0, edge, 10, 20, 20)
