"""prepare, sign: a draft becomes a file that its leader has signed."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from lienthong.cli.choosing import LEADER, MEMBERS
from lienthong.cli.exits import UsageRefused
from lienthong.cli.helping import documented, existing, free
from lienthong.cli.session import run

if TYPE_CHECKING:
    from lienthong.cli.session import Session
    from lienthong.client import Placement

# Above this a file is not parsed: its signature lies beside it (design, promise 9).
DETACHED_ABOVE: Final = 512 * 1024 * 1024
DETACHED_ENDING: Final = ".p7s"

# The layout of decree 30/2020, annex I, as the demo draws it; points from the lower left corner.
_NUMBER: Final = (146.0, 735.7, 30.0, 18.0)
_DATE: Final = (353.0, 735.7, 160.0, 18.0)
_LEADER: Final = (345.0, 270.0, 190.0, 70.0)

Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Ghi vào tệp này / write to this file.")
]
Force = Annotated[bool, typer.Option("--force", help="Ghi đè tệp đã có / overwrite.")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    documented(
        app,
        "prepare",
        "Đặt ô số, ngày, chữ ký vào bản PDF trước khi lãnh đạo ký",
        "Place the fields for number, date and signatures before the leader signs",
        (
            "lienthong prepare du-thao.pdf",
            "Theo thể thức Nghị định 30/2020: số, ngày ở trang đầu, chữ ký ở trang cuối",
            "In the layout of decree 30/2020: number and date on the first page, signature on the last",
        ),
        (
            "lienthong prepare du-thao.pdf --number 1,140,736,30,18 --leader=-1,345,270,190,70 -o a.pdf",
            "Tự chọn vị trí; trang tính từ 1, -1 là trang cuối, đơn vị point, gốc ở góc dưới trái",
            "Your own places; pages from 1, -1 is the last, in points from the lower left corner",
        ),
    )(prepare)
    documented(
        app,
        "sign",
        "Lãnh đạo ký số tệp PDF, DOCX, XLSX, PPTX, có dấu thời gian",
        "A leader signs a PDF, DOCX, XLSX or PPTX file, with a timestamp",
        (
            "lienthong sign trinh-ky.pdf --profile G22/leader/nguyen-van-mau",
            "Ký bằng hồ sơ của lãnh đạo, ra tệp trinh-ky-da-ky.pdf",
            "Sign with a leader's profile, into trinh-ky-da-ky.pdf",
        ),
        (
            "lienthong sign so-lieu.xlsx --detached",
            "Ký rời: chữ ký ở tệp so-lieu.xlsx.p7s (tự động khi tệp trên 512 MiB)",
            "Beside the file, as so-lieu.xlsx.p7s (by itself above 512 MiB)",
        ),
    )(sign)


def prepare(
    context: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.pdf", help="Bản PDF chưa ký / a PDF without signatures.")
    ],
    output: Output = None,
    number: Annotated[str, typer.Option(metavar="PLACE", help="Ô số / number.")] = "",
    date: Annotated[str, typer.Option(metavar="PLACE", help="Ô ngày / date.")] = "",
    leader: Annotated[str, typer.Option(metavar="PLACE", help="Ô chữ ký lãnh đạo / leader.")] = "",
    agency: Annotated[
        str,
        typer.Option(metavar="PLACE", help="Ô dấu; mặc định: 1/3 trái chữ ký / seal; left third by default."),
    ] = "",
    force: Force = False,
) -> None:
    """PLACE = PAGE,LEFT,BOTTOM,WIDTH,HEIGHT."""
    source = existing(file)
    target = free(output or source.with_name(f"{source.stem}-co-o-ky.pdf"), force=force)

    async def work(session: Session) -> None:
        from lienthong.client import Placements

        last = await asyncio.to_thread(_last_page, source)
        places = Placements(
            number=_placement(number, "number", last) or _default(0, _NUMBER),
            date=_placement(date, "date", last) or _default(0, _DATE),
            leader=_placement(leader, "leader", last) or _default(last, _LEADER),
            agency=_placement(agency, "agency", last),
        )
        with session.output.doing("preparing", source.name, unit=""):
            digest = await session.agency.signing.prepare(source, target, places)
        _tell(session, "prepared", source, target, digest)

    run(context, MEMBERS, work)


def sign(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Tệp cần ký / the file to sign.")],
    output: Output = None,
    detached: Annotated[
        bool, typer.Option("--detached", help="Chữ ký ở tệp .p7s bên cạnh / signature beside the file.")
    ] = False,
    force: Force = False,
) -> None:
    source = existing(file)
    aside = detached or source.stat().st_size > DETACHED_ABOVE
    usual = beside(source) if aside else source.with_name(f"{source.stem}-da-ky{source.suffix}")
    target = free(output or usual, force=force)

    async def work(session: Session) -> None:
        if aside:
            await _sign_beside(session, source, target)
            return
        with session.output.doing("signing", source.name, unit=""):
            digest = await session.agency.signing.sign(source, target)
        _tell(session, "signed", source, target, digest)

    run(context, LEADER, work)


def beside(path: Path) -> Path:
    """Where the detached signature of a file lies."""
    return path.with_name(path.name + DETACHED_ENDING)


async def _sign_beside(session: Session, source: Path, target: Path) -> None:
    """The file stays here: this computer hashes it, and the node signs the digest."""
    with session.output.doing("signing", source.name, unit=""):
        signature = await session.agency.signing.sign_digest(source)
    await asyncio.to_thread(target.write_bytes, signature)
    _tell(session, "detached", source, target, hashlib.sha256(signature).digest())


def _tell(session: Session, key: str, source: Path, target: Path, digest: bytes) -> None:
    if session.output.as_json:
        session.output.json({"file": str(source), "output": str(target), "sha256": digest.hex()})
    else:
        session.output.line(session.words(key, file=source, output=target))


def _placement(text: str, field: str, last: int) -> Placement | None:
    """PAGE,LEFT,BOTTOM,WIDTH,HEIGHT as people count: pages from 1, -1 the last."""
    from lienthong.client import Placement

    if not text:
        return None
    try:
        page, left, bottom, width, height = (float(part) for part in text.split(","))
    except ValueError:
        message = f"--{field} {text}: five numbers are PAGE,LEFT,BOTTOM,WIDTH,HEIGHT"
        raise UsageRefused("PLACEMENT_MALFORMED", message, field=field) from None
    place = last + 1 + int(page) if page < 0 else int(page) - 1
    if page != int(page) or not 0 <= place <= last or width <= 0 or height <= 0:
        message = f"--{field} {text}: the page is 1 to {last + 1}, or -1; width and height are above 0"
        raise UsageRefused("PLACEMENT_MALFORMED", message, field=field)
    return Placement(place, left, bottom, width, height)


def _default(page: int, box: tuple[float, float, float, float]) -> Placement:
    from lienthong.client import Placement

    return Placement(page, *box)


def _last_page(path: Path) -> int:
    """The number of the last page, from 0. What cannot be read is for the node to judge: it says why."""
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.pdf_utils.reader import PdfFileReader

    try:
        with path.open("rb") as stream:
            return max(0, int(PdfFileReader(stream, strict=False).root["/Pages"]["/Count"]) - 1)
    except (PdfError, KeyError, TypeError, ValueError):
        return 0
