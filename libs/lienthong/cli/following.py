"""submission, receipts, journey, register: what became of what was sent, and what the books say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from lienthong.cli.choosing import MEMBERS
from lienthong.cli.exits import DONE, FINDINGS, UsageRefused
from lienthong.cli.helping import documented, free
from lienthong.cli.session import Session, run

if TYPE_CHECKING:
    from lienthong.types.v1 import document_pb2

_FORMS: Final = ("html", "txt")

Document = Annotated[
    str,
    typer.Argument(metavar="DOCUMENT", help="Văn bản / document: 15/QĐ-BNV, 0198a1b2.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    documented(
        app,
        "submission",
        "Tình trạng một văn bản đã gửi; không nêu gì: các văn bản gửi gần đây",
        "One document that was sent and its recipients; without one, the latest",
        ("lienthong submission 15/VPCP-TH", "Từng nơi nhận: đã đến, tiếp nhận, số đến", "Each recipient"),
        ("lienthong submission", "Các văn bản gửi gần đây", "The latest"),
    )(submission)
    documented(
        app,
        "receipts",
        "Xác nhận của các nơi nhận",
        "Receipts from the recipients",
        ("lienthong receipts 15/VPCP-TH", "Của một văn bản", "About one document"),
        (
            "lienthong --json receipts --watch",
            "Hiện dần khi về, mỗi dòng một xác nhận",
            "As they come, one a line",
        ),
    )(receipts)
    documented(
        app,
        "journey",
        "Hành trình một văn bản: từng nơi nhận, từng chặng, từng bước xử lý",
        "Where a document went: recipients, hops with times, handling",
        ("lienthong journey 15/VPCP-TH", "Chỉ hỏi nút của mình", "Asks the own node alone"),
    )(journey)
    documented(
        app,
        "register",
        "Sổ đăng ký văn bản đi, đến; kiểm tra liền số",
        "The registers of outgoing and incoming documents, checked for gaps",
        ("lienthong register outgoing --year 2026", "Sổ văn bản đi năm 2026", "Outgoing, 2026"),
        (
            "lienthong register incoming --export html -o so-den.html",
            "In sổ theo mẫu của Nghị định 30/2020",
            "Ready to print, in the form of decree 30/2020",
        ),
    )(show_register)


def submission(context: typer.Context, document: Document = "") -> None:
    async def work(session: Session) -> None:
        from lienthong.cli import references, showing

        if document:
            showing.submission(session, await references.find_submission(session, document))
            return
        page, _ = await session.agency.submissions()
        showing.submissions(session, page)

    run(context, MEMBERS, work)


def receipts(
    context: typer.Context,
    document: Document = "",
    watch: Annotated[bool, typer.Option("--watch", help="Chờ xác nhận mới / wait for more.")] = False,
) -> None:
    async def work(session: Session) -> None:
        from lienthong.cli import references, showing

        wanted = ""
        codes: dict[str, str] = {}
        if document:
            found = await references.find_submission(session, document)
            wanted = found.document.document_id
            codes = {wanted: showing.code(found.document)}
        if watch:
            await _watch(session, wanted, codes)
            return
        all_of_them = await session.agency.all_receipts(wanted)
        if not codes:
            codes = await _codes(session, {receipt.document_id for receipt in all_of_them})
        showing.receipts(session, all_of_them, codes)

    run(context, MEMBERS, work)


def journey(context: typer.Context, document: Document) -> None:
    async def work(session: Session) -> None:
        from lienthong.cli import references, shapes, travelling

        found = await references.find_submission(session, document)
        travelled = await travelling.known_journey(session, found.document.document_id)
        if session.output.as_json:
            session.output.json(shapes.journey_shape(travelled))
        else:
            session.output.show(travelling.tree(session.words, travelled))

    run(context, MEMBERS, work)


def show_register(
    context: typer.Context,
    direction: Annotated[str, typer.Argument(metavar="outgoing|incoming", help="di|den.")],
    year: Annotated[
        int, typer.Option(metavar="YYYY", help="Năm / year.", show_default="năm nay / this year")
    ] = 0,
    series: Annotated[str, typer.Option(metavar="NAME", help="Sổ riêng / series.")] = "",
    export: Annotated[str, typer.Option(metavar="html|txt", help="Xuất ra tệp / write a file.")] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Tệp / file.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Ghi đè / overwrite.")] = False,
) -> None:
    from lienthong.cli import bookkeeping

    side = bookkeeping.direction_of(direction)
    if export and export not in _FORMS:
        raise UsageRefused("OPTIONS_EXCLUSIVE", f"--export {export}: html or txt", field="export")
    target = free(output or Path(f"{side.name}.{export}"), force=force) if export else None

    async def work(session: Session) -> int:
        chosen = year or bookkeeping.this_year(session)
        book = session.agency.registers.book(side.direction, chosen, series)
        if target is not None:
            await bookkeeping.export(session, book, export, target)
            return DONE
        return FINDINGS if await bookkeeping.show(session, book, side) else DONE

    run(context, MEMBERS, work)


async def _watch(session: Session, document_id: str, codes: dict[str, str]) -> None:
    """What is there, then whatever comes, until Ctrl-C."""
    from lienthong.cli import shapes, showing

    async for item in session.agency.watch_receipts():
        receipt = item.receipt
        if document_id not in ("", receipt.document_id):
            continue
        if session.output.as_json:
            session.output.json(shapes.receipt_shape(receipt))
            continue
        if receipt.document_id not in codes:
            codes |= await _codes(session, {receipt.document_id})
        session.output.line("  ".join(str(cell) for cell in showing.receipt_row(session, receipt, codes)))


async def _codes(session: Session, document_ids: set[str]) -> dict[str, str]:
    """Number and notation of documents: receipts carry only identifiers."""
    from lienthong.cli import showing

    found: dict[str, str] = {}
    page, token = await session.agency.submissions()
    while True:
        documents: list[document_pb2.Document] = [one.document for one in page]
        found |= {d.document_id: showing.code(d) for d in documents if d.document_id in document_ids}
        if not token or found.keys() >= document_ids:
            return found
        page, token = await session.agency.submissions(token)
