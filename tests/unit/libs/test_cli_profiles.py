"""Which profile a command uses."""

from __future__ import annotations

from pathlib import Path

import pytest
from lienthong.cli.choosing import CLERKS, LEADER, MEMBERS, OPERATORS, choose, profiles_file
from lienthong.cli.exits import UsageRefused
from lienthong.client.profiles import Profiles
from lienthong.errors import NotFound

from tests.unit.libs.cli_profiles import write_profiles

NAMES = (
    "G22/clerk/thu",
    "G22/leader/mau",
    "H01/clerk/tinh",
    "H01/client/qlvb",
    "H01.15/clerk/mot",
    "H01.15/clerk/hai",
    "operator/quan-tri",
    "operator/quan-tri@H01",
)


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Profiles:
    return Profiles.read(write_profiles(tmp_path_factory.mktemp("profiles"), *NAMES))


@pytest.mark.parametrize(
    ("wanted", "roles", "organization", "chosen"),
    [
        (None, MEMBERS, "", "G22/clerk/thu"),
        (None, LEADER, "", "G22/leader/mau"),
        (None, OPERATORS, "", "operator/quan-tri"),
        (None, CLERKS, "H01", "H01/clerk/tinh"),
        ("H01", CLERKS, "", "H01/clerk/tinh"),
        ("H01/client", CLERKS, "", "H01/client/qlvb"),
        ("H01", OPERATORS, "", "operator/quan-tri@H01"),
        ("H01/client/qlvb", CLERKS, "H01", "H01/client/qlvb"),
        # Named in full it is taken as it is: the node says what it may not do.
        ("G22/leader/mau", OPERATORS, "", "G22/leader/mau"),
    ],
)
def test_the_fitting_profile(
    profiles: Profiles, wanted: str | None, roles: tuple[str, ...], organization: str, chosen: str
) -> None:
    assert choose(profiles, wanted, roles, organization)[0] == chosen


@pytest.mark.parametrize(
    ("wanted", "roles", "organization", "reason"),
    [
        ("H01.15", CLERKS, "", "PROFILE_AMBIGUOUS"),
        (None, CLERKS, "H01.15", "PROFILE_AMBIGUOUS"),
        ("H01", LEADER, "", "PROFILE_UNSUITABLE"),
        (None, CLERKS, "H99", "PROFILE_UNSUITABLE"),
        ("G22/clerk/thu", CLERKS, "H01", "PROFILE_UNSUITABLE"),
        ("operator/quan-tri", CLERKS, "G22", "PROFILE_UNSUITABLE"),
    ],
)
def test_no_profile_or_too_many(
    profiles: Profiles, wanted: str | None, roles: tuple[str, ...], organization: str, reason: str
) -> None:
    with pytest.raises(UsageRefused) as refused:
        choose(profiles, wanted, roles, organization)
    assert refused.value.reason == reason


def test_a_name_that_nobody_has(profiles: Profiles) -> None:
    with pytest.raises(NotFound, match="PROFILE_UNKNOWN"):
        choose(profiles, "X01", MEMBERS)


def test_a_profile_without_readable_certificate_fits_no_role(tmp_path: Path) -> None:
    found = Profiles.read(write_profiles(tmp_path, "G22/clerk/thu"))
    found.profiles["G22/clerk/thu"].certificate.write_text("no certificate")

    with pytest.raises(UsageRefused, match="PROFILE_UNSUITABLE"):
        choose(found, None, CLERKS)


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home, here, named = (
        tmp_path / "lienthong" / "profiles.yaml",
        Path("profiles.yaml"),
        tmp_path / "named.yaml",
    )
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    with pytest.raises(UsageRefused, match="PROFILES_MISSING"):
        profiles_file(None, environ)
    home.parent.mkdir()
    for file in (home, here, named):
        file.write_text("{}")

    assert profiles_file(None, environ) == here
    here.unlink()
    assert profiles_file(None, environ) == home
    assert profiles_file(None, environ | {"LIENTHONG_PROFILES": str(named)}) == named
    assert profiles_file(home, environ | {"LIENTHONG_PROFILES": str(named)}) == home
    with pytest.raises(UsageRefused, match="PROFILES_MISSING"):
        profiles_file(tmp_path / "none.yaml", environ)
