"""Documents to submit: letters prepared and signed as real senders do, and what goes wrong with them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

from lienthong.agency_signing import Letter, sign_letter, write_letter
from lienthong.client import MAIN, Agency, Placement, Placements
from lienthong.client.agency import AlreadyIssued, IssueHere, Submission
from lienthong.types.v1 import document_pb2

from services.signing.domain import Rectangle
from tests.support.documents import PLACEMENTS, letter
from tests.support.node import Site, World

SENDER, FIFTH, SIXTH, CLOSED, AWAY = "G22", "G22.05", "G22.06", "G22.07", "H01"
CLERK = f"org/{SENDER}/clerk/van-thu"
LEADER = f"org/{SENDER}/leader/lanh-dao"
SOFTWARE = f"org/{SENDER}/client/qlvb"
OWN_SOFTWARE = f"org/{FIFTH}/client/qlvb"
SIXTH_SOFTWARE = f"org/{SIXTH}/client/qlvb"

HERE = IssueHere(notation="VPM-TH")


def client_of(organization: str) -> str:
    return f"org/{organization}/client/qlvb"


class Papers:
    """Files that are made at first use, with the help of whichever node runs then, and kept."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._folder = world.layout.folder / "papers"
        self._folder.mkdir()

    def letter(self) -> Path:
        """A letter with no fields and no signature."""
        path = self._folder / "letter.pdf"
        return path if path.exists() else letter(path)

    async def prepared(self, site: Site) -> Path:
        """With the fields of number, date and both signatures, and no signature."""
        path = self._folder / "prepared.pdf"
        if not path.exists():
            await site.agency(CLERK).signing.prepare(self.letter(), path, _placements())
        return path

    async def signed(self, site: Site) -> Path:
        """Signed by the leader of SENDER, to be numbered and sealed by the node."""
        path = self._folder / "signed.pdf"
        if not path.exists():
            await site.agency(LEADER).signing.sign(await self.prepared(site), path)
        return path

    async def sealed(self, site: Site, organization: str = FIFTH) -> Path:
        """Numbered, signed and sealed by an organization's own software."""
        path = self._folder / f"sealed-{organization}.pdf"
        if not path.exists():
            own = Letter(
                agency=f"Cơ quan {organization}",
                number=7,
                notation="VM-BC",
                place="Hà Nội",
                day=date(2026, 2, 5),
                subject="báo cáo MẪU",
                addressees=["Văn phòng MẪU"],
                paragraphs=["Nội dung MẪU."],
                position="Vụ trưởng",
                signer="Trần Thị Mẫu",
            )
            await sign_letter(
                write_letter(own, path.with_suffix(".plain")),
                path,
                leader=self._world.layout.issued(f"org/{organization}/leader/lanh-dao", "signing"),
                agency=self._world.layout.issued(f"org/{organization}", "seal"),
                signer="Trần Thị Mẫu",
                timestamps_url=site.timestamps_url,
            )
        return path

    @asynccontextmanager
    async def expired_seal(self, site: Site) -> AsyncIterator[None]:
        """The node runs with a seal whose certificate has expired: what it finds only when it seals."""
        now = datetime.now(UTC)
        expired = self._world.authority.agency_seal(
            SENDER,
            "Văn phòng MẪU",
            not_before=now - timedelta(days=9),
            not_after=now - timedelta(days=1),
            label="expired",
        )
        folder = self._world.layout.node(site.node).keys / f"org/{SENDER}" / "seal"
        files = {folder / file.name: file for file in (expired.chain_path, expired.key_path)}
        kept = {path: path.read_bytes() for path in files}
        for path, source in files.items():
            path.write_bytes(source.read_bytes())
        await restarted(site)
        try:
            yield
        finally:
            for path, content in kept.items():
                path.write_bytes(content)
            await restarted(site)

    def write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path


async def restarted(site: Site) -> None:
    """Stop and start: keys are read when a node starts."""
    await site.stop()
    await site.start()


def padded(content: bytes, size: int) -> bytes:
    """The same PDF as long as wanted: a comment behind it, and its end once more."""
    end = content[content.rindex(b"startxref") :]
    return content + b"%" + b" " * (size - len(content) - len(end) - 2) + b"\n" + end


def issued(number: int) -> AlreadyIssued:
    return AlreadyIssued(number=number, notation="VM-BC", issued_date="2026-02-05")


def document(*attachments: document_pb2.Attachment, **fields: object) -> document_pb2.Document:
    """Metadata of a document of SENDER."""
    facts: dict[str, object] = {
        "organization": SENDER,
        "type_name": "Công văn",
        "subject": "Về việc thử nghiệm MẪU",
        "urgency": document_pb2.URGENCY_URGENT,
        "signer_name": "Nguyễn Văn Mẫu",
        **fields,
    }
    return document_pb2.Document(attachments=attachments, **facts)  # type: ignore[arg-type]


async def send(
    site: Site,
    papers: Papers,
    recipients: list[str],
    *,
    clerk: Agency | None = None,
    request_id: UUID | None = None,
    **fields: object,
) -> Submission:
    """Submit a new document of SENDER to be issued here, and wait until it is."""
    clerk = clerk or site.agency(CLERK)
    main = await clerk.attach(await papers.signed(site), MAIN)
    submission = await clerk.submit(document(main, **fields), recipients, HERE, request_id=request_id)
    return await clerk.wait_issued(submission.submission_id)


def this_year() -> int:
    return datetime.now(UTC).year


def _placements() -> Placements:
    def place(rectangle: Rectangle) -> Placement:
        return Placement(rectangle.page, rectangle.left, rectangle.bottom, rectangle.width, rectangle.height)

    return Placements(place(PLACEMENTS.number), place(PLACEMENTS.date), place(PLACEMENTS.leader))
