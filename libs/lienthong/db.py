"""The one way into a database: a pure asyncpg pool and `async with db.transaction() as tx` (design R6).

    async with db.transaction() as tx:
        await store.insert(tx, entry)
        tx.after_commit(lambda: wakeups.notify("forward"))

SQLAlchemy appears only under migrations: in a mixed transaction what went through the raw connection
survived the rollback. A transaction is short: while one is open in a task, that task may neither open
another, nor read past it, nor call another service (`assert_no_transaction`): each would wait for a second
connection while holding the first, and a full pool would wait for itself for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeAlias

import asyncpg
from lienthong.errors import Aborted, DeadlineExceeded, DomainError, ResourceExhausted, Unavailable
from lienthong.settings import DatabaseSettings

Record: TypeAlias = asyncpg.Record
Isolation = Literal["read_committed", "repeatable_read", "serializable"]

# How long a call waits for a free connection before it is told to come back.
_ACQUIRE_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 5.0
_READY_SECONDS: Final = 2.0

_CONFLICTS: Final = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
)
_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    ConnectionError,
    OSError,
)

_log = logging.getLogger(__name__)


class TransactionError(RuntimeError):
    """A defect of the calling code: it broke the rule of one short transaction at a time."""


class UniqueViolation(Exception):  # noqa: N818  (the name that PostgreSQL gives it)
    """A row with this key exists. Stores look at `constraint` and raise what it means."""

    def __init__(self, constraint: str) -> None:
        super().__init__(f"unique constraint {constraint} violated")
        self.constraint = constraint


class Queries(Protocol):
    """What runs statements: a transaction, or the database itself for a single statement."""

    async def fetch(self, query: str, *args: object) -> list[Record]: ...
    async def fetchrow(self, query: str, *args: object) -> Record | None: ...
    async def fetchval(self, query: str, *args: object) -> Any: ...
    async def execute(self, query: str, *args: object) -> str: ...


class Transaction:
    """An open transaction. Made by `Database.transaction` only."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._callbacks: list[Callable[[], None]] = []
        self.is_open = True

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """All rows."""
        with _translated(self._usable()):
            return list(await self._connection.fetch(query, *args))

    async def fetchrow(self, query: str, *args: object) -> Record | None:
        """The first row, or None."""
        with _translated(self._usable()):
            row: Record | None = await self._connection.fetchrow(query, *args)
            return row

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first column of the first row, or None."""
        with _translated(self._usable()):
            return await self._connection.fetchval(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        """Run, and return the command tag ("UPDATE 3")."""
        with _translated(self._usable()):
            return str(await self._connection.execute(query, *args))

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Call once the commit is durable; never after a rollback. It must not block or raise."""
        self._callbacks.append(callback)

    def _usable(self) -> Any:
        if not self.is_open:
            raise TransactionError("a statement was sent through a transaction that has ended")
        return self._connection

    def _committed(self) -> None:
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                # The commit stands whatever a callback does; telling the caller otherwise would be a lie.
                _log.exception("a callback after commit failed")


# The object, not a flag: a task started inside a transaction inherits the variable but may outlive the
# transaction, and then it is free again.
_current: ContextVar[Transaction | None] = ContextVar("lienthong_transaction", default=None)


def in_transaction() -> bool:
    """Whether the running task is inside an open transaction (of any database)."""
    transaction = _current.get()
    return transaction is not None and transaction.is_open


def assert_no_transaction(what: str = "this call") -> None:
    """Refuse to call out with an open transaction: it would hold locks for as long as others please."""
    if in_transaction():
        raise TransactionError(f"{what} inside an open transaction: finish the transaction first")


