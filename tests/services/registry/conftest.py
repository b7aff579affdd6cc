"""The registry behind real mutual TLS on a database of its own, with the example directory imported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from lienthong.clock import FakeClock
from lienthong.settings import DatabaseSettings

from services.registry.app import build
from services.registry.settings import RegistrySettings
from tests.services.registry.asking import EXAMPLE, Registry
from tests.support.postgres import Databases
from tests.support.serving import Pki, serving


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki.create(tmp_path_factory.mktemp("registry-pki"))


@pytest_asyncio.fixture
async def registry(databases: Databases, pki: Pki) -> AsyncIterator[Registry]:
    clock = FakeClock()
    database = await databases.open("services.registry")
    settings = RegistrySettings(database=DatabaseSettings(url=database.url), organizations_file=EXAMPLE)
    node = pki.settings("H01")
    app = await build(settings, node=node, database=database, clock=clock)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        address = await stack.enter_async_context(serving([app], node))
        yield Registry(address, database, clock, pki, stack)
