"""Pings over four nodes in a row, each with its own databases, certificates and real links."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from lienthong.clock import FakeClock
from lienthong.errors import NotFound, PermissionDenied, ResourceExhausted, Unavailable
from lienthong.ids import new_id
from lienthong.mesh.topology import Topology
from lienthong.routing.v1 import link_pb2, queue_pb2, queue_pb2_grpc

from services.routing.domain import Tree
from services.routing.ping import Pings
from tests.services.routing.papers import CLERK
from tests.services.routing.test_routing_links import linked, parcel
from tests.support.node import Site, World
from tests.support.postgres import Databases

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROW = ("G22", "H01", "H01.15", "H01.15.07")
_TOPOLOGY = """
trust_domain: lienthong.test
nodes:
  - {node: G22, name: Văn phòng MẪU, tier: CENTRAL}
  - {node: H01, name: Tỉnh MẪU, tier: PROVINCE, parent: G22}
  - {node: H01.15, name: Huyện MẪU, tier: DISTRICT, parent: H01}
  - {node: H01.15.07, name: Xã MẪU, tier: COMMUNE, parent: H01.15}
organizations:
  - {code: G22, name: Văn phòng MẪU, tier: CENTRAL, node: G22}
  - {code: H01, name: Tỉnh MẪU, tier: PROVINCE, node: H01}
  - {code: H01.15, name: Huyện MẪU, tier: DISTRICT, node: H01.15}
  - {code: H01.15.07, name: Xã MẪU, tier: COMMUNE, node: H01.15.07}
operators: [quan-tri]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def row(
    _databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Site]]:
    """Four nodes, linked child to parent."""
    world = World.create(Topology.parse(_TOPOLOGY), tmp_path_factory.mktemp("row"))
    sites: dict[str, Site] = {}
    try:
        for node in ROW:
            folder = tmp_path_factory.mktemp(node.replace(".", "-"))
            sites[node] = await (await Site.create(world, node, _databases, folder)).start()
        for node, child in itertools.pairwise(ROW):
            await connected(sites[node], child)
        yield sites
    finally:
        for site in sites.values():
            await site.close()


async def connected(site: Site, peer: str, *, wanted: bool = True) -> None:
    operator = site.operator()
    async with asyncio.timeout(30):
        while True:
            there = {d.node for d in await operator.destinations() if d.connected}
            if (peer in there) == wanted:
                return
            await asyncio.sleep(0.05)


def nodes(hops: list[queue_pb2.PingHop]) -> list[str]:
    return [hop.node for hop in hops]


async def test_the_way_is_told_hop_by_hop_and_grows_shorter(row: dict[str, Site]) -> None:
    for start, target, way in (
        ("G22", "H01.15.07", ROW),
        ("H01.15.07", "G22", ROW[::-1]),
        ("H01", "H01.15", ("H01", "H01.15")),
    ):
        hops = list(await row[start].operator().ping(target))
        assert nodes(hops) == list(way)
        onward = [hop.onward.ToNanoseconds() for hop in hops]
        assert onward[-1] == 0
        assert onward == sorted(onward, reverse=True)
        assert len(set(onward)) == len(onward), "each link takes some time"
        times = [hop.time.ToNanoseconds() for hop in hops]
        assert times == sorted(times), "one machine, one clock: the ping came to each after the one before"


async def test_a_node_reaches_itself(row: dict[str, Site]) -> None:
    [hop] = await row["H01"].operator().ping("H01")
    assert (hop.node, hop.onward.ToNanoseconds()) == ("H01", 0)


async def test_a_node_that_nobody_knows_is_refused_by_the_root(row: dict[str, Site]) -> None:
    with pytest.raises(NotFound) as refusal:
        await row["H01.15.07"].operator().ping("Z99")
    assert refusal.value.reason == "NODE_UNKNOWN"
    assert refusal.value.metadata["reached"] == "G22", "the unknown goes up, and the root refuses it"
    with pytest.raises(NotFound):
        await row["G22"].operator().ping("x" * 100)


async def test_who_may_ping(row: dict[str, Site], site: Site) -> None:
    stub = queue_pb2_grpc.QueueServiceStub(site.channel(CLERK))
    with pytest.raises(PermissionDenied) as refusal:
        await stub.PingNode(queue_pb2.PingNodeRequest(node="G22"))
    assert refusal.value.reason == "ROLE_REFUSED"
    stub = queue_pb2_grpc.QueueServiceStub(row["H01"].channel("node/G22/node"))
    with pytest.raises(PermissionDenied):
        await stub.PingNode(queue_pb2.PingNodeRequest(node="G22"))


