"""Destinations that are away, late, unknown or not who they say: told truthfully, and harming nobody else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from lienthong.client import MAIN, Agency
from lienthong.client.agency import Submission
from lienthong.clock import SystemClock
from lienthong.errors import PermissionDenied, Unavailable
from lienthong.mesh import Mesh
from lienthong.pki.testing import TestAuthority
from lienthong.routing.v1 import link_pb2, link_pb2_grpc, queue_pb2
from lienthong.rpc.client import channel_to
from lienthong.rpc.identity import node_dns_name
from lienthong.settings import TlsSettings
from lienthong.types.v1 import document_pb2

from tests.mesh.mail import already_issued, document, sealed_letter
from tests.mesh.waiting import delivered, eventually, reached, until
from tests.support.mesh import agency, operator, running_mesh

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]

COMMUNE, DISTRICT, PROVINCE = "H01.15.07", "H01.15", "H01"
SECOND_COMMUNE = "H01.15.09"


@pytest.fixture(scope="module")
def frail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh of our own: its nodes are killed."""
    yield from running_mesh(tmp_path_factory.mktemp("frail") / "data")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def letters(frail: Mesh, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A signed letter of each of two senders; only what is around it differs from test to test."""
    folder = tmp_path_factory.mktemp("letters")
    return {code: await sealed_letter(frail, code, folder / f"{code}.pdf") for code in ("G22", DISTRICT)}


@pytest_asyncio.fixture(loop_scope="module")
async def office(frail: Mesh) -> AsyncIterator[Agency]:
    async with agency(frail, "G22") as client:
        yield client


async def send(
    client: Agency, letter: Path, recipients: list[str], number: int, expire_time: datetime | None = None
) -> Submission:
    main = await client.attach(letter, MAIN)
    submission = await client.submit(
        document(client.organization, main), recipients, already_issued(number), expire_time=expire_time
    )
    return await client.wait_issued(submission.submission_id)


async def destination(mesh: Mesh, node: str, neighbour: str) -> queue_pb2.Destination:
    """What a node's operator sees of a neighbour."""
    async with operator(mesh, node) as people:
        found = {d.node: d for d in await people.destinations()}
    return found.get(neighbour, queue_pb2.Destination(node=neighbour))


async def start_again(mesh: Mesh, node: str) -> None:
    await asyncio.to_thread(mesh.start_node, node)
    await asyncio.to_thread(mesh.wait_ready, [node])


async def test_child_that_is_away_delays_nobody_else(
    frail: Mesh, letters: dict[str, Path], office: Agency
) -> None:
    await asyncio.to_thread(frail.kill, COMMUNE)
    try:
        began = time.monotonic()
        everyone = [PROVINCE, DISTRICT, SECOND_COMMUNE, COMMUNE]
        sent = [await send(office, letters["G22"], everyone, 600 + number) for number in range(12)]
        for submission in sent:
            await until(
                office,
                submission,
                lambda found: (
                    {r.organization for r in found.recipients if r.status == "01"}
                    == {PROVINCE, DISTRICT, SECOND_COMMUNE}
                ),
            )
        assert time.monotonic() - began < 20
        waiting = await destination(frail, DISTRICT, COMMUNE)
        assert (waiting.waiting, waiting.connected) == (len(sent), False)
        assert waiting.HasField("oldest_time")
    finally:
        await start_again(frail, COMMUNE)
    for submission in sent:
        await reached(office, submission, "01", within=15)
    async with agency(frail, COMMUNE) as commune:
        for submission in sent:
            await delivered(commune, submission)
    left = await destination(frail, DISTRICT, COMMUNE)
    assert (left.waiting, left.connected) == (0, True)


async def test_parent_that_is_away_is_dialled_with_back_off(frail: Mesh, letters: dict[str, Path]) -> None:
    async with agency(frail, DISTRICT) as district:
        await asyncio.to_thread(frail.kill, PROVINCE)
        try:
            upward = [await send(district, letters[DISTRICT], ["G22", COMMUNE], 700 + n) for n in range(5)]
            for submission in upward:
                await until(
                    district,
                    submission,
                    lambda found: [r.status for r in found.recipients if r.organization == COMMUNE] == ["01"],
                )
            tried = await eventually(lambda: _failed_at_least(frail, 3))
            assert (tried.waiting, tried.connected) == (len(upward), False)
            assert tried.HasField("retry_time")
            assert tried.reason
        finally:
            await start_again(frail, PROVINCE)
        for submission in upward:
            await reached(district, submission, "01", within=20)
        well = await destination(frail, DISTRICT, PROVINCE)
    assert (well.waiting, well.connected, well.failures) == (0, True, 0)
    assert not well.HasField("retry_time")


async def _failed_at_least(mesh: Mesh, times: int) -> queue_pb2.Destination | None:
    found = await destination(mesh, DISTRICT, PROVINCE)
    return found if found.failures >= times else None


async def test_what_expired_on_the_way_is_answered_by_who_has_it(
    frail: Mesh, letters: dict[str, Path], office: Agency
) -> None:
    await asyncio.to_thread(frail.kill, COMMUNE)
    try:
        expiry = datetime.now(UTC) + timedelta(seconds=5)
        late = await send(office, letters["G22"], [COMMUNE, DISTRICT], 800, expiry)
        await until(office, late, lambda found: any(r.status == "01" for r in found.recipients))
        await asyncio.sleep(max(0.0, (expiry - datetime.now(UTC)).total_seconds()))
    finally:
        await start_again(frail, COMMUNE)
    receipt = await negative(office, late, COMMUNE)
    assert (receipt.reason_code, receipt.node) == ("EXPIRED", DISTRICT)
    async with agency(frail, COMMUNE) as commune:
        assert late.envelope_id not in {d.envelope_id for d in await commune.inbox.all()}


async def negative(client: Agency, submission: Submission, recipient: str) -> document_pb2.Receipt:
    """The one receipt of a recipient, which says NOT_DELIVERED; the outcomes of the others stay theirs."""
    refused = document_pb2.TRANSPORT_OUTCOME_NOT_DELIVERED
    found = await until(client, submission, lambda s: all(r.outcome for r in s.recipients))
    outcomes = {r.organization: r.outcome for r in found.recipients}
    assert outcomes.pop(recipient) == refused
    assert set(outcomes.values()) == {document_pb2.TRANSPORT_OUTCOME_DELIVERED}
    receipts = await client.all_receipts(submission.document.document_id)
    [receipt] = [r for r in receipts if r.recipient == recipient]
    assert receipt.outcome == refused
    assert receipt.status == ""
    return receipt


async def test_recipient_closed_at_its_own_node_is_not_delivered(
    frail: Mesh, letters: dict[str, Path], office: Agency
) -> None:
    """The sender's directory still knows it: the decision that closed it reached the district first."""
    told = Path(
        yaml.safe_load(frail.layout.node(DISTRICT).settings.read_text())["registry"]["organizations_file"]
    )
    before = frail.layout.node(DISTRICT).settings.read_text()
    directory = yaml.safe_load(told.read_text())
    for organization in directory["organizations"]:
        if organization["code"] == SECOND_COMMUNE:
            organization["valid_to"] = "2025-07-01"
    own = told.with_name("organizations-of-the-district.yaml")
    own.write_text(yaml.safe_dump(directory, allow_unicode=True))
    frail.layout.node(DISTRICT).settings.write_text(before.replace(str(told), str(own)))
    await asyncio.to_thread(frail.stop_node, DISTRICT)
    await start_again(frail, DISTRICT)
    sent = await send(office, letters["G22"], [SECOND_COMMUNE, DISTRICT, COMMUNE], 900)
    receipt = await negative(office, sent, SECOND_COMMUNE)
    assert receipt.node == DISTRICT
    assert receipt.reason_code == "NO_ROUTE"


async def greet(mesh: Mesh, tls: TlsSettings, said: str) -> None:
    """Dial the Government Office's link and say hello; returns when it answers, raises what it refuses by."""
    channel = channel_to(tls, mesh.address("G22"), node_dns_name("G22"))
    try:
        call = link_pb2_grpc.LinkServiceStub(channel).Exchange()
        hello = link_pb2.Hello(versions=[1], node=said, instance_id="thu", epoch=1)
        try:
            async with asyncio.timeout(10):
                await call.write(link_pb2.ExchangeRequest(frame=link_pb2.LinkFrame(hello=hello)))
                # The side that was dialled also says hello: what follows it is its judgement.
                async for _ in call:
                    return
        finally:
            call.cancel()
    finally:
        await channel.close()


async def test_links_of_strangers_are_refused(frail: Mesh, tmp_path: Path) -> None:
    authority = TestAuthority.open(frail.layout.pki, SystemClock())
    foreign = TestAuthority.create(tmp_path / "foreign", SystemClock(), frail.topology.trust_domain)
    unknown = authority.tls_node("Z99")
    forged = foreign.tls_node(PROVINCE)
    roots = frail.layout.roots

    with pytest.raises(PermissionDenied) as refused:
        await greet(
            frail, TlsSettings(certificate=unknown.chain_path, key=unknown.key_path, roots=roots), "Z99"
        )
    assert refused.value.reason == "NODE_UNKNOWN"
    with pytest.raises(PermissionDenied) as refused:
        await greet(frail, frail.layout.node(DISTRICT).tls, DISTRICT)
    assert refused.value.reason == "NODE_NOT_NEIGHBOUR"
    with pytest.raises(PermissionDenied):
        await greet(frail, frail.tls("org/H01/client/qlvb"), PROVINCE)
    with pytest.raises(Unavailable):
        await greet(
            frail, TlsSettings(certificate=forged.chain_path, key=forged.key_path, roots=roots), PROVINCE
        )
    # The real province's link never noticed.
    assert (await destination(frail, "G22", PROVINCE)).connected


async def test_nodes_that_stop_together_end_in_good_order(frail: Mesh) -> None:
    """The last test of this mesh. Links break on both sides while both sides are told to end."""
    nodes = [node.node for node in frail.topology.nodes]
    await asyncio.to_thread(frail.processes.stop, nodes, grace=20.0)
    assert {node: frail.processes.exit_code(node) for node in nodes} == dict.fromkeys(nodes, 0)
