"""One PostgreSQL database, shared by all replicas: a few connections that requests take turns on.

What a statement did is durable when it returns. No lock is held while the network is waited for,
except in `transaction`, which is kept for what a single statement cannot do.

A server that was gone is found again by itself: a closed connection is not used, one that does not
answer is hung up on, and new ones are made.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Self

import psycopg
from psycopg_pool import AsyncConnectionPool

from service.stores.postgres_connection import (
    DRIVER_OPTIONS,
    Parameters,
    PostgresConnection,
    Row,
    connect,
    connection_text,
    failures_reported,
    fetch,
    hanging_up_on_silence,
    is_closing,
    unusable_reported,
)
from service.stores.postgres_groups import StatementGroups
from service.stores.postgres_locks import PostgresLocks
from service.stores.postgres_migrations import refuse_older_schema

CONNECTIONS_MIN: Final = 2
CONNECTIONS_MAX: Final = 10
"""More would wait for the same disk."""

CONNECTION_WAIT_SECONDS_MAX: Final = 2.0
"""How long a request waits for a connection to be free, or to be made."""

RECONNECT_SECONDS_MAX: Final = 3.0
"""How long the pool tries by itself to make a lost connection anew; then the next request does."""


class PostgresDatabase:
    """A database through a pool of connections; see `open`."""

    def __init__(self, pool: AsyncConnectionPool[PostgresConnection], locks: PostgresLocks) -> None:
        self._pool = pool
        self._locks = locks
        self._groups = StatementGroups(self._connection)

    @classmethod
    async def open(cls, url: str) -> Self:
        """Connect, inside the running loop, to the database of a `postgresql://` URL.

        Raises:
            DatabaseUnusable: it cannot be reached, or its schema is of an older version.
        """
        text = connection_text(url)
        with unusable_reported():
            async with await connect(text) as connection:
                await refuse_older_schema(connection)
        pool: AsyncConnectionPool[PostgresConnection] = AsyncConnectionPool(
            text,
            kwargs=DRIVER_OPTIONS,
            min_size=CONNECTIONS_MIN,
            max_size=CONNECTIONS_MAX,
            timeout=CONNECTION_WAIT_SECONDS_MAX,
            reconnect_timeout=RECONNECT_SECONDS_MAX,
            name="database",
            open=False,
        )
        await pool.open()
        return cls(pool, PostgresLocks(url))

    async def fetch(self, statement: bytes, parameters: Parameters | None = None) -> list[Row]:
        """Run one statement in a transaction of its own, and return its rows.

        Raises:
            ServiceError: STORE_UNAVAILABLE, with the driver's error as its cause; whether
                something was written is not known.
            UniqueViolation: a unique index is in the way; nothing was written.
        """
        with failures_reported():
            async with self._connection() as connection:
                return await fetch(connection, statement, parameters)

    async def fetch_grouped(self, statement: bytes, parameters: Parameters) -> list[Row]:
        """Do as `fetch` does, for a short statement that many run at once; see `StatementGroups`.

        Raises:
            ServiceError: As in `fetch`.
            UniqueViolation: As in `fetch`.
        """
        with failures_reported():
            return await self._groups.fetch(statement, parameters)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresConnection]:
        """Give a connection for several statements in one transaction.

        Raises:
            ServiceError: As in `fetch`.
        """
        with failures_reported():
            async with self._connection() as connection, connection.transaction():
                yield connection

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        """Hold a lock that all replicas share; see `PostgresLocks.held`."""
        return self._locks.held(name)

    async def aclose(self) -> None:
        """Finish what was asked for, then close all connections."""
        await self._groups.aclose()
        await self._locks.aclose()
        await self._pool.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[PostgresConnection]:
        connection = await self._usable_connection()
        try:
            with hanging_up_on_silence(connection):
                yield connection
        finally:
            await self._pool.putconn(connection)

    async def _usable_connection(self) -> PostgresConnection:
        """Take a connection that the server has not closed meanwhile, as a restart does with all.

        Whether a statement was carried out on a closed one is not known; so none is sent there.
        """
        for _ in range(CONNECTIONS_MAX + 1):
            connection = await self._pool.getconn()
            if not is_closing(connection):
                return connection
            await connection.close()
            await self._pool.putconn(connection)  # It makes another in its place.
        raise psycopg.OperationalError("the server closes every connection")
