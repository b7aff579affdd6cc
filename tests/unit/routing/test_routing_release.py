"""Whose holds a release item ends."""

from __future__ import annotations

from uuid import UUID

import pytest

from services.routing.transfer_store import RELEASE, held_by, release_work

OWNER = UUID("01936f5e-0000-7000-8000-000000000001")


@pytest.mark.parametrize("kind", ["envelope", "submission"])
def test_an_item_names_its_holder(kind: str) -> None:
    item = release_work(OWNER, f"{kind}/{OWNER}")
    assert (item.queue, held_by(item.payload)) == (RELEASE, f"{kind}/{OWNER}")
    assert item.id == release_work(OWNER, f"{kind}/{OWNER}").id, "put twice it is one item"


def test_an_item_of_before_was_the_id_of_an_envelope() -> None:
    assert held_by(OWNER.bytes) == f"envelope/{OWNER}"
