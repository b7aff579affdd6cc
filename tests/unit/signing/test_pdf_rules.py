"""How number, date and time are printed, and where the seal goes (ND 30/2020/ND-CP, annex I)."""

import datetime as dt

import pytest
from lienthong.errors import InvalidArgument
from lienthong.notation import printed_number
from lienthong.pki.identity import parse_identity

from services.signing.domain import (
    IssueMark,
    Rectangle,
    SignatureRole,
    annex_text,
    issue_statement,
    parse_issue_statement,
    parse_printed_date,
    printed_date,
    printed_notation,
    role_of,
    seal_over,
    split_number,
)


@pytest.mark.parametrize(
    ("number", "printed"), [(1, "01"), (9, "09"), (10, "10"), (125, "125"), (12345, "12345")]
)
def test_numbers_below_ten_take_a_leading_zero(number: int, printed: str) -> None:
    """Annex I, II.3."""
    assert printed_number(number) == printed


def test_numbers_start_at_one() -> None:
    """Article 15.1: from 01 on the first of January."""
    with pytest.raises(InvalidArgument, match="NUMBER_INVALID"):
        printed_number(0)


@pytest.mark.parametrize(
    ("date", "printed"),
    [
        (dt.date(2026, 2, 5), "ngày 05 tháng 02 năm 2026"),
        (dt.date(2026, 1, 31), "ngày 31 tháng 01 năm 2026"),
        (dt.date(2026, 3, 9), "ngày 09 tháng 3 năm 2026"),
        (dt.date(2026, 11, 20), "ngày 20 tháng 11 năm 2026"),
    ],
)
def test_only_days_below_ten_and_months_one_and_two_take_a_zero(date: dt.date, printed: str) -> None:
    """Annex I, II.4."""
    assert printed_date(date) == printed
    assert parse_printed_date(printed) == date


@pytest.mark.parametrize("text", ["", "20/11/2026", "ngày 31 tháng 02 năm 2026", "ngày tháng năm"])
def test_a_foreign_date_is_no_date(text: str) -> None:
    assert parse_printed_date(text) is None


def test_notation_follows_the_number_after_a_slash() -> None:
    """Article 15 and annex I, II.3."""
    assert printed_notation(7, "QĐ-BNV") == "07/QĐ-BNV"
    assert split_number("07/QĐ-BNV") == ("07", "QĐ-BNV")
    assert split_number("125/UBND-KGVX") == ("125", "UBND-KGVX")
    assert split_number("07") == ("07", None)


@pytest.mark.parametrize("notation", ["", "QĐ BNV", "-BNV", "QĐ-", "QĐ--BNV", "a" * 65])
def test_a_notation_with_spaces_or_empty_groups_is_refused(notation: str) -> None:
    with pytest.raises(InvalidArgument, match="NOTATION_INVALID"):
        printed_notation(1, notation)


def test_an_annex_prints_number_notation_and_time_with_offset() -> None:
    """Annex I: ISO 8601, Vietnam's zone."""
    moment = dt.datetime(2026, 11, 20, 2, 15, tzinfo=dt.UTC)
    assert (
        annex_text(IssueMark(5, "QĐ-BNV", dt.date(2026, 11, 20)), moment)
        == "05/QĐ-BNV; 2026-11-20T09:15:00+07:00"
    )


def test_what_a_seal_says_can_be_read_back() -> None:
    mark = IssueMark(7, "QĐ-BNV", dt.date(2026, 2, 5))
    assert parse_issue_statement(issue_statement(mark)) == mark
    assert parse_issue_statement("Ký duyệt") is None


def test_the_seal_covers_the_left_third_of_the_signature() -> None:
    leader = Rectangle(page=0, left=350, bottom=250, width=150, height=60)
    seal = seal_over(leader)
    assert seal.right == pytest.approx(leader.left + leader.width / 3)
    assert seal.bottom + seal.height / 2 == pytest.approx(leader.bottom + leader.height / 2)


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("org/G22", SignatureRole.AGENCY),
        ("org/G22/leader/a", SignatureRole.PERSONAL),
        ("org/G22/clerk/a", SignatureRole.OTHER),
        ("org/G22/client/a", SignatureRole.OTHER),
        ("node/H01", SignatureRole.OTHER),
    ],
)
def test_the_identity_tells_the_role(path: str, role: SignatureRole) -> None:
    assert role_of(parse_identity(f"spiffe://lienthong.test/{path}")) is role
