"""Files above the size at which their format is parsed: signatures beside them, from submit to arrival.

The limit is 512 KiB here, so that such a file is made in no time; it need not even be a PDF.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from lienthong.client import ANNEX, MAIN
from lienthong.client.agency import Submission
from lienthong.errors import DomainError, FailedPrecondition, InvalidArgument, ResourceExhausted
from lienthong.mesh.layout import Layout
from lienthong.types.v1 import document_pb2

from services.signing.detached import Statement, make_signature
from tests.services.routing.bench import PDF, Bench
from tests.services.routing.inboxes import delivery_of
from tests.services.routing.papers import (
    CLERK,
    FIFTH,
    HERE,
    LEADER,
    SENDER,
    SIXTH,
    SOFTWARE,
    Papers,
    client_of,
    document,
    issued,
    padded,
    restarted,
)
from tests.services.routing.refusing import nothing_written, refused
from tests.services.routing.test_routing_crash import dying_at
from tests.services.routing.test_routing_links import linked, parcel
from tests.support import ooxml
from tests.support.documents import swap_first_page, updated
from tests.support.node import Site, World
from tests.support.postgres import Databases
from tests.support.signing import load_signer

pytestmark = pytest.mark.asyncio(loop_scope="module")

PARSED = 512 * 1024
LARGEST = 2 * 1024 * 1024
VALID, INVALID = document_pb2.VERDICT_VALID, document_pb2.VERDICT_INVALID


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(
    world: World, _databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Site]:
    overrides: dict[str, dict[str, object]] = {
        "routing": {"max_parse_bytes": PARSED, "max_attachment_bytes": LARGEST, "lease_seconds": 1.5},
        "signing": {"max_document_bytes": PARSED},
    }
    made = await Site.create(world, SENDER, _databases, tmp_path_factory.mktemp("site"), overrides)
    try:
        yield await made.start()
    finally:
        await made.close()
        gc.collect()


@dataclass(frozen=True)
class Files:
    """What the leader signs beside, and what goes wrong with it."""

    site: Site
    layout: Layout
    folder: Path

    def large(self, seed: int = 1, size: int = PARSED + 1) -> Path:
        path = self.folder / f"lon-{seed}-{size}.pdf"
        if not path.exists():
            path.write_bytes(random.Random(seed).randbytes(size))
        return path

    async def leaders(self, path: Path) -> bytes:
        return await self.site.agency(LEADER).signing.sign_digest(path)

    async def agencys(self, path: Path, organization: str = SENDER) -> bytes:
        """As an organization's own software makes it, with the key that it holds."""
        signer = load_signer(self.layout.issued(f"org/{organization}", "seal"))
        digest = hashlib.sha256(path.read_bytes()).digest()
        return await asyncio.to_thread(make_signature, signer, digest, Statement(PDF), datetime.now(UTC))


@pytest.fixture
def files(site: Site, world: World, folder: Path) -> Files:
    return Files(site, world.layout, folder)


async def arrived(site: Site, document_id: str, folder: Path) -> dict[bytes, document_pb2.AttachmentVerdict]:
    """The verdicts of the recipient's node, once the bytes were fetched and compared."""
    agency, delivery_id = await delivery_of(site, SIXTH, document_id)
    fetched = await agency.inbox.fetch(delivery_id, folder / "inbox")
    return {verdict.sha256: verdict for verdict in fetched.delivery.verdicts}


async def test_issued_elsewhere_with_a_large_annex(site: Site, papers: Papers, files: Files) -> None:
    client = site.agency(SOFTWARE)
    path = files.large()
    main = await client.attach(await papers.sealed(site, SENDER), MAIN)
    annex = await client.attach(path, ANNEX, detached_signatures=[await files.leaders(path)])
    taken = await client.submit(document(main, annex), [SIXTH], issued(7))
    sent = await client.wait_issued(taken.submission_id)
    assert sent.document.attachments[1] == annex, "bytes and signatures are never altered"
    verdicts = await arrived(site, sent.document.document_id, files.folder)
    assert [verdicts[a.sha256].verdict for a in (main, annex)] == [VALID, VALID]
    found = verdicts[annex.sha256]
    assert (found.level, list(found.signers)) == ("B-T", ["Nguyễn Văn Mẫu (TEST - MẪU)"])
    assert found.HasField("timestamp_time")


async def test_issued_elsewhere_with_a_large_main(site: Site, files: Files) -> None:
    client, path = site.agency(SOFTWARE), files.large(2)
    both = [await files.leaders(path), await files.agencys(path)]
    main = await client.attach(path, MAIN, detached_signatures=both)
    taken = await client.submit(document(main), [SIXTH], issued(8))
    sent = await client.wait_issued(taken.submission_id)
    verdicts = await arrived(site, sent.document.document_id, files.folder)
    assert (verdicts[main.sha256].verdict, len(verdicts[main.sha256].signers)) == (VALID, 2)


