"""Customers' connections in SQLite, their secrets encrypted."""

import sqlite3
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

from service.application.connection_ports import StoredConnection
from service.application.ports import Clock
from service.domain.connection import Connection
from service.domain.step import ConnectionKey
from service.stores.connection_rows import ConnectionRows, ConnectionSummary, epoch_ms, where
from service.stores.key_ring import KeyRing
from service.stores.sql_files import named_queries
from service.stores.sqlite_database import SqliteDatabase

_QUERIES: Final = named_queries("sqlite", "connections.sql")


class SqliteConnections:
    """Implements `ConnectionStore`, and what the command line needs besides."""

    def __init__(self, database: SqliteDatabase, key_ring: KeyRing, clock: Clock) -> None:
        self._database = database
        self._rows = ConnectionRows(key_ring)
        self._clock = clock

    async def read(self, key: ConnectionKey) -> StoredConnection | None:
        """See `ConnectionStore.read`."""
        row = await self._database.run(lambda database: _row(database, key))
        return self._rows.stored(key, row)

    async def put(self, connection: Connection) -> None:
        """Store a connection as usable, whatever was there.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        await self._database.run(lambda database: self._put(database, connection))

    async def replace(self, old: Connection, new: Connection) -> bool:
        """See `ConnectionStore.replace`."""

        def replace(database: sqlite3.Connection) -> bool:
            if not self._is_stored(database, old):
                return False
            self._put(database, new)
            return True

        return await self._database.run(replace)

    async def mark_expired(self, refused: Connection) -> bool:
        """See `ConnectionStore.mark_expired`."""

        def mark_expired(database: sqlite3.Connection) -> bool:
            if not self._is_stored(database, refused):
                return False
            times = {"updated_at_epoch_ms": epoch_ms(self._clock.epoch_seconds())}
            database.execute(_QUERIES["mark_expired"], where(refused.key) | times)
            return True

        return await self._database.run(mark_expired)

    def exclusive(self, key: ConnectionKey) -> AbstractAsyncContextManager[None]:  # noqa: ARG002
        """See `ConnectionStore.exclusive`: one process alone serves from a file."""
        return nullcontext()

    async def remove(self, key: ConnectionKey) -> bool:
        """Forget a connection; say whether there was one.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        return await self._database.run(
            lambda database: database.execute(_QUERIES["remove"], where(key)).rowcount > 0
        )

    async def summaries(self) -> tuple[ConnectionSummary, ...]:
        """Return all connections, by customer and provider.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        rows = await self._database.run(
            lambda database: database.execute(_QUERIES["list"]).fetchall()
        )
        return tuple(ConnectionSummary(*row) for row in rows)

    def _is_stored(self, database: sqlite3.Connection, connection: Connection) -> bool:
        return self._rows.holds(_row(database, connection.key), connection)

    def _put(self, database: sqlite3.Connection, connection: Connection) -> None:
        now_epoch_seconds = self._clock.epoch_seconds()
        columns = self._rows.columns(connection, now_epoch_seconds=now_epoch_seconds)
        database.execute(_QUERIES["put"], columns)


def _row(database: sqlite3.Connection, key: ConnectionKey) -> tuple[Any, ...] | None:
    row: tuple[Any, ...] | None = database.execute(_QUERIES["read"], where(key)).fetchone()
    return row
