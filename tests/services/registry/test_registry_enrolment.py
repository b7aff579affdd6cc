"""A node joins: invited by an operator, by a token that works once, over TLS without a certificate."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from lienthong.client import Connection
from lienthong.clock import FakeClock, SystemClock
from lienthong.db import Database
from lienthong.enrolment import Token, enrol, invite
from lienthong.errors import AlreadyExists, FailedPrecondition, InvalidArgument, PermissionDenied
from lienthong.pki.identity import Identity, Kind, identity_of
from lienthong.pki.issuing import Issued
from lienthong.pki.requests import certificate_request, identities_of
from lienthong.pki.trust import TrustStore
from lienthong.pki.usage import ENVELOPE_USAGES, TRANSPORT_USAGES
from lienthong.registry.v1 import directory_pb2, enrolment_pb2, enrolment_pb2_grpc
from lienthong.rpc.newcomers import newcomer_channel
from lienthong.settings import DatabaseSettings

from services.registry.app import build
from services.registry.settings import EnrolmentSettings, IssuersSettings, RegistrySettings
from tests.services.registry.asking import EXAMPLE, new_id
from tests.support.postgres import Databases
from tests.support.serving import TRUST_DOMAIN, Pki, free_port, serving

NODE = "H01.20"


@dataclass
class Parent:
    """H01's registry, and how an operator and a newcomer reach it."""

    pki: Pki
    address: str
    enrolment_address: str
    database: Database
    clock: FakeClock
    stack: AsyncExitStack

    def connection(self, who: str = "operator/an") -> Connection:
        connection = Connection(self.pki.tls(who), self.address, "H01", patience=0.0)
        self.stack.push_async_callback(connection.close)
        return connection

    async def invite(self, code: str = NODE, **options: timedelta) -> Token:
        node = directory_pb2.Node(node=code, name="Huyện MẪU Hai", tier=directory_pb2.TIER_DISTRICT)
        organization = directory_pb2.Organization(superior="H01", valid_from="2020-01-01")
        return await invite(self.connection(), node, organization, **options)

    async def nodes(self) -> set[str]:
        return {row["node"] for row in await self.database.fetch("SELECT node FROM node")}


@pytest_asyncio.fixture
async def parent(databases: Databases, pki: Pki) -> AsyncIterator[Parent]:
    async for running in _running(databases, pki, with_issuers=True):
        yield running


async def _running(databases: Databases, pki: Pki, *, with_issuers: bool) -> AsyncIterator[Parent]:
    # From now: the certificates of the other callers are judged by gRPC, whose clock is the system's.
    clock, address = FakeClock(SystemClock().now()), f"127.0.0.1:{free_port()}"
    database = await databases.open("services.registry")
    ca = pki.authority.folder / "ca"
    issuers = IssuersSettings(transport=ca / "transport", document=ca / "document")
    settings = RegistrySettings(
        database=DatabaseSettings(url=database.url),
        organizations_file=EXAMPLE,
        enrolment=EnrolmentSettings(
            listen=address,
            address=address,
            addresses={"routing": "nut-h01.mau:7443"},
            document_chain=pki.authority.document_chain_path,
            issuers=issuers if with_issuers else None,
        ),
    )
    node = pki.settings("H01")
    app = await build(settings, node=node, database=database, clock=clock)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        main = await stack.enter_async_context(serving([app], node))
        yield Parent(pki, main, address, database, clock, stack)


def folders(folder: Path) -> dict[Identity, Path]:
    wanted = identities_of(NODE, NODE, TRUST_DOMAIN, ["node"])
    return {identity: folder / str(place) for place, identity in enumerate(wanted)}


async def test_a_token_makes_a_node(parent: Parent, tmp_path: Path) -> None:
    token = await parent.invite()
    token.write(tmp_path / "token")
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    wanted = folders(tmp_path / "keys")
    enrolled = await enrol(Token.read(tmp_path / "token"), wanted, clock=parent.clock)
    assert enrolled.response.node.parent == "H01"
    assert dict(enrolled.response.parent_addresses) == {"routing": "nut-h01.mau:7443"}
    assert enrolled.response.roots == parent.pki.authority.roots_path.read_bytes()
    assert {node.node for node in enrolled.snapshot.nodes} >= {"G22", "H01", NODE}
    assert {o.code: o.node for o in enrolled.snapshot.organizations}[NODE] == NODE
    assert NODE in await parent.nodes()
    trust = TrustStore([parent.pki.authority.root()])
    for identity, folder in wanted.items():
        files = Issued(folder)
        assert identity_of(files.certificate()) == identity
        usages = TRANSPORT_USAGES if identity.service else ENVELOPE_USAGES
        trust.verify_der(files.chain_der(), parent.clock.now(), usages)
        assert files.key_path.stat().st_mode & 0o777 == 0o600


