"""profiles: who may connect from here."""

from __future__ import annotations

import os

import typer
from lienthong.cli.helping import documented
from lienthong.cli.session import choice_of, output_of


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    documented(
        app,
        "profiles",
        "Các hồ sơ kết nối trên máy này",
        "The profiles on this machine",
        ("lienthong profiles", "Ai kết nối đến nút nào, với vai trò gì", "Who connects where, in which role"),
    )(profiles)


def profiles(context: typer.Context) -> None:
    from lienthong.cli.choosing import kind_of, profiles_file
    from lienthong.cli.texts import KINDS
    from lienthong.client.profiles import Profiles

    choice = choice_of(context)
    file = profiles_file(choice.profiles)
    found = Profiles.read(file)
    chosen = choice.profile or os.environ.get("LIENTHONG_PROFILE") or found.default
    default = found.profiles.get(chosen or "")
    output = output_of(choice, default.language if default else "vi")
    kinds = {name: kind_of(profile) for name, profile in found.profiles.items()}
    if output.as_json:
        rows = [
            {
                "name": name,
                "default": name == chosen,
                "node": profile.node,
                "organization": profile.organization,
                "kind": kinds[name] or None,
                "addresses": profile.addresses,
            }
            for name, profile in found.profiles.items()
        ]
        output.json({"file": str(file), "profiles": rows})
        return
    output.table(
        ["profile", "organization", "kind", "node", "note"],
        [
            (
                name,
                profile.organization or "",
                output.words.name(KINDS, kinds[name]),
                profile.node,
                "*" if name == chosen else "",
            )
            for name, profile in found.profiles.items()
        ],
        whole=("profile",),
    )
    output.note(str(file))