async def test_a_cut_link_is_told_with_the_last_node_that_was_reached(row: dict[str, Site]) -> None:
    await row["H01.15.07"].stop()
    await connected(row["H01.15"], "H01.15.07", wanted=False)
    try:
        with pytest.raises(Unavailable) as refusal:
            await row["G22"].operator().ping("H01.15.07")
        assert refusal.value.reason == "LINK_DOWN"
        assert refusal.value.metadata["reached"] == "H01.15"
        with pytest.raises(Unavailable) as refusal:
            await row["H01.15"].operator().ping("H01.15.07")
        assert (refusal.value.reason, refusal.value.metadata["reached"]) == ("LINK_DOWN", "H01.15")
    finally:
        await row["H01.15.07"].start()
        await connected(row["H01.15"], "H01.15.07")
    assert nodes(list(await row["G22"].operator().ping("H01.15.07"))) == list(ROW)


# -- the test plays the neighbour H01 of a lone G22 ----------------------------------------------------------


def ping(node: str, *path: str) -> link_pb2.LinkFrame:
    return link_pb2.LinkFrame(ping=link_pb2.Ping(ping_id=str(uuid.uuid4()), node=node, path=path))


async def test_a_neighbours_ping_is_answered_refused_or_passed_over(site: Site) -> None:
    async with linked(site) as neighbour:
        for frame, reason in (
            (ping("G22", "H01"), ""),
            (ping("H01", "G22", "H01"), "LOOP"),
            (ping("Z99", "H01"), "NODE_UNKNOWN"),
        ):
            await neighbour.send(frame)
            pong = await neighbour.receive("pong")
            assert (pong.ping_id, pong.reason, nodes(list(pong.hops))) == (
                frame.ping.ping_id,
                reason,
                ["G22"],
            )
        # Without a path, or with a longer one than there can be, nobody could be answered.
        await neighbour.send(ping("G22"))
        await neighbour.send(ping("G22", *["H01"] * 100))
        last = ping("G22", "H01")
        await neighbour.send(last)
        assert (await neighbour.receive("pong")).ping_id == last.ping.ping_id


async def test_a_neighbour_that_does_not_know_pings_leaves_them_unanswered(site: Site, world: World) -> None:
    stub = queue_pb2_grpc.QueueServiceStub(site.channel("operator/quan-tri"))
    async with linked(site) as neighbour:
        await connected(site, "H01")
        call = stub.PingNode(queue_pb2.PingNodeRequest(node="H01.15"), timeout=2)
        asked = asyncio.ensure_future(call)
        sent = await neighbour.receive("ping")
        assert (sent.node, list(sent.path)) == ("H01.15", ["G22"])
        # What comes for a ping that nobody sent changes nothing.
        await neighbour.send(link_pb2.LinkFrame(pong=link_pb2.Pong(ping_id=str(uuid.uuid4()))))
        with pytest.raises(Unavailable) as refusal:
            await asked
        assert refusal.value.reason == "PING_UNANSWERED"
        assert refusal.value.metadata["reached"] == "G22"
        # Too late: the answer is passed over, and the link goes on.
        await neighbour.send(link_pb2.LinkFrame(pong=link_pb2.Pong(ping_id=sent.ping_id)))
        assert (await neighbour.answers(parcel(world)))[0][1] == ""


async def test_reasons_that_the_contract_does_not_name_are_the_cause(site: Site) -> None:
    async with linked(site) as neighbour:
        await connected(site, "H01")
        for reason, told, kind in (
            ("LOOP", "PING_UNANSWERED", Unavailable),
            ("TOO_MANY_PINGS", "TOO_MANY_PINGS", ResourceExhausted),
            ("LINK_DOWN", "LINK_DOWN", Unavailable),
        ):
            asked = asyncio.ensure_future(site.operator().ping("H01.15"))
            sent = await neighbour.receive("ping")
            hops = [queue_pb2.PingHop(node="H01")]
            await neighbour.send(
                link_pb2.LinkFrame(pong=link_pb2.Pong(ping_id=sent.ping_id, hops=hops, reason=reason))
            )
            with pytest.raises(kind) as refusal:
                await asked
            assert getattr(refusal.value, "reason", "") == told
            metadata = refusal.value.metadata
            assert metadata["reached"] == "H01"
            assert metadata.get("cause", "") == ("LOOP" if reason == "LOOP" else "")