async def test_the_new_certificate_opens_the_parents_port(parent: Parent, tmp_path: Path) -> None:
    wanted = folders(tmp_path)
    await enrol(await parent.invite(), wanted, clock=parent.clock)
    files = Issued(next(folder for identity, folder in wanted.items() if identity.service))
    tls = parent.pki.tls("operator/an").model_copy(
        update={"certificate": files.chain_path, "key": files.key_path}
    )
    async with Connection(tls, parent.address, "H01", patience=0.0) as connection:
        stub = connection.stub(enrolment_pb2_grpc.EnrolmentServiceStub, "registry")
        with pytest.raises(PermissionDenied) as refused:  # known, but as a peer: no operator
            await stub.InviteNode(enrolment_pb2.InviteNodeRequest(request_id=new_id()))
    assert refused.value.reason == "ROLE_REFUSED"


async def test_a_repeat_gets_the_first_answer_and_another_gets_nothing(
    parent: Parent, tmp_path: Path
) -> None:
    token = await parent.invite()
    first = await enrol(token, folders(tmp_path / "mine"), clock=parent.clock)
    again = await enrol(token, folders(tmp_path / "mine"), clock=parent.clock)
    assert again.response == first.response
    with pytest.raises(PermissionDenied) as refused:
        await enrol(token, folders(tmp_path / "thief"), clock=parent.clock)
    assert refused.value.reason == "TOKEN_USED"


async def test_of_two_at_once_one_joins(parent: Parent, tmp_path: Path) -> None:
    token = await parent.invite()
    tries = await asyncio.gather(
        *(enrol(token, folders(tmp_path / str(i)), clock=parent.clock) for i in range(4)),
        return_exceptions=True,
    )
    refused = [one for one in tries if isinstance(one, PermissionDenied)]
    assert {error.reason for error in refused} == {"TOKEN_USED"}
    assert len(refused) == 3


async def test_a_token_ends(parent: Parent, tmp_path: Path) -> None:
    token = await parent.invite(lifetime=timedelta(hours=1))
    parent.clock.advance(3601)
    with pytest.raises(PermissionDenied) as refused:
        await enrol(token, folders(tmp_path), clock=parent.clock)
    assert refused.value.reason == "TOKEN_EXPIRED"
    assert NODE not in await parent.nodes()


async def test_a_later_invitation_ends_the_earlier(parent: Parent, tmp_path: Path) -> None:
    earlier, later = await parent.invite(), await parent.invite()
    with pytest.raises(PermissionDenied) as refused:
        await enrol(earlier, folders(tmp_path), clock=parent.clock)
    assert refused.value.reason == "TOKEN_UNKNOWN"
    await enrol(later, folders(tmp_path), clock=parent.clock)


async def test_who_joined_is_not_invited_again(parent: Parent, tmp_path: Path) -> None:
    await enrol(await parent.invite(), folders(tmp_path), clock=parent.clock)
    with pytest.raises(AlreadyExists) as refused:
        await parent.invite()
    assert refused.value.reason == "NODE_ENROLLED"


@pytest.mark.parametrize(
    ("identity", "problem"),
    [
        (Identity(TRUST_DOMAIN, Kind.NODE, node="G22", service="node"), "not granted"),
        (Identity(TRUST_DOMAIN, Kind.OPERATOR, name="an"), "not granted"),
        (Identity(TRUST_DOMAIN, Kind.ORGANIZATION, organization="G22"), "not granted"),
        (Identity(TRUST_DOMAIN, Kind.CLERK, organization=NODE, name="an"), "not granted"),
    ],
    ids=["other node", "operator", "other organization", "clerk"],
)
async def test_no_other_identity_is_granted(
    parent: Parent, tmp_path: Path, identity: Identity, problem: str
) -> None:
    token = await parent.invite()
    with pytest.raises(InvalidArgument, match=problem) as refused:
        await enrol(token, {identity: tmp_path / "k"}, clock=parent.clock)
    assert refused.value.reason == "CERTIFICATE_REQUEST_INVALID"
    assert NODE not in await parent.nodes(), "nothing half done"
    await enrol(token, folders(tmp_path), clock=parent.clock)  # the token is not used up by a refusal


@pytest.mark.parametrize("der", [b"", b"junk", b"\x30" * 9000], ids=["empty", "junk", "large"])
async def test_a_bad_request_is_named(parent: Parent, der: bytes) -> None:
    token = await parent.invite()
    channel = newcomer_channel(token.address, token.roots.encode(), "H01")
    request = enrolment_pb2.EnrolNodeRequest(
        request_id=new_id(), secret=token.secret, certificate_requests=[der]
    )
    try:
        with pytest.raises(InvalidArgument) as refused:
            await enrolment_pb2_grpc.EnrolmentServiceStub(channel).EnrolNode(request)
    finally:
        await channel.close()
    assert refused.value.reason == "CERTIFICATE_REQUEST_INVALID"
    assert refused.value.violations[0].field == "certificate_requests[0]"


