"""Mail for a whole mesh: pre-signed letters, who sends what to whom, and the ledger of what was acknowledged.

Everything random comes from one seeded generator. The ledger lies outside the system: what it holds was
acknowledged to a client, so the system owes it.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from uuid import UUID

from lienthong.agency_signing import Letter, sign_letter, write_letter
from lienthong.client import ANNEX, MAIN, Agency, Placement, Placements
from lienthong.client.agency import AlreadyIssued, IssueHere, Submission
from lienthong.ids import sub_id
from lienthong.mesh import Mesh, MeshView
from lienthong.types.v1 import document_pb2

from tests.support.mesh import agency

SAMPLES = Path(__file__).parents[2] / "libs" / "lienthong" / "demo" / "samples"
DAY = date(2026, 2, 5)
NOTATION = "MAU-BC"
PLACEMENTS = Placements(
    number=Placement(0, 100, 760, 30, 14),
    date=Placement(0, 380, 710, 150, 14),
    leader=Placement(0, 350, 150, 160, 70),
)


def receivers(mesh: Mesh) -> list[str]:
    """The organizations that take part: all but the closed one."""
    return [organization.code for organization in mesh.topology.organizations if organization.people]


async def sealed_letter(mesh: MeshView, code: str, target: Path, subject: str = "báo cáo MẪU") -> Path:
    """A letter that an organization's own software signed: leader, then agency, both stamped over HTTP."""
    organization = mesh.topology.organization(code)
    leader = next(person for person in organization.people if person.kind == "leader")
    letter = Letter(
        agency=organization.name,
        number=7,
        notation=NOTATION,
        place="Hà Nội",
        day=DAY,
        subject=subject,
        addressees=["Văn phòng MẪU"],
        paragraphs=["Nội dung MẪU."],
        position=leader.position,
        signer=leader.title,
    )
    plain = await asyncio.to_thread(write_letter, letter, target.with_suffix(".plain"))
    return await sign_letter(
        plain,
        target,
        leader=mesh.layout.issued(f"org/{code}/leader/{leader.name}", "signing"),
        agency=mesh.layout.issued(f"org/{code}", "seal"),
        signer=leader.title,
        timestamps_url=mesh.timestamps_url(organization.node),
    )


async def leader_signed(mesh: MeshView, code: str, target: Path) -> Path:
    """A PDF with fields for number and date, signed by the leader at the node: to be issued there."""
    prepared = target.with_suffix(".prepared.pdf")
    async with agency(mesh, code, "clerk") as clerk, agency(mesh, code, "leader") as leader:
        await clerk.signing.prepare(SAMPLES / "cong-van-mau.pdf", prepared, PLACEMENTS)
        await leader.signing.sign(prepared, target)
    return target


def document(code: str, *attachments: document_pb2.Attachment, **fields: object) -> document_pb2.Document:
    """Metadata of a document of `code`."""
    facts: dict[str, object] = {
        "organization": code,
        "type_name": "Công văn",
        "subject": "V/v thử nghiệm MẪU",
        "urgency": document_pb2.URGENCY_ORDINARY,
        "signer_name": "Nguyễn Văn Mẫu",
        **fields,
    }
    return document_pb2.Document(attachments=attachments, **facts)  # type: ignore[arg-type]


def already_issued(number: int) -> AlreadyIssued:
    return AlreadyIssued(number=number, notation=NOTATION, issued_date=DAY.isoformat())


@dataclass(frozen=True, slots=True)
class Mission:
    """One document to be sent: by whom, to whom, and which way in."""

    number: int
    request_id: UUID
    sender: str
    recipients: tuple[str, ...]
    issue_here: bool
    urgency: document_pb2.Urgency.ValueType


def plan(rng: random.Random, codes: Sequence[str], *, documents: int, here: int) -> list[Mission]:
    """Missions from the Government Office and from below, upward and downward, to one and to several."""
    root = codes[0]
    sealers = [root, root, "H01", "H01.15.09"]
    seed = UUID(int=rng.getrandbits(128))
    missions = []
    for number in range(1, documents + 1):
        issue_here = number <= here
        sender = rng.choice(sealers if issue_here else [root, *codes])
        others = [code for code in codes if code != sender]
        several = rng.choice((1, 1, 1, 1, 2, 3, len(others)))
        missions.append(
            Mission(
                number=number,
                request_id=sub_id(seed, f"mission {number}"),
                sender=sender,
                recipients=tuple(sorted(rng.sample(others, several))),
                issue_here=issue_here,
                urgency=document_pb2.Urgency.ValueType(rng.randint(1, 4)),
            )
        )
    rng.shuffle(missions)
    return missions


@dataclass(slots=True)
class Ledger:
    """What was acknowledged to submitters, kept in memory and line by line in a file."""

    file: Path
    entries: dict[str, Mission] = field(default_factory=dict)

    def acknowledged(self, submission: Submission, mission: Mission) -> None:
        with self.file.open("a") as lines:
            lines.write(
                json.dumps(
                    [submission.submission_id, mission.number, mission.sender, mission.recipients],
                )
                + "\n"
            )
        assert submission.submission_id not in self.entries, "two requests, one submission"
        self.entries[submission.submission_id] = mission

    def of(self, sender: str) -> dict[str, Mission]:
        """The submissions of one organization."""
        return {key: mission for key, mission in self.entries.items() if mission.sender == sender}

    @property
    def deliveries(self) -> int:
        return sum(len(mission.recipients) for mission in self.entries.values())


class Papers:
    """Files of every sender, signed and uploaded before the trouble begins: signing is not what is tested."""

    def __init__(self) -> None:
        self._sealed: dict[str, list[document_pb2.Attachment]] = {}
        self._signed: dict[str, tuple[document_pb2.Attachment, ...]] = {}

    @classmethod
    async def make(cls, mesh: Mesh, folder: Path, missions: Sequence[Mission], *, letters: int) -> Papers:
        papers = cls()
        for code in sorted({mission.sender for mission in missions}):
            async with agency(mesh, code) as client:
                sealed = papers._sealed.setdefault(code, [])
                for number in range(letters):
                    path = await sealed_letter(
                        mesh, code, folder / f"{code}-{number}.pdf", f"báo cáo {number}"
                    )
                    sealed.append(await client.attach(path, MAIN))
                if any(mission.issue_here for mission in missions if mission.sender == code):
                    signed = await leader_signed(mesh, code, folder / f"{code}-signed.pdf")
                    annex = await client.attach(SAMPLES / "cong-van-mau.docx", ANNEX)
                    papers._signed[code] = (await client.attach(signed, MAIN), annex)
        return papers

    def document(self, mission: Mission) -> document_pb2.Document:
        """The document of a mission; every fourth to be issued here has an annex."""
        fields = {"urgency": mission.urgency, "subject": f"V/v thử nghiệm MẪU số {mission.number}"}
        if mission.issue_here:
            attachments = self._signed[mission.sender][: 2 if mission.number % 4 == 0 else 1]
        else:
            letters = self._sealed[mission.sender]
            attachments = (letters[mission.number % len(letters)],)
        return document(mission.sender, *attachments, **fields)


async def submit(client: Agency, papers: Papers, mission: Mission) -> Submission:
    """One submission, repeated by the client with the same request id while the node is away."""
    issue = IssueHere(notation=NOTATION) if mission.issue_here else already_issued(10_000 + mission.number)
    return await client.submit(
        papers.document(mission), mission.recipients, issue, request_id=mission.request_id
    )
