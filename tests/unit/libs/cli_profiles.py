"""Profiles with real TEST certificates and no node behind them."""

from __future__ import annotations

from pathlib import Path

from lienthong.client.profiles import Profile, Profiles
from lienthong.clock import SystemClock
from lienthong.pki.testing import TestAuthority


def write_profiles(folder: Path, *names: str, default: str = "") -> Path:
    """profiles.yaml for names like "H01/clerk/mau", "operator/quan-tri", "operator/quan-tri@H01"."""
    authority = TestAuthority.create(folder / "pki", SystemClock())
    profiles = {name: _profile(authority, name) for name in names}
    file = folder / "profiles.yaml"
    Profiles(default=default or names[0], profiles=profiles).write(file)
    return file


def _profile(authority: TestAuthority, name: str) -> Profile:
    path, _, node = name.partition("@")
    *organization, kind, person = path.split("/")
    code = organization[0] if organization else ""
    issued = authority.tls_client(code, kind, person)
    return Profile(
        node=node or code or "G22",
        organization=code or None,
        addresses="127.0.0.1:1",
        certificate=issued.chain_path,
        key=issued.key_path,
        roots=authority.roots_path,
    )
