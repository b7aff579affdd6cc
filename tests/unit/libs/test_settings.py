"""Settings are strict: what is misspelt, missing or impossible ends in one line that says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from lienthong.errors import InvalidArgument
from lienthong.settings import DatabaseSettings, NodeSettings, Section, load


class Shelf(Section):
    database: DatabaseSettings
    size: int = 10


class ShelfProcess(NodeSettings):
    shelf: Shelf


FULL = {
    "LIENTHONG_NODE": "H01.15",
    "LIENTHONG_TRUST_DOMAIN": "test.lienthong",
    "LIENTHONG_TLS__CERTIFICATE": "/pki/a.pem",
    "LIENTHONG_TLS__KEY": "/pki/a.key",
    "LIENTHONG_TLS__ROOTS": "/pki/roots.pem",
    "LIENTHONG_SHELF__DATABASE__URL": "postgresql://localhost/shelf",
}


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("LIENTHONG_")]:
        monkeypatch.delenv(name)


def loaded(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> ShelfProcess:
    for name, value in {**FULL, **changes}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    return load(ShelfProcess)


def test_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        LIENTHONG_SHELF__SIZE="12",
        LIENTHONG_ADDRESSES='{"registry": "127.0.0.1:1"}',
        LIENTHONG_POSTGRES_URL="postgresql://x",
    )
    assert (settings.node, settings.shelf.size, settings.tls.key) == ("H01.15", 12, Path("/pki/a.key"))
    assert settings.addresses == {"registry": "127.0.0.1:1"}
    assert settings.telemetry.log_level == "INFO"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"LIENTHONG_NODES": "H02"}, "LIENTHONG_NODES"),
        ({"LIENTHONG_SHELF__SISE": "3"}, "shelf.sise"),
        ({"LIENTHONG_SHELF__SIZE": "many"}, "shelf.size"),
        ({"LIENTHONG_TLS__KEY": None}, "tls.key"),
        ({"LIENTHONG_NODE": "h01"}, "node"),
        ({"LIENTHONG_SHELF__DATABASE__URL": "mysql://x"}, "shelf.database.url"),
        ({"LIENTHONG_ADDRESSES": "not json"}, "environment"),
    ],
)
def test_mistakes_are_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None], named: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        loaded(monkeypatch, **changes)
    assert refused.value.reason == "SETTINGS_INVALID"
    assert named in [violation.field for violation in refused.value.violations]
    assert named in refused.value.message
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", "node: G22\nshelf: {size: 5}\n"), ("a.toml", 'node = "G22"\n[shelf]\nsize = 5\n')],
)
def test_a_file_fills_in_and_the_environment_wins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)
    settings = loaded(monkeypatch, LIENTHONG_NODE=None, LIENTHONG_SETTINGS=str(tmp_path / name))
    assert (settings.node, settings.shelf.size) == ("G22", 5)
    monkeypatch.setenv("LIENTHONG_SHELF__SIZE", "6")
    assert load(ShelfProcess).shelf.size == 6


@pytest.mark.parametrize(
    ("text", "named"),
    [("noed: G22\n", "noed"), ("tls: {kee: x}\n", "tls.kee"), ("- a\n", "a.yaml"), ("{", "a.yaml")],
)
def test_a_wrong_file_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    with pytest.raises(InvalidArgument) as refused:
        loaded(monkeypatch, LIENTHONG_SETTINGS=str(file))
    assert named in refused.value.message
    assert "\n" not in refused.value.message


def test_a_missing_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgument, match="No such file"):
        loaded(monkeypatch, LIENTHONG_SETTINGS="/nowhere/a.yaml")


def test_values_never_appear_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgument) as refused:
        loaded(monkeypatch, LIENTHONG_SHELF__DATABASE__URL="mysql://u:hunter2@x")
    assert "hunter2" not in refused.value.message
