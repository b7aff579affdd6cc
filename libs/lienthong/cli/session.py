"""One command's session: the profile, the connection, the words, the output; one asyncio.run a command."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer
from lienthong.cli.exits import DONE, UsageRefused, code_of, print_refusal
from lienthong.cli.texts import Language, Words, language_of
from lienthong.errors import DomainError

if TYPE_CHECKING:
    from lienthong.cli.output import Output
    from lienthong.client import Agency, Connection, Operator
    from lienthong.client.profiles import Profile

DEFAULT_PATIENCE: Final = 15.0


@dataclass(frozen=True, slots=True)
class Choice:
    """What the options that every command takes said."""

    profile: str | None = None
    profiles: Path | None = None
    language: str | None = None
    as_json: bool = False
    patience: float = DEFAULT_PATIENCE

    def spoken(self, environ: Mapping[str, str] = os.environ) -> Language | None:
        """--language, then LIENTHONG_LANGUAGE; None leaves it to the profile."""
        return language_of(self.language) or language_of(environ.get("LIENTHONG_LANGUAGE"))


class Session:
    """What a command works with. `agency` and `operator` share the one connection."""

    def __init__(
        self, name: str, profile: Profile, connection: Connection, output: Output, words: Words
    ) -> None:
        self.name = name
        self.profile = profile
        self.connection = connection
        self.output = output
        self.words = words

    @property
    def organization(self) -> str:
        if self.profile.organization is None:
            message = f"profile {self.name} belongs to no organization"
            raise UsageRefused("PROFILE_UNSUITABLE", message, field="profile")
        return self.profile.organization

    @property
    def agency(self) -> Agency:
        from lienthong.client import Agency

        return Agency(self.connection, self.organization)

    @property
    def operator(self) -> Operator:
        from lienthong.client import Operator

        return Operator(self.connection)


Work = Callable[[Session], Awaitable[int | None]]


def choice_of(context: typer.Context) -> Choice:
    found = context.find_object(Choice)
    return found if found is not None else Choice()


def output_of(choice: Choice, language: Language = "vi") -> Output:
    """For commands that need no node."""
    from lienthong.cli.output import Output

    return Output(Words(choice.spoken() or language), as_json=choice.as_json)


def run(context: typer.Context, roles: Sequence[str], work: Work, *, organization: str = "") -> None:
    """Open the fitting profile's connection, do the work, leave with its exit code."""
    # The library's own lines ("Failed to pick subchannel") say nothing that our refusal does not say.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    code = asyncio.run(_conduct(choice_of(context), roles, work, organization))
    raise typer.Exit(DONE if code is None else code)


async def _conduct(choice: Choice, roles: Sequence[str], work: Work, organization: str) -> int | None:
    from lienthong.cli.choosing import choose, profiles_file
    from lienthong.client.profiles import Profiles

    profiles = Profiles.read(profiles_file(choice.profiles))
    wanted = choice.profile or os.environ.get("LIENTHONG_PROFILE") or None
    name, profile = choose(profiles, wanted, roles, organization)
    for file in (profile.certificate, profile.key, profile.roots):
        if not file.is_file():
            raise UsageRefused("FILE_MISSING", f"profile {name} names a file that is not there: {file}")
    output = output_of(choice, profile.language)
    if name != (wanted or profiles.default):
        output.note(output.words("using_profile", name=name))
    try:
        async with profile.connect(patience=choice.patience) as connection:
            return await work(Session(name, profile, connection, output, output.words))
    except DomainError as error:
        print_refusal(error, output.words.language, as_json=choice.as_json)
        return code_of(error)
