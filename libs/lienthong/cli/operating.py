"""ping, storage verify: what the people who run a node ask it."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Any

import typer
from lienthong.cli.choosing import OPERATORS
from lienthong.cli.exits import DONE, FINDINGS
from lienthong.cli.helping import documented
from lienthong.cli.session import Session, run

if TYPE_CHECKING:
    from lienthong.routing.v1 import queue_pb2
    from lienthong.storage.v1 import storage_pb2

_NODE_HELP = "Nút cần hỏi / the node to reach: H01.15."


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    documented(
        app,
        "ping",
        "Hỏi một nút qua các đường nối: thời gian từng chặng",
        "Reach a node over the links: the time of each hop",
        (
            "lienthong ping H01.15.07 --profile G22",
            "Từ nút G22, qua từng nút, đến xã và về; không qua hàng đợi",
            "From node G22 over each node to the commune and back, past all queues",
        ),
    )(ping)
    storage = typer.Typer(
        name="storage",
        help="Kho tệp của nút / the node's storage.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    documented(
        storage,
        "verify",
        "Đối chiếu kho tệp với sổ của nó; không sửa gì",
        "Compare what is stored with what is recorded; mends nothing",
        ("lienthong storage verify", "So tên và độ dài", "Names and lengths"),
        (
            "lienthong storage verify --deep",
            "Đọc hết từng tệp, so SHA-256",
            "Read every byte, compare SHA-256",
        ),
    )(verify)
    app.add_typer(storage, short_help="Kho tệp của nút: verify / the node's storage")


def ping(
    context: typer.Context, node: Annotated[str, typer.Argument(metavar="NODE", help=_NODE_HELP)]
) -> None:
    async def work(session: Session) -> None:
        hops = list(await session.operator.ping(node))
        if session.output.as_json:
            session.output.json([_hop_shape(hop, link) for hop, link in zip(hops, links(hops), strict=True)])
            return
        from lienthong.cli import showing

        rows = [
            (
                hop.node,
                showing.clock(hop.time),
                _ms(onward(hop) if place < len(hops) - 1 else None),
                _ms(link),
            )
            for place, (hop, link) in enumerate(zip(hops, links(hops), strict=True))
        ]
        session.output.table(["node", "node_time", "onward_ms", "link_ms"], rows)

    run(context, OPERATORS, work)


def verify(
    context: typer.Context,
    deep: Annotated[bool, typer.Option("--deep", help="Đọc hết từng tệp / read every byte.")] = False,
) -> None:
    async def work(session: Session) -> int:
        from lienthong.storage.v1 import storage_pb2

        findings: list[storage_pb2.BlobFinding] = []
        summary = storage_pb2.VerifyBlobsSummary()
        with session.output.doing("comparing", session.profile.node, unit="things") as doing:
            async for part in session.operator.verify_blobs(deep):
                if part.HasField("finding"):
                    findings.append(part.finding)
                elif part.HasField("progress"):
                    doing(part.progress.compared, part.progress.recorded)
                else:
                    summary = part.summary
        _show_verified(session, findings, summary)
        return FINDINGS if findings else DONE

    run(context, OPERATORS, work)


def onward(hop: queue_pb2.PingHop) -> float:
    """Milliseconds from there to the target and back."""
    return hop.onward.ToNanoseconds() / 1e6


def links(hops: list[queue_pb2.PingHop]) -> list[float | None]:
    """The time of the link behind each hop: what its own time is longer than the next one's."""
    nexts: list[float | None] = [onward(hop) - onward(after) for hop, after in itertools.pairwise(hops)]
    return [*nexts, None] if hops else []


def _hop_shape(hop: queue_pb2.PingHop, link: float | None) -> dict[str, Any]:
    from lienthong.cli import shapes

    times = {"onward_ms": round(onward(hop), 3), "link_ms": None if link is None else round(link, 3)}
    return {"node": hop.node, "time": shapes.time_shape(hop.time), **times}


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"


def _show_verified(
    session: Session, findings: list[storage_pb2.BlobFinding], summary: storage_pb2.VerifyBlobsSummary
) -> None:
    from lienthong.cli.output import size_words
    from lienthong.cli.texts import FAULTS

    if session.output.as_json:
        session.output.json(
            {
                "recorded": summary.recorded,
                "recorded_bytes": summary.recorded_bytes,
                "findings": [_finding_shape(finding) for finding in findings],
            }
        )
        return
    if findings:
        rows = [
            (
                finding.sha256.hex(),
                session.words.name(FAULTS, _fault(finding)),
                size_words(finding.size_bytes),
                size_words(finding.found_bytes),
                finding.holds,
            )
            for finding in findings
        ]
        session.output.table(["digest", "fault", "recorded", "found", "holds"], rows, whole=("fault",))
    said = session.words(
        "verified",
        recorded=summary.recorded,
        size=size_words(summary.recorded_bytes),
        findings=summary.findings,
    )
    session.output.line(said, style="bold red" if findings else "green")


def _finding_shape(finding: storage_pb2.BlobFinding) -> dict[str, Any]:
    return {
        "sha256": finding.sha256.hex(),
        "fault": _fault(finding),
        "size_bytes": finding.size_bytes,
        "found_bytes": finding.found_bytes,
        "holds": finding.holds,
    }


def _fault(finding: storage_pb2.BlobFinding) -> str:
    from lienthong.storage.v1 import storage_pb2

    return storage_pb2.BlobFault.Name(finding.fault).removeprefix("BLOB_FAULT_")
