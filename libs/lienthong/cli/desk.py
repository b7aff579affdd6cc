"""inbox, fetch, accept, refuse, assign, process, complete: the clerk's desk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from lienthong.cli.choosing import CLERKS, MEMBERS
from lienthong.cli.exits import DONE, FINDINGS, UsageRefused, print_refusal
from lienthong.cli.helping import documented
from lienthong.cli.session import Session, run
from lienthong.errors import DomainError, Unavailable

if TYPE_CHECKING:
    from lienthong.client import Fetched
    from lienthong.routing.v1 import inbox_pb2
    from lienthong.types.v1 import document_pb2

# 02 and 06 are the ends of handling; everything else still waits for somebody.
_FINISHED: Final = frozenset({"02", "06"})
_UNTOUCHED: Final = frozenset({"", "01"})

Delivery = Annotated[
    str,
    typer.Argument(
        metavar="DELIVERY", help="Văn bản đến / the delivery: 15/QĐ-BNV, G22:15/QĐ-BNV, 0198a1b2."
    ),
]
Actor = Annotated[str, typer.Option("--actor", metavar="NAME", help="Người thực hiện / who acted.")]
Note = Annotated[
    str, typer.Option("--note", metavar="WORDS", help="Ghi chú gửi nơi gửi / a note to the sender.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    documented(
        app,
        "inbox",
        "Văn bản đến của cơ quan",
        "What came for the organization",
        ("lienthong inbox", "Văn bản còn phải xử lý", "What is still to be handled"),
        (
            "lienthong inbox --new --watch --profile H01",
            "Văn bản chưa tiếp nhận, rồi hiện dần khi đến",
            "What nobody accepted yet, then whatever comes",
        ),
        ("lienthong --json inbox --all", "Tất cả, dạng JSON", "Everything, as JSON"),
    )(inbox)
    documented(
        app,
        "fetch",
        "Tải văn bản đến cùng phụ lục, kiểm tra, xác nhận đã tải",
        "Download a delivery with its files, check it, confirm",
        ("lienthong fetch 15/VPCP-TH", "Vào thư mục van-ban-den/", "Into the folder van-ban-den/"),
        (
            "lienthong fetch --all-new -o /srv/van-ban",
            "Mọi văn bản chưa tải",
            "Whatever was not downloaded yet",
        ),
    )(fetch)
    documented(
        app,
        "accept",
        "Tiếp nhận (03): vào sổ văn bản đến",
        "Accept (03): enter into the register of incoming documents",
        ("lienthong accept 15/VPCP-TH", "Hệ thống cấp số đến", "The node gives the arrival number"),
        (
            "lienthong accept 0198a1b2 --arrival-number 214",
            "Số đến của phần mềm riêng",
            "The number of the agency's own system",
        ),
    )(accept)
    documented(
        app,
        "refuse",
        "Từ chối tiếp nhận (02), nêu lý do",
        "Refuse (02), with the reason",
        (
            'lienthong refuse 15/VPCP-TH --reason "không thuộc chức năng của Sở"',
            "Trả lại nơi gửi, không lấy số đến",
            "Back to the sender; takes no arrival number",
        ),
    )(refuse)
    for name, work, vi, en in (
        ("assign", assign, "Phân công xử lý (04)", "Assigned to somebody (04)"),
        ("process", process, "Đang xử lý (05)", "Being worked on (05)"),
        ("complete", complete, "Hoàn thành (06)", "Done (06)"),
    ):
        documented(
            app,
            name,
            vi,
            en,
            (
                f'lienthong {name} 15/VPCP-TH --actor "Nguyễn Văn Mẫu"',
                "Báo cho nơi gửi, kèm người thực hiện",
                "Tell the sender, with who acted",
            ),
        )(work)


def inbox(
    context: typer.Context,
    everything: Annotated[
        bool, typer.Option("--all", help="Cả văn bản đã xong / finished ones too.")
    ] = False,
    new: Annotated[bool, typer.Option("--new", help="Chưa tiếp nhận / not accepted yet.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Chờ văn bản mới / wait for more.")] = False,
) -> None:
    if everything and new:
        raise UsageRefused("OPTIONS_EXCLUSIVE", "--all and --new exclude each other", field="new")

    def wanted(delivery: inbox_pb2.Delivery) -> bool:
        return everything or (delivery.status in _UNTOUCHED if new else delivery.status not in _FINISHED)

    async def work(session: Session) -> None:
        from lienthong.cli import shapes, showing

        deliveries = await session.agency.inbox.all()
        chosen = [delivery for delivery in deliveries if wanted(delivery)]
        if session.output.as_json and not watch:
            session.output.json([shapes.delivery_shape(delivery) for delivery in chosen])
        elif session.output.as_json:
            for delivery in chosen:
                session.output.json(shapes.delivery_shape(delivery))
        elif chosen:
            showing.deliveries(session, chosen)
        elif not watch:
            session.output.note(session.words("inbox_empty"))
        if watch:
            await _watch(session, deliveries[-1].cursor if deliveries else "")

    run(context, MEMBERS, work)


def fetch(
    context: typer.Context,
    delivery: Annotated[
        str, typer.Argument(metavar="DELIVERY", help="Văn bản đến / the delivery.", show_default=False)
    ] = "",
    all_new: Annotated[bool, typer.Option("--all-new", help="Mọi văn bản chưa tải / all new ones.")] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Thư mục / folder.")
    ] = Path("van-ban-den"),
    force: Annotated[
        bool, typer.Option("--force", help="Ghi đè tệp đã sửa / overwrite edited files.")
    ] = False,
) -> None:
    if bool(delivery) == all_new:
        raise UsageRefused("OPTIONS_EXCLUSIVE", "name one delivery, or say --all-new", field="delivery")

    async def work(session: Session) -> int:
        from lienthong.cli import references

        if delivery:
            wanted: Sequence[inbox_pb2.Delivery] = [await references.find_delivery(session, delivery)]
        else:
            wanted = [one for one in await session.agency.inbox.all() if not one.fetched]
        code, shapes = DONE, list[dict[str, object]]()
        try:
            for one in wanted:
                code = max(code, await _fetch(session, one, output, shapes, force=force, go_on=all_new))
        finally:
            # These are here and confirmed: a program must hear of them also when a later one fails.
            if session.output.as_json and (shapes or all_new):
                session.output.json(shapes)
        if not wanted:
            session.output.note(session.words("already_fetched"))
        return code

    run(context, CLERKS, work)


def accept(
    context: typer.Context,
    delivery: Delivery,
    arrival_number: Annotated[
        int,
        typer.Option("--arrival-number", metavar="N", help="Số đến của hệ thống riêng / own number.", min=0),
    ] = 0,
    actor: Actor = "",
    note: Note = "",
) -> None:
    _report(context, delivery, "03", actor, note, arrival_number)


def refuse(
    context: typer.Context,
    delivery: Delivery,
    reason: Annotated[
        str, typer.Option("--reason", metavar="WORDS", help="Lý do / reason.", show_default=False)
    ],
    actor: Actor = "",
) -> None:
    _report(context, delivery, "02", actor, reason)


def assign(context: typer.Context, delivery: Delivery, actor: Actor = "", note: Note = "") -> None:
    _report(context, delivery, "04", actor, note)


def process(context: typer.Context, delivery: Delivery, actor: Actor = "", note: Note = "") -> None:
    _report(context, delivery, "05", actor, note)


def complete(context: typer.Context, delivery: Delivery, actor: Actor = "", note: Note = "") -> None:
    _report(context, delivery, "06", actor, note)


def _report(
    context: typer.Context, delivery: str, status: str, actor: str, reason: str, own_number: int = 0
) -> None:
    async def work(session: Session) -> None:
        from lienthong.cli import references, shapes, showing

        found = await references.find_delivery(session, delivery)
        receipt = await session.agency.inbox.report(
            found.delivery_id, status, reason=reason, actor=actor, own_number=own_number
        )
        if session.output.as_json:
            session.output.json(shapes.receipt_shape(receipt))
            return
        code = showing.code(found.document) or found.document.subject
        words = session.words
        said = words("reported", status=words.status(status), code=code)
        if receipt.arrival_number:
            said = words("accepted", code=code, number=f"{receipt.arrival_number:02d}")
        session.output.line(said, style="red" if status == "02" else "green")

    run(context, MEMBERS, work)


async def _watch(session: Session, cursor: str) -> None:
    """Whatever comes from now on, until Ctrl-C."""
    from lienthong.cli import shapes, showing

    async for delivery in session.agency.inbox.watch(cursor):
        if session.output.as_json:
            session.output.json(shapes.delivery_shape(delivery))
        else:
            document = delivery.document
            words = [showing.moment(delivery.arrive_time), delivery.delivery_id[:13], document.organization]
            session.output.line("  ".join([*words, showing.code(document), document.subject]))


async def _fetch(
    session: Session,
    delivery: inbox_pb2.Delivery,
    folder: Path,
    fetched: list[dict[str, object]],
    *,
    force: bool,
    go_on: bool,
) -> int:
    """Fetch one, keep its shape; with `go_on` a refusal is told and counted, for others wait behind it."""
    from lienthong.cli import showing

    target = folder / folder_name(delivery)
    try:
        if not force:
            await asyncio.to_thread(require_unedited, target, delivery.document)
        shape, code = await _download(session, delivery, target)
    except Unavailable:
        raise  # the node is away: the next one would fare no better
    except DomainError as error:
        if not go_on:
            raise
        name = f"{delivery.document.organization}:{showing.code(delivery.document)} ({delivery.delivery_id})"
        session.output.warn(session.words("not_fetched", name=name))
        print_refusal(error, session.words.language, as_json=session.output.as_json)
        return FINDINGS
    fetched.append(shape)
    return code


def require_unedited(folder: Path, document: document_pb2.Document) -> None:
    """Refuse to write over files of an earlier fetch that are no longer what came: somebody works in them."""
    from lienthong.client.files import safe_name
    from lienthong.client.inbox import ENVELOPE_FILE
    from lienthong.client.transfers import measured

    taken = {ENVELOPE_FILE}
    for attachment in document.attachments:
        path = folder / safe_name(attachment.name, taken)
        if path.exists() and not (path.is_file() and measured(path)[0] == attachment.sha256):
            raise UsageRefused("FILE_EXISTS", f"{path} is there already, with other content", field=str(path))


async def _download(
    session: Session, delivery: inbox_pb2.Delivery, target: Path
) -> tuple[dict[str, object], int]:
    """Download into a folder of its own, confirm, show; what was found counts for the exit code."""
    from lienthong.cli import shapes, showing

    code = showing.code(delivery.document)
    with session.output.doing("downloading", code or delivery.delivery_id) as doing:
        fetched = await session.agency.inbox.fetch(delivery.delivery_id, target, progress=doing)
    await session.agency.inbox.confirm(delivery.delivery_id)
    judged = showing.worst(fetched.delivery.verdicts)
    found = FINDINGS if judged and shapes.verdict_name(judged.verdict) == "INVALID" else DONE
    if not session.output.as_json:
        session.output.line(
            session.words("fetched", count=len(fetched.files), folder=target), style="bold green"
        )
        _show_files(session, fetched)
    return _fetched_shape(fetched, target), found


def folder_name(delivery: inbox_pb2.Delivery) -> str:
    """`G22-15-VPCP-TH-4f6a21`: for people, and never that of another delivery."""
    from lienthong.client.files import safe_name

    document = delivery.document
    words = f"{document.organization}-{document.number:02d}-{document.notation}-{delivery.delivery_id[-6:]}"
    return safe_name(words.replace("/", "-"), set())


def _show_files(session: Session, fetched: Fetched) -> None:
    from lienthong.cli import shapes, showing
    from lienthong.cli.output import size_words
    from lienthong.cli.texts import ROLES

    verdicts = {verdict.sha256: verdict for verdict in fetched.delivery.verdicts}
    rows = []
    for attachment in fetched.document.attachments:
        judged = verdicts.get(attachment.sha256)
        rows.append(
            (
                session.words.name(ROLES, shapes.role_name(attachment.role)),
                fetched.files[attachment.sha256].name,
                size_words(attachment.size_bytes),
                showing.verdict(session.words, judged.verdict, judged.level) if judged else "",
                ", ".join(judged.signers) if judged else "",
                ", ".join(judged.reasons) if judged else "",
            )
        )
    columns = ["document", "file", "size", "verdict", "signers", "note"]
    showing.without_empty(session, columns, rows, whole=("document", "size"))


def _fetched_shape(fetched: Fetched, folder: Path) -> dict[str, object]:
    from lienthong.cli import shapes

    shape = shapes.delivery_shape(fetched.delivery)
    files = {digest.hex(): str(path) for digest, path in fetched.files.items()}
    return shape | {"folder": str(folder), "files": files}
