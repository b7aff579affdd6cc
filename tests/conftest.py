"""Fixtures that every test may ask for: one PostgreSQL a session, fresh databases on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from lienthong.postgres import Postgres, postgres_from_environment

from tests.support.postgres import Databases


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server for the session: our own, or the one that LIENTHONG_POSTGRES_URL names."""
    server = postgres_from_environment()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _databases(postgres: Postgres) -> Databases:
    return Databases(postgres)


@pytest_asyncio.fixture
async def databases(_databases: Databases) -> AsyncIterator[Databases]:
    """Makes fresh databases: `await databases.open("services.registry")`; gone after the test."""
    yield _databases
    await _databases.drop_all()
