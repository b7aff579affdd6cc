"""Signing of node H01 behind real mutual TLS, with TEST keys, PostgreSQL, and timestamps over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from lienthong.app import App
from lienthong.db import Database
from lienthong.settings import DatabaseSettings
from lienthong.signing.v1 import signing_pb2_grpc as stubs

from services.signing.app import PACKAGE, build
from services.signing.settings import AuthoritySettings, SigningSettings
from tests.services.signing import wire
from tests.support.documents import PLACEMENTS, letter
from tests.support.postgres import Databases
from tests.support.serving import Pki, free_port, serving

NODE = "H01"
AGENCY, AGENCY_NAME = "H01.15", "Cơ quan Mẫu Trung ương"
LEADER, OTHER_LEADER = "nguyen-thi-mau", "le-van-mau"
# Agencies whose keys may not sign any more.
EXPIRED, REVOKED = "H01.98", "H01.99"
KEYLESS = "H01.97"

ROUTING = f"node/{NODE}/routing"
AS_LEADER = f"org/{AGENCY}/leader/{LEADER}"
AS_CLIENT = f"org/{AGENCY}/client/app"


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Keys are what takes long: made once, on all processors."""
    made = Pki.create(tmp_path_factory.mktemp("pki"))
    authority, now = made.authority, datetime.now(UTC)
    ended: Any = {"not_before": now - timedelta(days=20), "not_after": now - timedelta(days=1)}
    requests: list[Callable[[], Any]] = [
        lambda: authority.leader(AGENCY, LEADER, "Nguyễn Thị Mẫu", AGENCY_NAME),
        lambda: authority.leader(AGENCY, OTHER_LEADER, "Lê Văn Mẫu", AGENCY_NAME),
        lambda: authority.agency_seal(AGENCY, AGENCY_NAME),
        lambda: authority.leader(EXPIRED, LEADER, "Nguyễn Thị Mẫu", "Cơ quan hết hạn", **ended),
        lambda: authority.agency_seal(EXPIRED, "Cơ quan hết hạn", **ended),
        lambda: authority.leader(REVOKED, LEADER, "Nguyễn Thị Mẫu", "Cơ quan bị thu hồi", revoked=True),
        lambda: authority.organization_envelope(AGENCY, AGENCY_NAME),
        lambda: authority.organization_envelope(EXPIRED, "Cơ quan hết hạn", **ended),
        lambda: authority.node_signer(NODE),
        lambda: authority.node_signer("G22"),
        authority.timestamp_authority,
    ]
    authority.issue_many(requests)
    return made


@dataclass
class Site:
    """The running service, and stubs for callers of any role."""

    pki: Pki
    database: Database
    settings: SigningSettings
    address: str
    stack: AsyncExitStack

    @property
    def spool(self) -> Path:
        return self.settings.spool

    @property
    def timestamp_url(self) -> str:
        return f"http://{self.settings.tsa_listen}/"

    def signing(self, who: str) -> stubs.SigningServiceAsyncStub:
        return stubs.SigningServiceStub(self._channel(who))

    def validation(self, who: str = ROUTING) -> stubs.ValidationServiceAsyncStub:
        return stubs.ValidationServiceStub(self._channel(who))

    def timestamps(self, who: str = ROUTING) -> stubs.TimestampServiceAsyncStub:
        return stubs.TimestampServiceStub(self._channel(who))

    def _channel(self, who: str) -> grpc.aio.Channel:
        channel = self.pki.channel(who, NODE, self.address)
        self.stack.push_async_callback(channel.close)
        return channel


@pytest.fixture
def settings(pki: Pki, tmp_path: Path) -> SigningSettings:
    """Each test may change them before it asks for `site`; the database is filled in then."""
    tsa = pki.authority.issued("tsa/test", "timestamp")
    listen = f"127.0.0.1:{free_port()}"
    return SigningSettings(
        database=DatabaseSettings(url="postgresql://set.by.the.fixture/"),
        keys=pki.authority.folder / "issued",
        document_roots=pki.authority.roots_path,
        document_intermediates=pki.authority.document_chain_path,
        crls=pki.authority.crl_paths,
        tsa=AuthoritySettings(key=tsa.key_path, chain=tsa.chain_path),
        tsa_listen=listen,
        tsa_urls=(f"http://{listen}/",),
        spool=tmp_path / "spool",
        max_document_bytes=4 * 1024 * 1024,
        stall_patience=5.0,
    )


@pytest_asyncio.fixture
async def site(pki: Pki, databases: Databases, settings: SigningSettings) -> AsyncIterator[Site]:
    database = await databases.open(PACKAGE, pool_size=3)
    node = pki.settings(NODE, "signing")
    owner = App(name="test-database", close=[database.close])
    app = await build(settings, node=node, database=database)
    async with serving([owner, app], node) as address, AsyncExitStack() as stack:
        yield Site(pki, database, settings, address, stack)
        assert list(settings.spool.iterdir()) == [], "no call leaves a file behind"


@pytest.fixture(scope="session")
def letter_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return letter(tmp_path_factory.mktemp("letter") / "letter.pdf").read_bytes()


@pytest_asyncio.fixture
async def prepared(site: Site, letter_bytes: bytes) -> bytes:
    """A letter with the four fields, prepared by the agency's software."""
    return await wire.prepared(site.signing(AS_CLIENT), wire.prepare_header(PLACEMENTS), letter_bytes)


@pytest_asyncio.fixture
async def signed(site: Site, prepared: bytes) -> bytes:
    """Signed by the leader (B-T)."""
    return await wire.signed(site.signing(AS_LEADER), wire.personal(AGENCY), prepared)


@pytest_asyncio.fixture
async def sealed(site: Site, signed: bytes) -> bytes:
    """Numbered, dated and sealed in the name of a clerk (B-B)."""
    return await wire.signed(site.signing(ROUTING), wire.agency(AGENCY), signed)