class Database:
    """One service's database: a bounded pool of connections."""

    def __init__(self, pool: asyncpg.Pool[Record], url: str, password: str | None) -> None:
        self._pool = pool
        self._password = password
        self.url = url

    @classmethod
    async def open(cls, settings: DatabaseSettings, *, application_name: str = "lienthong") -> Database:
        """Connect; raises Unavailable("DATABASE_UNAVAILABLE") where the database does not answer."""
        password = settings.password_file.read_text().strip() if settings.password_file else None
        server_settings = {
            "application_name": application_name,
            "timezone": "UTC",
            "statement_timeout": str(int(settings.statement_timeout * 1000)),
            "lock_timeout": str(int(settings.lock_timeout * 1000)),
            # A client that vanished inside a transaction would hold back every reader of events (R7).
            "idle_in_transaction_session_timeout": "60000",
        }
        with _translated(None):
            pool = await asyncpg.create_pool(
                settings.url,
                min_size=1,
                max_size=settings.pool_size,
                timeout=_CONNECT_SECONDS,
                server_settings=server_settings,
                password=password,
                reset=_nothing_to_reset,
            )
        return cls(pool, settings.url, password)

    async def dedicated(self) -> Any:
        """A connection outside the pool, for LISTEN; whoever asked closes it."""
        with _translated(None):
            return await asyncpg.connect(self.url, password=self._password, timeout=_CONNECT_SECONDS)

    async def close(self) -> None:
        """Wait for what is running, then close every connection."""
        await self._pool.close()

    @asynccontextmanager
    async def transaction(self, isolation: Isolation = "read_committed") -> AsyncIterator[Transaction]:
        """The one way into a transaction: commits when the block ends, rolls back when it raises.

        A connection lost during the commit surfaces as Unavailable although the commit may have happened:
        the caller repeats with the same request id and is told (idempotency.py).
        """
        assert_no_transaction("opening a transaction")
        async with self._connection() as connection:
            transaction = Transaction(connection)
            token = _current.set(transaction)
            try:
                with _translated(connection):
                    async with connection.transaction(isolation=isolation):
                        yield transaction
            finally:
                transaction.is_open = False
                _current.reset(token)
        transaction._committed()

    async def fetch(self, query: str, *args: object) -> list[Record]:
        """All rows of one statement, committed by itself."""
        async with self._single() as connection:
            return list(await connection.fetch(query, *args))

    async def fetchrow(self, query: str, *args: object) -> Record | None:
        """The first row of one statement, committed by itself."""
        async with self._single() as connection:
            row: Record | None = await connection.fetchrow(query, *args)
            return row

    async def fetchval(self, query: str, *args: object) -> Any:
        """The first column of the first row of one statement, committed by itself."""
        async with self._single() as connection:
            return await connection.fetchval(query, *args)

    async def execute(self, query: str, *args: object) -> str:
        """One statement, committed by itself."""
        async with self._single() as connection:
            return str(await connection.execute(query, *args))

    async def check_ready(self) -> None:
        """Raise Unavailable or ResourceExhausted unless the database answers, and may be written, now."""
        try:
            async with asyncio.timeout(_READY_SECONDS):
                standby = await self.fetchval("SELECT pg_is_in_recovery()")
        except TimeoutError:
            raise Unavailable("DATABASE_UNAVAILABLE", "the database does not answer") from None
        if standby:
            raise Unavailable("DATABASE_UNAVAILABLE", "the database is a standby and takes no writes")

    @asynccontextmanager
    async def _single(self) -> AsyncIterator[Any]:
        assert_no_transaction("a statement past the transaction")
        async with self._connection() as connection:
            with _translated(connection):
                yield connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        with _pool_translated():
            connection = await self._pool.acquire(timeout=_ACQUIRE_SECONDS)
        try:
            yield connection
        finally:
            # A connection that is lost only now is lost all the same: the caller may repeat.
            with _pool_translated():
                # The pool shields it by itself: a cancelled caller leaves no connection half given back.
                await self._pool.release(connection)


async def _nothing_to_reset(_connection: object) -> None:
    """Between two users of a connection the driver ends an open transaction, and nothing else is sent.

    Its own reset is four statements and a round trip for each use, as much as a statement of ours costs. It
    would end what outlives a transaction (SET, session locks, LISTEN, cursors WITH HOLD): none of them may
    be used on a pooled connection (SET LOCAL and pg_advisory_xact_lock are; LISTEN has `dedicated`).
    """


async def now(queries: Queries) -> datetime:
    """The database's time: the only time that several processes agree on."""
    value: datetime = await queries.fetchval("SELECT now()")
    return value


def _is_gone(connection: Any) -> bool:
    """Whether a connection is closed, or was taken from us when its pool was closed."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


@contextmanager
def _pool_translated() -> Iterator[None]:
    """Taking a connection and giving it back: an InterfaceError says that the pool was closed meanwhile."""
    try:
        with _translated(None):
            yield
    except TimeoutError:
        raise ResourceExhausted(
            "DATABASE_BUSY", "every database connection is in use", retry_after=1.0
        ) from None
    except (asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise Unavailable("DATABASE_UNAVAILABLE", "the database is closed", retry_after=1.0) from error


@contextmanager
def _translated(connection: Any) -> Iterator[None]:
    try:
        yield
    except (DomainError, TimeoutError):  # TimeoutError is an OSError, but a caller's own deadline
        raise
    except (*_CONFLICTS, asyncpg.QueryCanceledError, asyncpg.UniqueViolationError) as error:
        raise _statement_error(error) from error
    except asyncpg.TooManyConnectionsError as error:
        raise ResourceExhausted(
            "DATABASE_BUSY", "the database takes no more connections", retry_after=1.0
        ) from error
    except _LOST as error:
        if isinstance(error, OSError) and connection is not None and not _is_gone(connection):
            raise  # the block's own file or socket, not the database
        raise Unavailable("DATABASE_UNAVAILABLE", "the database does not answer", retry_after=1.0) from error
    except asyncpg.InterfaceError as error:
        # The same class stands for defects of ours, such as a wrong number of arguments.
        if connection is None or not _is_gone(connection):
            raise
        raise Unavailable(
            "DATABASE_UNAVAILABLE", "the connection to the database was lost", retry_after=1.0
        ) from error


def _statement_error(error: asyncpg.PostgresError) -> Exception:
    if isinstance(error, asyncpg.UniqueViolationError):
        return UniqueViolation(str(error.constraint_name))
    if isinstance(error, asyncpg.QueryCanceledError):
        return DeadlineExceeded("DATABASE_TIMEOUT", "a statement took longer than it may")
    return Aborted("DATABASE_CONFLICT", "a concurrent transaction came first", retry_after=0.05)