async def test_issued_here_the_agency_signs_beside_a_large_annex(
    site: Site, papers: Papers, files: Files
) -> None:
    clerk = site.agency(CLERK)
    main = await clerk.attach(await papers.signed(site), MAIN)
    own, plain = files.large(3), files.large(4)
    signed_by_leader = await files.leaders(own)
    first = await clerk.attach(own, ANNEX, detached_signatures=[signed_by_leader])
    second = await clerk.attach(plain, ANNEX)
    slides = await clerk.attach(ooxml.pptx(files.folder / "trinh-bay.pptx"), ANNEX)
    taken = await clerk.submit(document(main, first, second, slides), [SIXTH], HERE)
    sent = await clerk.wait_issued(taken.submission_id)
    _, one, two, small = sent.document.attachments
    assert (one.sha256, two.sha256) == (first.sha256, second.sha256), "a large file stays as it is"
    assert list(one.detached_signatures[:-1]) == [signed_by_leader]
    assert (len(one.detached_signatures), len(two.detached_signatures)) == (2, 1)
    assert small.sha256 != slides.sha256, "a small one is sealed inside"
    assert not small.detached_signatures
    report = await clerk.signing.validate_digest(plain, two.detached_signatures)
    assert (report.verdict, report.level, report.signatures[0].role) == (VALID, "B-T", "AGENCY")
    assert (int(report.number), report.notation) == (sent.document.number, sent.document.notation)
    verdicts = await arrived(site, sent.document.document_id, files.folder)
    assert {(v.verdict, v.level) for v in verdicts.values()} == {(VALID, "B-T")}
    assert len(verdicts) == 4


async def test_pptx_goes_both_ways(site: Site, papers: Papers, files: Files) -> None:
    """Signed by the leader, sent as it is; the recipient's node finds it valid."""
    client = site.agency(SOFTWARE)
    slides = files.folder / "trinh-bay-ky.pptx"
    await site.agency(LEADER).signing.sign(ooxml.pptx(files.folder / "trinh-bay.pptx"), slides)
    main = await client.attach(await papers.sealed(site, SENDER), MAIN)
    annex = await client.attach(slides, ANNEX)
    assert annex.media_type.endswith("presentationml.presentation")
    taken = await client.submit(document(main, annex), [SIXTH], issued(9))
    sent = await client.wait_issued(taken.submission_id)
    verdicts = await arrived(site, sent.document.document_id, files.folder)
    assert (verdicts[annex.sha256].verdict, verdicts[annex.sha256].level) == (VALID, "B-T")


FIRST, SECOND = "document.attachments[0]", "document.attachments[1]"


async def test_what_is_refused(site: Site, papers: Papers, files: Files) -> None:
    bench = Bench(site, papers, files.folder)
    path, other = files.large(5), files.large(6)
    good, foreign = await files.leaders(path), await files.leaders(other)
    sealed = (await papers.sealed(site, SENDER)).read_bytes()

    async def annex(*signatures: bytes, content: Path = path) -> document_pb2.Attachment:
        made = await bench.file(content.read_bytes(), ANNEX)
        made.detached_signatures.extend(signatures)
        return made

    async def case(
        kind: type[DomainError], reason: str, field: str, *attached: document_pb2.Attachment, here: bool
    ) -> None:
        request = await bench.request(*attached, issue=HERE if here else issued(11))
        async with nothing_written(site):
            await refused(bench.submit(request), kind, reason, field)

    main, small = await bench.file(sealed), await bench.main()
    beside = f"{SECOND}.detached_signatures"
    invalid, missing = "DETACHED_SIGNATURE_INVALID", "DETACHED_SIGNATURE_MISSING"
    await case(FailedPrecondition, missing, beside, main, await annex(), here=False)
    await case(InvalidArgument, invalid, beside, main, await annex(foreign), here=False)
    await case(InvalidArgument, invalid, beside, main, await annex(good, b"junk"), here=False)
    await case(InvalidArgument, invalid, beside, small, await annex(foreign), here=True)
    await case(InvalidArgument, invalid, beside, small, await annex(*[good] * 4), here=True)
    await case(InvalidArgument, invalid, beside, main, await annex(*[good] * 5), here=False)
    await case(InvalidArgument, invalid, beside, main, await annex(b""), here=False)
    await case(InvalidArgument, invalid, beside, main, await annex(bytes(33 * 1024)), here=False)
    unexpected = "DETACHED_SIGNATURE_UNEXPECTED"
    letter = await annex(good, content=papers.letter())
    await case(InvalidArgument, unexpected, beside, main, letter, here=False)
    many = [await annex() for _ in range(9)]
    await case(InvalidArgument, "TOO_MANY_ITEMS", "document.attachments", small, *many, here=True)

    def as_main(*signatures: bytes) -> document_pb2.Attachment:
        made = document_pb2.Attachment()
        made.CopyFrom(letter)
        made.role, made.sha256, made.size_bytes = MAIN, many[0].sha256, 0
        del made.detached_signatures[:]
        made.detached_signatures.extend(signatures)
        return made

    agencys, others = await files.agencys(path), await files.agencys(path, FIFTH)
    await case(ResourceExhausted, "ATTACHMENT_TOO_LARGE", FIRST, as_main(good), here=True)
    await case(FailedPrecondition, "LEADER_SIGNATURE_MISSING", FIRST, as_main(agencys), here=False)
    await case(FailedPrecondition, "AGENCY_SIGNATURE_MISSING", FIRST, as_main(good), here=False)
    await case(FailedPrecondition, "AGENCY_SIGNATURE_MISSING", FIRST, as_main(good, others), here=False)
    huge = await annex(good, content=files.large(7, LARGEST + 1))
    await case(ResourceExhausted, "ATTACHMENT_TOO_LARGE", SECOND, main, huge, here=False)


