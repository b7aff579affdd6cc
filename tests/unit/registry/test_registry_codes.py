"""Laws of organization codes: old and new forms, and the proposals between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registry.codes import (
    CodeKey,
    CodeScheme,
    full_qcvn102,
    is_qd20,
    lookup_keys,
    proposed_qcvn102,
    proposed_qd20,
)

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
firsts = st.from_regex(r"\A[A-Y][0-9]{2}\Z")


def groups(width: int) -> st.SearchStrategy[str]:
    return st.text(ALPHABET, min_size=width, max_size=width)


below = st.one_of(
    st.tuples(),
    st.tuples(groups(2)),
    st.tuples(groups(2), groups(2)),
    st.tuples(groups(2), groups(2), groups(3)),
)
codes = st.builds(lambda first, rest: ".".join((first, *rest)), firsts, below)
old_codes = st.builds(
    lambda four, three, two, one: f"{four}.{three}.{two}.{one}", groups(3), groups(2), groups(2), firsts
)


@pytest.mark.parametrize(
    ("new", "old"),
    [("G12.18", "000.00.18.G12"), ("H53.31.23", "000.23.31.H53"), ("H53", "000.00.00.H53")],
)
def test_proposals_of_the_published_tables(new: str, old: str) -> None:
    assert proposed_qcvn102(new) == old


@given(codes)
def test_a_proposed_old_code_is_well_formed_and_leads_back(code: str) -> None:
    old = proposed_qcvn102(code)
    if old is None:
        assert any(set(group) == {"0"} for group in code.split(".")[1:])
    else:
        assert len(old) == 13
        assert full_qcvn102(old) == old
        assert proposed_qd20(old) == code


@given(old_codes)
def test_dropped_zero_groups_are_found_again(old: str) -> None:
    trimmed = old
    for zeros in ("000.", "00.", "00."):
        assert full_qcvn102(trimmed) == old
        if not trimmed.startswith(zeros):
            break
        trimmed = trimmed.removeprefix(zeros)


@given(old_codes)
def test_the_present_code_of_an_old_one_is_well_formed(old: str) -> None:
    assert is_qd20(proposed_qd20(old))


@pytest.mark.parametrize("code", ["H55.242", "H37.DN.001.5", "H01.15.07.9", "H01.00", "G12.8", "H01.1.2.3.4"])
def test_no_old_code_is_proposed_where_it_has_no_room(code: str) -> None:
    assert is_qd20(code)
    assert proposed_qcvn102(code) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h53",
        "Z01ABC",
        "H5",
        "H53.",
        ".H53",
        "H53..1",
        "H53 ",
        "H53\n",
        "H٥3",
        "H53.31.23" + ".99" * 9,
        "ĐH1",
    ],
)
def test_what_is_no_code_has_no_keys(text: str) -> None:
    assert lookup_keys(text) == ()


def test_a_code_may_mean_both_systems() -> None:
    assert lookup_keys("A01.02.03.H53") == (
        CodeKey(CodeScheme.QD20, "A01.02.03.H53"),
        CodeKey(CodeScheme.QCVN102, "A01.02.03.H53"),
    )
    assert lookup_keys("28.22.H17") == (CodeKey(CodeScheme.QCVN102, "000.28.22.H17"),)


def test_the_longest_code_has_thirty_five_characters() -> None:
    longest = "H53." + "1" * 31
    assert is_qd20(longest)
    assert not is_qd20(longest + "1")
