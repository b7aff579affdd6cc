"""The demo's JSON has exactly the shape that its types say, and says what the clients saw."""

from __future__ import annotations

import json
import types
import typing
from pathlib import Path
from typing import Any

import pytest
from lienthong.demo.journal import Journal, journal, write

from tests.unit.libs.demo_day import REFUSING, REPLYING, TRACE, whole_day


def assert_shape(value: Any, expected: Any, where: str = "journal") -> None:
    """Fail, naming the place, unless `value` (from JSON) has every field of the type and no other."""
    if typing.is_typeddict(expected):
        fields = typing.get_type_hints(expected)
        assert isinstance(value, dict), where
        assert value.keys() == fields.keys(), f"{where}: {value.keys() ^ fields.keys()}"
        for name, kind in fields.items():
            assert_shape(value[name], kind, f"{where}.{name}")
    elif typing.get_origin(expected) is list:
        assert isinstance(value, list), where
        for place, item in enumerate(value):
            assert_shape(item, typing.get_args(expected)[0], f"{where}[{place}]")
    elif isinstance(expected, types.UnionType):
        assert type(value) in typing.get_args(expected), where
    else:
        assert type(value) is expected, f"{where}: {value!r}"


def test_the_shape_is_that_of_the_types(tmp_path: Path) -> None:
    target = tmp_path / "new-folder" / "out.json"
    write(whole_day(tmp_path), target)
    assert_shape(json.loads(target.read_text()), Journal)


def test_the_shape_of_another_is_refused(tmp_path: Path) -> None:
    written: Any = journal(whole_day(tmp_path))
    written["recipients"][0]["hops"][0]["extra"] = 1
    with pytest.raises(AssertionError, match="hops"):
        assert_shape(written, Journal)


def test_it_says_what_was_seen(tmp_path: Path) -> None:
    day = whole_day(tmp_path)
    written = journal(day)
    assert written["document"]["transport"] == "DELIVERED"
    assert (written["document"]["number"], written["document"]["notation"]) == (1, "VPCP-TH")
    assert [signature["role"] for signature in written["document"]["signatures"]] == ["PERSONAL", "AGENCY"]
    refused, accepted = written["recipients"]
    assert (refused["organization"], refused["arrival_number"]) == (REFUSING, None)
    assert (accepted["organization"], accepted["arrival_number"]) == (REPLYING, 4)
    assert [hop["node"] for hop in accepted["hops"]] == ["G22", "H01", "H01.15", "H01.15.07"]
    assert accepted["hops"][0]["in"].endswith("005+07:00")
    assert [status["code"] for status in accepted["statuses"]] == ["01", "03", "04", "05", "06"]
    attachment = accepted["attachments"][0]
    assert attachment["path"] == str((tmp_path / "MAIN.pdf").resolve())
    assert attachment["sha256"] == day.document.document.attachments[0].sha256.hex()
    assert written["trace"] == {
        "trace_id": TRACE,
        "nodes": ["G22", "H01", "H01.15", "H01.15.07"],
        "services": ["routing", "storage"],
        "spans": 8,
    }


def test_transport_is_pending_while_a_receipt_is_missing(tmp_path: Path) -> None:
    day = whole_day(tmp_path)
    day.document.receipts = day.document.receipts[1:]
    assert journal(day)["document"]["transport"] == "PENDING"
