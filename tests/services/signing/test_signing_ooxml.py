"""Office Open XML through the stubs: the agency's signature on annexes, a leader's, tampering."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from lienthong.errors import InvalidArgument
from lienthong.signing.v1 import signing_pb2 as pb
from lienthong.types.v1 import document_pb2

from tests.services.signing import wire
from tests.services.signing.conftest import AGENCY, AS_LEADER, ROUTING, Site
from tests.support.ooxml import docx, edited, pptx, xlsx

VALID, INVALID = document_pb2.VERDICT_VALID, document_pb2.VERDICT_INVALID
ANNEX = pb.SIGNING_PURPOSE_ANNEX

KINDS = [
    pytest.param(docx, wire.DOCX, id="docx"),
    pytest.param(xlsx, wire.XLSX, id="xlsx"),
    pytest.param(pptx, wire.PPTX, id="pptx"),
]
Maker = Callable[[Path], Path]


@pytest.mark.parametrize(("make", "media_type"), KINDS)
async def test_an_annex_names_its_document_and_is_stamped_later(
    site: Site, tmp_path: Path, make: Maker, media_type: str
) -> None:
    header = wire.agency(AGENCY, purpose=ANNEX, media_type=media_type)
    signed = await wire.signed(site.signing(ROUTING), header, make(tmp_path / "annex").read_bytes())
    report = await wire.validated(site.validation(), media_type, signed)
    assert (report.verdict, report.level, list(report.reasons)) == (VALID, "B-B", [])
    stamped = await wire.extended(site.signing(ROUTING), media_type, signed)
    report = await wire.validated(site.validation(), media_type, stamped)
    assert (report.verdict, report.level, report.signatures[0].role) == (VALID, "B-T", "AGENCY")
    assert (report.number, report.notation, report.date) == ("05", "CQM-TH", "2026-02-05")
    assert report.signatures[0].HasField("timestamp_time")
    assert await wire.extended(site.signing(ROUTING), media_type, stamped) == stamped


@pytest.mark.parametrize(("make", "media_type"), KINDS)
async def test_a_leader_signs_office_files_too_and_the_agency_after(
    site: Site, tmp_path: Path, make: Maker, media_type: str
) -> None:
    source = make(tmp_path / "draft").read_bytes()
    personal = await wire.signed(site.signing(AS_LEADER), wire.personal(AGENCY, media_type), source)
    header = wire.agency(AGENCY, purpose=ANNEX, media_type=media_type)
    both = await wire.signed(site.signing(ROUTING), header, personal)
    stamped = await wire.extended(site.signing(ROUTING), media_type, both)
    report = await wire.validated(site.validation(), media_type, stamped)
    assert (report.verdict, report.level) == (VALID, "B-T")
    assert [s.role for s in report.signatures] == ["PERSONAL", "AGENCY"]


async def test_a_changed_slide_is_invalid(site: Site, tmp_path: Path) -> None:
    def change(parts: dict[str, bytes]) -> None:
        parts["ppt/slides/slide1.xml"] = parts["ppt/slides/slide1.xml"].replace(b"<a:t>", b"<a:t>x")

    header = wire.agency(AGENCY, purpose=ANNEX, media_type=wire.PPTX)
    path = tmp_path / "signed.pptx"
    path.write_bytes(
        await wire.signed(site.signing(ROUTING), header, pptx(tmp_path / "annex.pptx").read_bytes())
    )
    report = await wire.validated(site.validation(), wire.PPTX, edited(path, change).read_bytes())
    assert (report.verdict, list(report.reasons)) == (INVALID, ["CHANGED_AFTER_SIGNING"])


async def test_a_changed_word_is_invalid(site: Site, tmp_path: Path) -> None:
    def change(parts: dict[str, bytes]) -> None:
        before = parts["word/document.xml"]
        parts["word/document.xml"] = before.replace("MẪU".encode(), "MẬU".encode())
        assert parts["word/document.xml"] != before

    header = wire.agency(AGENCY, purpose=ANNEX, media_type=wire.DOCX)
    source = docx(tmp_path / "annex.docx").read_bytes()
    path = tmp_path / "signed.docx"
    path.write_bytes(await wire.signed(site.signing(ROUTING), header, source))
    report = await wire.validated(site.validation(), wire.DOCX, edited(path, change).read_bytes())
    assert (report.verdict, list(report.reasons)) == (INVALID, ["CHANGED_AFTER_SIGNING"])


async def test_content_counts_whatever_is_declared(site: Site, tmp_path: Path, letter_bytes: bytes) -> None:
    source = docx(tmp_path / "annex.docx").read_bytes()
    for media_type, data in ((wire.PDF, source), (wire.DOCX, letter_bytes)):
        header = wire.agency(AGENCY, purpose=ANNEX, media_type=media_type)
        with pytest.raises(InvalidArgument) as refusal:
            await wire.signed(site.signing(ROUTING), header, data)
        assert refusal.value.reason == "DOCUMENT_FORMAT"
        report = await wire.validated(site.validation(), media_type, data)
        assert (report.verdict, list(report.reasons)) == (INVALID, ["DOCUMENT_FORMAT"])
