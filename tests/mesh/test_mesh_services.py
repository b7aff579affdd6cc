"""Four nodes, each service a process of its own with its own certificate, as in production."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from cryptography import x509
from lienthong.client import MAIN, Agency
from lienthong.client.agency import IssueHere
from lienthong.errors import NotFound, PermissionDenied
from lienthong.ids import new_id
from lienthong.mesh import Mesh
from lienthong.pki.identity import identity_of
from lienthong.registry.v1 import register_pb2, register_pb2_grpc
from lienthong.reporting.v1 import reporting_pb2
from lienthong.rpc.client import Channels
from lienthong.settings import SERVICES
from lienthong.types.v1 import document_pb2

from tests.mesh.mail import NOTATION, already_issued, document, leader_signed, sealed_letter
from tests.mesh.waiting import delivered, eventually, reached
from tests.support.mesh import agency, running_mesh

pytestmark = [pytest.mark.mesh, pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]

COMMUNE = "H01.15.07"
CHAIN = ["G22", "H01", "H01.15", COMMUNE]


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Twenty processes."""
    yield from running_mesh(tmp_path_factory.mktemp("parted") / "data", mode="services")


async def test_each_process_has_a_certificate_and_a_port_of_its_own(parted: Mesh) -> None:
    assert len(parted.parts()) == len(CHAIN) * len(SERVICES)
    for part in parted.parts():
        content = parted.layout.part(part).tls.certificate.read_bytes()
        assert identity_of(x509.load_pem_x509_certificate(content)).path == f"node/{part.node}/{part.service}"
        command = psutil.Process(parted.processes.pid(part.name)).cmdline()
        assert command[1:] == ["-m", f"services.{part.service}"]
    addresses = [address for node in CHAIN for address in parted.addresses(node).values()]
    assert len(set(addresses)) == len(addresses)


async def test_a_document_is_issued_goes_down_the_chain_and_is_accepted(parted: Mesh, tmp_path: Path) -> None:
    signed = await leader_signed(parted, "G22", tmp_path / "ban-hanh.pdf")
    async with agency(parted, "G22", "clerk") as office, agency(parted, COMMUNE) as commune:
        main = await office.attach(signed, MAIN)
        assert main.size_bytes > 64 * 1024, "so large that storages must talk to each other"
        submitted = await office.submit(document("G22", main), [COMMUNE], IssueHere(notation=NOTATION))
        issued = await office.wait_issued(submitted.submission_id)
        await reached(office, issued, "01")

        delivery = await delivered(commune, issued)
        fetched = await commune.inbox.fetch(delivery.delivery_id, tmp_path / "den")
        await commune.inbox.confirm(delivery.delivery_id)
        accepted = await commune.inbox.accept(delivery.delivery_id)
        await reached(office, issued, "03")

        journey = await eventually(lambda: whole_journey(office, issued.document.document_id))
    assert issued.document.number == 1
    assert fetched.signer.identity.organization == "G22"
    assert accepted.arrival_number == 1
    [recipient] = journey.branches
    assert [hop.node for hop in recipient.hops] == CHAIN
    assert recipient.arrival_number == 1


async def whole_journey(office: Agency, document_id: str) -> reporting_pb2.Journey | None:
    """The journey at the sender's own node, once reporting has read that the document was accepted."""
    try:
        journey = await office.journey(document_id)
    except NotFound:
        return None
    known = [fact.status for branch in journey.branches for fact in branch.statuses]
    return journey if "03" in known else None


async def test_own_software_sends_up_the_chain_with_stamps_of_its_node(parted: Mesh, tmp_path: Path) -> None:
    letter = await sealed_letter(parted, COMMUNE, tmp_path / "bao-cao.pdf")
    async with agency(parted, COMMUNE) as commune, agency(parted, "G22") as office:
        main = await commune.attach(letter, MAIN)
        sent = await commune.submit(document(COMMUNE, main), ["G22"], already_issued(3))
        issued = await commune.wait_issued(sent.submission_id)
        await reached(commune, issued, "01")
        receipts = await commune.all_receipts(issued.document.document_id)
        [receipt] = receipts
        arrived = await delivered(office, issued)
    assert receipt.outcome == document_pb2.TRANSPORT_OUTCOME_DELIVERED
    assert [verdict.verdict for verdict in receipt.verdicts] == [document_pb2.VERDICT_VALID]
    assert arrived.document.document_id == issued.document.document_id


async def test_only_routing_takes_numbers(parted: Mesh) -> None:
    """What one process may hide shows between five: the registers obey routing, not just any colleague."""
    request = register_pb2.ReserveNumbersRequest()
    assert request.IsInitialized()
    for service in ("reporting", "storage"):
        tls = parted.layout.node("G22").process(service).tls
        channels = Channels(tls, parted.addresses("G22"), node="G22")
        try:
            registers = channels.stub(register_pb2_grpc.RegisterServiceStub, "registry")
            with pytest.raises(PermissionDenied, match="ROLE_REFUSED"):
                await registers.ReserveNumbers(request)
        finally:
            await channels.close()


async def test_one_service_that_is_away_stops_no_other(parted: Mesh, tmp_path: Path) -> None:
    """Signing of one node is killed: its mail waits, nothing is lost, and goes on when signing is back."""
    letter = await sealed_letter(parted, "H01", tmp_path / "cho.pdf")
    parted.processes.kill("G22/signing")
    async with agency(parted, "H01") as province, agency(parted, "G22") as office:
        main = await province.attach(letter, MAIN)
        sent = await province.submit(document("H01", main), ["G22"], already_issued(4), request_id=new_id())
        issued = await province.wait_issued(sent.submission_id)
        await office.inbox.all()
        settings = parted.layout.node("G22").process("signing")
        parted.processes.start("G22/signing", settings.settings, settings.log, module="services.signing")
        await reached(province, issued, "01")