@pytest.mark.parametrize("step", ["submission.sealed.stored", "submission.stamped.stored"])
async def test_the_node_dies_while_it_signs_beside(
    site: Site, papers: Papers, files: Files, step: str
) -> None:
    clerk = site.agency(CLERK)
    main = await clerk.attach(await papers.signed(site), MAIN)
    annex = await clerk.attach(files.large(8), ANNEX)
    what, once = document(main, annex), uuid4()
    taken = await dying_at(site, step, lambda: clerk.submit(what, [SIXTH], HERE, request_id=once))
    sent = await clerk.wait_issued(taken.submission_id)
    verdicts = await arrived(site, sent.document.document_id, files.folder)
    assert {(v.verdict, v.level) for v in verdicts.values()} == {(VALID, "B-T")}
    assert len(sent.document.attachments[1].detached_signatures) == 1
    if step == "submission.stamped.stored":
        rows = await site.rows(
            "signing", "SELECT 1 FROM signature WHERE document_id = $1", sent.document.document_id
        )
        assert len(rows) == 2, "what was sealed and persisted is not sealed again"


async def test_nobody_looks_into_what_came_too_large(site: Site, papers: Papers, files: Files) -> None:
    """Sent by a node that parses more than the recipient's: here the same node, with another limit since."""
    client = site.agency(SOFTWARE)
    main = await client.attach(await papers.sealed(site, SENDER), MAIN)
    annex = await client.attach(ooxml.xlsx(files.folder / "bang.xlsx"), ANNEX)
    what, once = document(main, annex), uuid4()
    routing, signing = site.settings.routing, site.settings.signing
    kept = routing.max_parse_bytes, signing.max_document_bytes

    def lower() -> None:
        # The workbook is above signing's limit, the letter above routing's too.
        object.__setattr__(routing, "max_parse_bytes", annex.size_bytes)
        object.__setattr__(signing, "max_document_bytes", annex.size_bytes - 1)

    async def act() -> Submission:
        return await client.submit(what, [SIXTH], issued(12), request_id=once)

    try:
        taken = await dying_at(site, "arrival.before", act, lower)
        verdicts = await arrived(site, taken.document.document_id, files.folder)
        for sha256 in (main.sha256, annex.sha256):
            assert (verdicts[sha256].verdict, list(verdicts[sha256].reasons)) == (
                INVALID,
                ["DOCUMENT_TOO_LARGE"],
            )
    finally:
        object.__setattr__(routing, "max_parse_bytes", kept[0])
        object.__setattr__(signing, "max_document_bytes", kept[1])
        await restarted(site)