async def test_a_frame_of_a_later_version_is_passed_over(site: Site, world: World) -> None:
    unknown = link_pb2.LinkFrame.FromString(b"\xfa\x07\x03abc")  # field 127
    assert unknown.WhichOneof("frame") is None
    async with linked(site) as neighbour:
        await neighbour.send(unknown)
        await neighbour.send(link_pb2.LinkFrame())
        assert (await neighbour.answers(parcel(world)))[0][1] == ""


async def test_the_pings_of_one_neighbour_are_bounded_and_leave_room_for_others(site: Site) -> None:
    """A hundred that are never answered: the next is refused, not kept. Last: they stay 30 s."""
    async with linked(site) as neighbour:
        await connected(site, "H01")
        for _ in range(100):
            frame = ping("H01.15", "H01")  # to be sent back to where it came from
            await neighbour.send(frame)
            assert (await neighbour.receive("ping")).ping_id == frame.ping.ping_id
        last = ping("H01.15", "H01")
        await neighbour.send(last)
        pong = await neighbour.receive("pong")
        assert (pong.ping_id, pong.reason) == (last.ping.ping_id, "TOO_MANY_PINGS")
        asked = asyncio.ensure_future(site.operator().ping("H01"))
        sent = await neighbour.receive("ping")
        hops = [queue_pb2.PingHop(node="H01")]
        await neighbour.send(link_pb2.LinkFrame(pong=link_pb2.Pong(ping_id=sent.ping_id, hops=hops)))
        assert nodes(list(await asked)) == ["G22", "H01"]


async def test_a_frame_that_would_grow_beyond_a_message_is_passed_over(site: Site, world: World) -> None:
    """Each relay adds its name: passed on, it would break the next link (a peer could cut others' links)."""
    async with linked(site) as neighbour:
        await connected(site, "H01")
        await neighbour.send(ping("H01.15", "x" * 1_000_000))
        asked = asyncio.ensure_future(site.operator().ping("H01"))
        sent = await neighbour.receive("ping")
        assert list(sent.path) == ["G22"], "the large one went nowhere"
        hops = [queue_pb2.PingHop(node="x" * 1_000_000)]
        await neighbour.send(link_pb2.LinkFrame(pong=link_pb2.Pong(ping_id=sent.ping_id, hops=hops)))
        await neighbour.send(
            link_pb2.LinkFrame(pong=link_pb2.Pong(ping_id=sent.ping_id, hops=[queue_pb2.PingHop(node="H01")]))
        )
        assert nodes(list(await asked)) == ["G22", "H01"]


class OneLink:
    """The directory of a node with one neighbour."""

    async def tree(self) -> Tree:
        return Tree({"G22": "", "H01": "G22"})


async def test_a_ping_is_forgotten_after_half_a_minute() -> None:
    clock, sent = FakeClock(), []

    async def send(frame: link_pb2.LinkFrame) -> None:
        sent.append(frame.WhichOneof("frame"))

    pings = Pings("G22", OneLink(), clock, new_id)  # type: ignore[arg-type]
    pings.joined("H01", send)
    for _ in range(100):
        await pings.on_ping("H01", ping("H01", "X").ping)
    await pings.on_ping("H01", ping("H01", "X").ping)
    clock.advance(31.0)
    await pings.on_ping("H01", ping("H01", "X").ping)
    assert sent == ["ping"] * 100 + ["pong", "ping"]
    pings.left("H01", send)
    with pytest.raises(Unavailable) as refusal:
        await pings.ask("H01")
    assert refusal.value.reason == "LINK_DOWN"


async def test_a_slow_line_is_not_cut_by_who_stops_asking() -> None:
    """gRPC ends the whole call where a pending write is cancelled, and with it the link."""
    writing = asyncio.Event()
    cancelled: list[bool] = []

    async def send(frame: link_pb2.LinkFrame) -> None:
        writing.set()
        try:
            await asyncio.sleep(0.3)
            cancelled.append(False)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    pings = Pings("G22", OneLink(), FakeClock(), new_id)  # type: ignore[arg-type]
    pings.joined("H01", send)
    asking = asyncio.create_task(pings.ask("H01"))
    await writing.wait()
    asking.cancel()
    await asyncio.wait([asking])
    await asyncio.sleep(0.5)
    assert cancelled == [False]
