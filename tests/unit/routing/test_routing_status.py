"""How a delivery may be handled: nothing moves back, 02 and 06 are final."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lienthong.errors import FailedPrecondition, InvalidArgument

from services.routing.domain import FOLLOWING, Status, check_status, parse_status

STATUSES = st.sampled_from(list(Status))
FINAL = {Status.REFUSED, Status.COMPLETED}
# Written out beside the rule: from (row) to (column), in the order 01 02 03 04 05 06.
TABLE = {
    "01": ".++...",
    "02": "......",
    "03": "...+++",
    "04": "....++",
    "05": ".....+",
    "06": "......",
}


def allowed(current: Status, wanted: Status) -> bool:
    try:
        check_status(current, wanted)
    except FailedPrecondition:
        return False
    return True


@pytest.mark.parametrize("current", list(Status))
@pytest.mark.parametrize("wanted", list(Status))
def test_table(current: Status, wanted: Status) -> None:
    assert allowed(current, wanted) is (TABLE[current][int(wanted) - 1] == "+")


def test_table_names_every_status() -> None:
    assert set(FOLLOWING) == set(Status)
    assert set(TABLE) == {str(status) for status in Status}


@given(st.lists(STATUSES, max_size=20))
def test_whatever_is_asked_a_delivery_only_moves_forward_and_ends(asked: list[Status]) -> None:
    history = [Status.ARRIVED]
    for wanted in asked:
        if allowed(history[-1], wanted):
            history.append(wanted)
    assert history == sorted(set(history)), "the codes grow, none twice"
    assert not FINAL & set(history[:-1]), "nothing follows a final status"
    assert (Status.REFUSED in history) + (Status.ACCEPTED in history) <= 1
    assert len(history) == 1 or history[1] in (Status.REFUSED, Status.ACCEPTED)


@given(STATUSES, STATUSES)
def test_reason_tells_final_from_backwards(current: Status, wanted: Status) -> None:
    if allowed(current, wanted):
        return
    with pytest.raises(FailedPrecondition) as refusal:
        check_status(current, wanted)
    assert refusal.value.reason == ("STATUS_FINAL" if current in FINAL else "STATUS_BACKWARDS")
    assert refusal.value.violations[0].field == "status"


@given(st.text(max_size=4))
def test_any_other_text_is_no_status(text: str) -> None:
    if text in {"02", "03", "04", "05", "06"}:
        assert parse_status(text) == text
        return
    with pytest.raises(InvalidArgument) as refusal:
        parse_status(text)
    assert refusal.value.reason == "STATUS_UNKNOWN"


def test_the_software_alone_says_01() -> None:
    with pytest.raises(InvalidArgument):
        parse_status("01")