async def test_a_file_that_a_seal_would_make_too_large_is_signed_beside(
    site: Site, papers: Papers, files: Files
) -> None:
    """Sealed inside it would grow over the limit, and no recipient would look into it."""
    bench = Bench(site, papers, files.folder)
    content = padded(papers.letter().read_bytes(), PARSED - 1000)
    annex = await bench.file(content, ANNEX)
    clerk = site.agency(CLERK)
    main = await clerk.attach(await papers.signed(site), MAIN)
    taken = await clerk.submit(document(main, annex), [SIXTH], HERE)
    sent = await clerk.wait_issued(taken.submission_id)
    found = sent.document.attachments[1]
    assert (found.sha256, len(found.detached_signatures)) == (annex.sha256, 1)
    verdicts = await arrived(site, sent.document.document_id, files.folder)
    assert {(v.verdict, v.level) for v in verdicts.values()} == {(VALID, "B-T")}
    as_main = await bench.file(content, MAIN)
    async with nothing_written(site):
        request = await bench.request(as_main)
        await refused(bench.submit(request), ResourceExhausted, "ATTACHMENT_TOO_LARGE", FIRST)
    # Sent as it is it grows no more: a file of that size may come with what is inside it.
    client = site.agency(SOFTWARE)
    sealed = await client.attach(await papers.sealed(site, SENDER), MAIN)
    path = files.folder / "plain.pdf"
    path.write_bytes(content)
    plain = await client.attach(path, ANNEX)
    taken = await client.submit(document(sealed, plain), [SIXTH], issued(13))
    assert (await client.wait_issued(taken.submission_id)).document.attachments[1] == plain


async def test_what_was_sealed_inside_is_stamped_inside_whatever_the_limit_is_by_then(
    site: Site, papers: Papers, files: Files
) -> None:
    clerk = site.agency(CLERK)
    main = await clerk.attach(await papers.signed(site), MAIN)
    annex = await clerk.attach(ooxml.docx(files.folder / "phu-luc.docx"), ANNEX)
    what, once = document(main, annex), uuid4()
    routing, kept = site.settings.routing, site.settings.routing.max_parse_bytes

    def lower() -> None:
        object.__setattr__(routing, "max_parse_bytes", annex.size_bytes)

    async def act() -> Submission:
        return await clerk.submit(what, [SIXTH], HERE, request_id=once)

    try:
        taken = await dying_at(site, "submission.sealed.before", act, lower)
        sent = await clerk.wait_issued(taken.submission_id)
        assert not any(a.detached_signatures for a in sent.document.attachments)
    finally:
        object.__setattr__(routing, "max_parse_bytes", kept)
        await restarted(site)


class Forger:
    """A neighbour that can have anything signed beside a file by somebody who is trusted."""

    def __init__(self, site: Site, world: World, files: Files) -> None:
        self._site = site
        self._world = world
        self._files = files

    async def beside(self, content: bytes) -> bytes:
        path = self._files.folder / "to-sign.pdf"
        path.write_bytes(content)
        return await self._files.agencys(path, FIFTH)

    async def send(
        self, content: bytes, signatures: list[bytes], size: int | None = None
    ) -> tuple[document_pb2.Verdict.ValueType, list[str]]:
        """The verdict at arrival on a MAIN of these bytes that is said to be as long as `size`."""
        path = self._files.folder / "forged.pdf"
        path.write_bytes(content)
        # The bytes are there, as if pulled: how they came decides nothing.
        main = await self._site.agency(client_of(SIXTH)).attach(path, MAIN)
        main.size_bytes = len(content) if size is None else size
        main.detached_signatures.extend(signatures)
        riding = (content,) if main.size_bytes <= 64 * 1024 else ()
        transfer = parcel(self._world, attachments=[main], blobs=riding)
        async with linked(self._site) as neighbour:
            assert [reason for _, reason in await neighbour.answers(transfer)] == [""]
        payload = document_pb2.EnvelopePayload.FromString(transfer.envelope.payload)
        agency, delivery_id = await delivery_of(self._site, SIXTH, payload.document.document_id)
        [delivery] = [d for d in await agency.inbox.all() if d.delivery_id == delivery_id]
        [verdict] = delivery.verdicts
        return verdict.verdict, list(verdict.reasons)


async def test_a_signature_beside_a_small_file_excuses_nothing_inside(
    site: Site, world: World, papers: Papers, files: Files
) -> None:
    forger = Forger(site, world, files)
    sealed = await papers.sealed(site, SENDER)
    tampered = updated(sealed, files.folder / "tampered.pdf", swap_first_page).read_bytes()
    over_it = await forger.beside(tampered)
    assert (await forger.send(tampered, [over_it]))[0] == INVALID
    assert (await forger.send(tampered, []))[0] == INVALID, "with or without it"
    # Said to be larger than what is looked into, or of another size at all.
    assert await forger.send(tampered, [over_it], PARSED + 1) == (INVALID, ["SIZE_MISMATCH"])
    plain = papers.letter().read_bytes()
    beside = await forger.beside(plain)
    assert await forger.send(plain, [beside], len(plain) - 1) == (INVALID, ["SIZE_MISMATCH"])
    # What is honest stays good: nothing inside and one beside that holds.
    assert await forger.send(plain, [beside]) == (VALID, [])
    assert (await forger.send(sealed.read_bytes(), [beside]))[0] == INVALID, "beside another file"
    assert (await forger.send(sealed.read_bytes(), []))[0] == VALID
