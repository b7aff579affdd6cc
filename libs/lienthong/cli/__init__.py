"""The command line: `lienthong --help`. Each command imports what it needs when it runs."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from lienthong.cli import (
    desk,
    documents,
    exits,
    following,
    mesh_commands,
    operating,
    people,
    sending,
    tracing,
)
from lienthong.cli.helping import SETTINGS
from lienthong.cli.session import DEFAULT_PATIENCE, Choice
from lienthong.cli.texts import LANGUAGES, Language, Words, language_of
from lienthong.errors import DomainError

_HELP: Final = f"""Liên Thông: trao đổi văn bản điện tử có ký số.

Carries signed official documents between agencies.

\b
Một ngày của văn thư / A clerk's day:
  lienthong prepare du-thao.pdf             đặt ô số, ngày, chữ ký / place the fields
  lienthong sign du-thao-co-o-ky.pdf        lãnh đạo ký / the leader signs
  lienthong send cong-van.pdf phu-luc.docx --to H01 --subject "rà soát" --notation VPCP-TH
  lienthong inbox                           văn bản đến / what came
  lienthong fetch 15/VPCP-TH                tải về / download
  lienthong accept 15/VPCP-TH               vào sổ / enter into the register
  lienthong journey 15/VPCP-TH              hành trình / where it went

\b
Hồ sơ kết nối / Profiles: --profile, LIENTHONG_PROFILE, hoặc mặc định của tệp / or the file's default;
  tệp / file: --profiles, LIENTHONG_PROFILES, ./profiles.yaml, ~/.config/lienthong/profiles.yaml
  --profile H01: hồ sơ của H01 đúng vai trò mà lệnh cần / H01's profile in the role the command needs
Ngôn ngữ / Language: --language, LIENTHONG_LANGUAGE, rồi hồ sơ / then the profile

{exits.MEANINGS}"""

app = typer.Typer(
    name="lienthong",
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: half a second faster, and the examples stay as they are
    pretty_exceptions_enable=False,
    context_settings=SETTINGS,
)


@app.callback()
def _common(
    context: typer.Context,
    profile: Annotated[
        str | None, typer.Option("--profile", metavar="NAME", help="Hồ sơ kết nối / who connects where.")
    ] = None,
    profiles: Annotated[
        Path | None, typer.Option("--profiles", metavar="FILE", help="Tệp hồ sơ / file of profiles.")
    ] = None,
    language: Annotated[
        str | None, typer.Option("--language", metavar="vi|en", help="Ngôn ngữ / language.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Kết quả cho máy đọc / results for programs.")
    ] = False,
    patience: Annotated[
        float,
        typer.Option(
            "--patience",
            metavar="SECONDS",
            help="Chờ nút tối đa, giây / seconds to wait for the node.",
            min=0,
        ),
    ] = DEFAULT_PATIENCE,
) -> None:
    if language is not None and language_of(language) is None:
        message = f"--language {language}: {' or '.join(LANGUAGES)}"
        raise exits.UsageRefused("LANGUAGE_UNKNOWN", message, field="language")
    context.obj = Choice(profile, profiles, language, as_json, patience)


for _part in (documents, sending, desk, following, tracing, operating, mesh_commands, people):
    _part.register(app)


@app.command(
    help="Chạy thử một ngày thật trên bốn nút, rồi kiểm tra / Play a real day on four nodes, and verify it.",
    short_help="Chạy thử một ngày trên bốn nút / A real day on four nodes",
)
def demo(
    folder: Annotated[Path, typer.Option(help="Where documents, logs and spans go.")] = Path("build/demo"),
    json: Annotated[Path | None, typer.Option(help="Also write what happened to this file, as JSON.")] = None,
) -> None:
    from lienthong.demo import run

    raise typer.Exit(run(folder, json))


@app.command(help="In phiên bản / Print the version.")
def version() -> None:
    from importlib.metadata import version as package_version

    typer.echo(package_version("lienthong"))


# Options of every command may stand anywhere: who notices at the end of a long line that --json is missing
# adds it there. The demo has a --json of its own.
_FLAGS: Final = frozenset({"--json"})
_VALUED: Final = frozenset({"--profile", "--profiles", "--language", "--patience"})
_WITH_OPTIONS_OF_THEIR_OWN: Final = frozenset({"demo", "version"})


def hoisted(arguments: Sequence[str]) -> list[str]:
    """The arguments with the common options in front, where typer looks for them."""
    front: list[str] = []
    rest: list[str] = []
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if not rest and word in _WITH_OPTIONS_OF_THEIR_OWN:
            return [*front, word, *waiting]
        if word == "--":
            return [*front, *rest, word, *waiting]
        if word in _FLAGS or ("=" in word and word.partition("=")[0] in _VALUED):
            front.append(word)
        elif word in _VALUED:
            front += [word, *waiting[:1]]
            del waiting[:1]
        else:
            rest.append(word)
    return [*front, *rest]


def main() -> None:
    """Run; a refusal is its reason, its message, what to do next, and an exit code that says which kind."""
    arguments = hoisted(sys.argv[1:])
    try:
        app(arguments, prog_name="lienthong")
    except DomainError as error:
        exits.print_refusal(error, _language(arguments), as_json="--json" in arguments)
        raise SystemExit(exits.code_of(error)) from None
    except KeyboardInterrupt:
        typer.echo(f"\nlienthong: {Words(_language(arguments))('interrupted')}", err=True)
        raise SystemExit(exits.INTERRUPTED) from None
    except OSError as error:
        refusal = exits.UsageRefused("FILE_UNUSABLE", f"{error.filename or ''}: {error.strerror or error}")
        exits.print_refusal(refusal, _language(arguments), as_json="--json" in arguments)
        raise SystemExit(exits.USAGE) from None


def _language(arguments: Sequence[str]) -> Language:
    """For a refusal that comes before there is a session: as the options or the environment say."""
    said = [word for flag, word in itertools.pairwise(arguments) if flag == "--language"]
    said += [word.removeprefix("--language=") for word in arguments if word.startswith("--language=")]
    return language_of(said[-1] if said else os.environ.get("LIENTHONG_LANGUAGE")) or "vi"
