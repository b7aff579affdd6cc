"""What people type: days, grades of urgency, recipients, numbers, references, places on a page."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from lienthong.cli import reading
from lienthong.cli.desk import folder_name
from lienthong.cli.documents import _placement
from lienthong.cli.exits import UsageRefused
from lienthong.cli.references import parse, short_ids
from lienthong.client import Placement
from lienthong.routing.v1 import inbox_pb2
from lienthong.types.v1 import document_pb2

ID = "0198a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"
DOCUMENT = document_pb2.Document(document_id=ID, organization="G22", number=15, notation="QĐ-BNV")


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("thường", document_pb2.URGENCY_ORDINARY),
        ("Khẩn", document_pb2.URGENCY_URGENT),
        ("thượng khẩn", document_pb2.URGENCY_VERY_URGENT),
        (unicodedata.normalize("NFD", "thượng-khẩn"), document_pb2.URGENCY_VERY_URGENT),
        ("hoa_toc", document_pb2.URGENCY_FLASH),
        ("very-urgent", document_pb2.URGENCY_VERY_URGENT),
        ("FLASH", document_pb2.URGENCY_FLASH),
    ],
)
def test_urgency(text: str, grade: int) -> None:
    assert reading.urgency(text) == grade


@pytest.mark.parametrize("text", ["2026-12-07", "07/12/2026", "7/12/2026", "07-12-2026", " 2026-12-7 "])
def test_days(text: str) -> None:
    assert reading.day(text, "due") == "2026-12-07"


@pytest.mark.parametrize("text", ["", "2026", "31/02/2026", "12/07/26", "mai", "2026-13-01", "1/2/3/2026"])
def test_no_days(text: str) -> None:
    with pytest.raises(UsageRefused, match="DAY_MALFORMED"):
        reading.day(text, "due")


def test_recipients_come_once_each_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "to.txt"
    file.write_text("\ufeffH02\n# nobody\nh03  # the department\n\nH01\n")

    assert reading.recipients(["H01,H01.15", "h01"], file) == ["H01", "H01.15", "H02", "H03"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_list_of_recipients_that_cannot_be_read(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "to.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageRefused, match="FILE_MISSING"):
        reading.recipients(["H01"], file)


@pytest.mark.parametrize(
    ("number", "notation", "read"),
    [
        ("", "QĐ-BNV", (0, "QĐ-BNV")),
        ("15", "QĐ-BNV", (15, "QĐ-BNV")),
        ("15/QĐ-BNV", "", (15, "QĐ-BNV")),
        ("015/QĐ-BNV", "QĐ-BNV", (15, "QĐ-BNV")),
        ("15/" + unicodedata.normalize("NFD", "QĐ-BỘ"), "", (15, "QĐ-BỘ")),
    ],
)
def test_number_and_notation(number: str, notation: str, read: tuple[int, str]) -> None:
    assert reading.number_and_notation(number, notation) == read


@pytest.mark.parametrize(("number", "notation"), [("x", "Q"), ("0", "Q"), ("15/A", "B"), ("-3", "Q")])
def test_no_number(number: str, notation: str) -> None:
    with pytest.raises(UsageRefused, match="NUMBER_MALFORMED"):
        reading.number_and_notation(number, notation)


@pytest.mark.parametrize(
    "text",
    [
        "15/QĐ-BNV",
        "015/qđ-bnv",
        "G22:15/QĐ-BNV",
        ID,
        ID.upper(),
        ID.replace("-", ""),
        ID[:8],
        ID[:13],
        "0198a1b2c3d4",
    ],
)
def test_references_that_mean_the_document(text: str) -> None:
    assert parse(text).means(DOCUMENT)


@pytest.mark.parametrize("text", ["16/QĐ-BNV", "15/QĐ", "H01:15/QĐ-BNV", ID[:-1] + "c", "0198a1b3"])
def test_references_that_mean_another(text: str) -> None:
    assert not parse(text).means(DOCUMENT)


def test_a_delivery_is_also_known_by_its_own_id() -> None:
    other = "0298a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"
    assert parse("0298a1b2").means(DOCUMENT, other)
    assert not parse("0298a1b2").means(DOCUMENT)


@pytest.mark.parametrize("text", ["", "15", "0198a1b", "0/QĐ", "15/", "xin chào", ID + "0"])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(UsageRefused, match="REFERENCE_MALFORMED"):
        parse(text)


def test_short_ids_tell_apart_and_can_be_typed_back() -> None:
    ids = [ID, ID[:12] + "5" + ID[13:], "0298a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"]

    short = short_ids(ids)

    assert len(set(short.values())) == 3
    assert set(map(len, short.values())) == {13}
    for name in ids:
        assert [other for other in ids if other.startswith(short[name])] == [name]
    assert short_ids([ID]) == {ID: ID[:8]}
    assert short_ids([ID, ID]) == {ID: ID[:8]}


def test_places_count_pages_as_people_do() -> None:
    assert _placement("1,10,20,30,40", "number", last=4) == Placement(0, 10, 20, 30, 40)
    assert _placement("-1, 10.5, 20, 30, 40", "leader", last=4) == Placement(4, 10.5, 20, 30, 40)
    assert _placement("", "agency", last=4) is None


@pytest.mark.parametrize(
    "text", ["1,2,3,4", "0,1,1,1,1", "6,1,1,1,1", "-6,1,1,1,1", "1,1,1,0,1", "1.5,1,1,1,1", "a,b,c,d,e"]
)
def test_places_that_are_none(text: str) -> None:
    with pytest.raises(UsageRefused, match="PLACEMENT_MALFORMED"):
        _placement(text, "number", last=4)


def test_a_delivery_gets_a_folder_of_its_own() -> None:
    document = document_pb2.Document(organization="G22", number=5, notation="../QĐ\nBNV")
    names = {
        folder_name(inbox_pb2.Delivery(delivery_id=name, document=document)) for name in (ID, ID[:-1] + "c")
    }

    assert len(names) == 2
    assert all(Path(name).name == name and name.isprintable() for name in names)
    assert f"G22-05-..-QĐBNV-{ID[-6:]}" in names