async def test_a_p384_key_is_refused(parent: Parent, tmp_path: Path) -> None:
    identity = Identity(TRUST_DOMAIN, Kind.NODE, node=NODE)
    folder = tmp_path / "k"
    folder.mkdir()
    (folder / "request.der").write_bytes(
        certificate_request(ec.generate_private_key(ec.SECP384R1()), identity)
    )
    with pytest.raises(InvalidArgument, match="P-256"):
        await enrol(await parent.invite(), {identity: folder}, clock=parent.clock)


async def test_the_listener_for_newcomers_offers_nothing_else(parent: Parent) -> None:
    token = await parent.invite()
    channel = newcomer_channel(parent.enrolment_address, token.roots.encode(), "H01")
    try:
        with pytest.raises(PermissionDenied) as refused:
            await enrolment_pb2_grpc.EnrolmentServiceStub(channel).InviteNode(
                enrolment_pb2.InviteNodeRequest(request_id=new_id())
            )
        assert refused.value.reason == "ROLE_REFUSED"
        from lienthong.registry.v1 import directory_pb2_grpc

        with pytest.raises(FailedPrecondition) as unknown:
            await directory_pb2_grpc.DirectoryServiceStub(channel).ListNodes(directory_pb2.ListNodesRequest())
        assert unknown.value.reason == "METHOD_UNKNOWN"
    finally:
        await channel.close()


@pytest.mark.parametrize("who", ["org/H01/clerk/an", "node/H01/routing", "auditor/an", "node/G22/node"])
async def test_only_operators_invite(parent: Parent, who: str) -> None:
    with pytest.raises(PermissionDenied) as refused:
        await invite(
            parent.connection(who),
            directory_pb2.Node(node=NODE, name="MẪU", tier=directory_pb2.TIER_DISTRICT),
            directory_pb2.Organization(),
        )
    assert refused.value.reason == "ROLE_REFUSED"


async def test_a_bad_invitation_is_refused_before_there_is_a_token(parent: Parent) -> None:
    connection = parent.connection()
    node = directory_pb2.Node(node=NODE, name="MẪU", tier=directory_pb2.TIER_DISTRICT, parent="G22")
    with pytest.raises(InvalidArgument) as refused:
        await invite(connection, node, directory_pb2.Organization())
    assert refused.value.reason == "NODE_TREE_BROKEN"
    with pytest.raises(InvalidArgument) as refused:
        await parent.invite(lifetime=timedelta(days=31))
    assert refused.value.reason == "VALIDITY_INVALID"
    assert await parent.database.fetchval("SELECT count(*) FROM invitation") == 0


async def test_the_secret_is_not_in_the_database(parent: Parent) -> None:
    token = await parent.invite()
    rows = await parent.database.fetch("SELECT invitation::text AS line FROM invitation")
    assert rows
    assert not any(token.secret in row["line"] for row in rows)


async def test_a_request_is_answered_with_a_token_once(parent: Parent) -> None:
    stub = parent.connection().stub(enrolment_pb2_grpc.EnrolmentServiceStub, "registry")
    node = directory_pb2.Node(node=NODE, name="MẪU", tier=directory_pb2.TIER_DISTRICT)
    organization = directory_pb2.Organization(superior="H01", valid_from="2020-01-01")
    request = enrolment_pb2.InviteNodeRequest(request_id=new_id(), node=node, organization=organization)
    assert (await stub.InviteNode(request)).secret
    with pytest.raises(AlreadyExists) as refused:
        await stub.InviteNode(request)
    assert refused.value.reason == "TOKEN_SHOWN"


async def test_a_parent_that_may_not_issue_takes_nodes_with_their_own_certificates(
    databases: Databases, pki: Pki, tmp_path: Path
) -> None:
    async for parent in _running(databases, pki, with_issuers=False):
        token = await parent.invite()
        with pytest.raises(FailedPrecondition) as refused:
            await enrol(token, folders(tmp_path), clock=parent.clock)
        assert refused.value.reason == "ISSUER_MISSING"
        enrolled = await enrol(token, {}, clock=parent.clock)
        assert NODE in {node.node for node in enrolled.snapshot.nodes}
        assert x509.load_pem_x509_certificates(enrolled.response.roots)


async def test_a_node_without_enrolment_says_so(parent: Parent, databases: Databases, pki: Pki) -> None:
    database = await databases.open("services.registry")
    settings = RegistrySettings(database=DatabaseSettings(url=database.url))
    node = pki.settings("H01")
    app = await build(settings, node=node, database=database)
    async with serving([app], node) as address:
        parent.address = address
        with pytest.raises(FailedPrecondition) as refused:
            await parent.invite()
    await database.close()
    assert refused.value.reason == "ENROLMENT_OFF"
