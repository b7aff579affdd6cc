"""Number and notation as they are printed, in one place for all services."""

from __future__ import annotations

import pytest
from lienthong.errors import InvalidArgument
from lienthong.notation import check_notation, check_series, printed_code, printed_number


@pytest.mark.parametrize("good", ["QĐ-BNV", "TB", "UBND-KT1", "VPCP-TH", "NQ.HĐND", "QĐ/TW", "B&C", "A" * 30])
def test_good_notations(good: str) -> None:
    assert check_notation(good, "f") == good


@pytest.mark.parametrize(
    "bad", ["", "-", "QĐ-", "-QĐ", "QĐ BNV", "QĐ--BNV", "QĐ_BNV", "A" * 31, "<b>", "QĐ\n"]
)
def test_bad_notations(bad: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_notation(bad, "issue_here.notation")
    assert refusal.value.reason == "NOTATION_INVALID"
    assert refusal.value.violations[0].field == "issue_here.notation"


@pytest.mark.parametrize("good", ["", "CV", "QĐ-1"])
def test_a_series_is_a_short_name_or_none(good: str) -> None:
    assert check_series(good, "f") == good


@pytest.mark.parametrize("bad", [" ", "a\0b", "A" * 31, "-"])
def test_what_is_no_name_of_a_series(bad: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_series(bad, "already_issued.series")
    assert refusal.value.reason == "SERIES_INVALID"
    assert refusal.value.violations[0].field == "already_issued.series"


def test_numbers_below_ten_carry_a_zero() -> None:
    assert [printed_number(n) for n in (1, 9, 10, 125)] == ["01", "09", "10", "125"]
    assert printed_code(5, "QĐ-BNV") == "05/QĐ-BNV"
    with pytest.raises(InvalidArgument, match="NUMBER_INVALID"):
        printed_number(0)
