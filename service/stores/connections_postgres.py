"""Customers' connections in PostgreSQL, their secrets encrypted."""

from contextlib import AbstractAsyncContextManager
from typing import Final

from service.application.connection_ports import StoredConnection
from service.application.ports import Clock
from service.domain.connection import Connection
from service.domain.step import ConnectionKey
from service.stores.connection_rows import ConnectionRows, ConnectionSummary, epoch_ms, where
from service.stores.key_ring import KeyRing
from service.stores.postgres_connection import PostgresConnection, Row, fetch
from service.stores.postgres_database import PostgresDatabase
from service.stores.sql_files import named_queries

_QUERIES: Final = {
    name: text.encode() for name, text in named_queries("postgres", "connections.sql").items()
}


class PostgresConnections:
    """Implements `ConnectionStore`, and what the command line needs besides."""

    def __init__(self, database: PostgresDatabase, key_ring: KeyRing, clock: Clock) -> None:
        self._database = database
        self._rows = ConnectionRows(key_ring)
        self._clock = clock

    async def read(self, key: ConnectionKey) -> StoredConnection | None:
        """See `ConnectionStore.read`."""
        rows = await self._database.fetch(_QUERIES["read"], where(key))
        return self._rows.stored(key, rows[0] if rows else None)

    async def put(self, connection: Connection) -> None:
        """Store a connection as usable, whatever was there.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        await self._database.fetch(_QUERIES["put"], self._columns(connection))

    async def replace(self, old: Connection, new: Connection) -> bool:
        """See `ConnectionStore.replace`."""
        async with self._database.transaction() as connection:
            if not self._rows.holds(await _row_to_change(connection, old.key), old):
                return False
            await fetch(connection, _QUERIES["put"], self._columns(new))
            return True

    async def mark_expired(self, refused: Connection) -> bool:
        """See `ConnectionStore.mark_expired`."""
        async with self._database.transaction() as connection:
            if not self._rows.holds(await _row_to_change(connection, refused.key), refused):
                return False
            times = {"updated_at_epoch_ms": epoch_ms(self._clock.epoch_seconds())}
            await fetch(connection, _QUERIES["mark_expired"], where(refused.key) | times)
            return True

    def exclusive(self, key: ConnectionKey) -> AbstractAsyncContextManager[None]:
        """See `ConnectionStore.exclusive`."""
        return self._database.lock(f"refresh {key.provider} {key.customer_id}")

    async def remove(self, key: ConnectionKey) -> bool:
        """Forget a connection; say whether there was one.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        return bool(await self._database.fetch(_QUERIES["remove"], where(key)))

    async def summaries(self) -> tuple[ConnectionSummary, ...]:
        """Return all connections, by customer and provider.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        rows = await self._database.fetch(_QUERIES["list"])
        return tuple(ConnectionSummary(*row) for row in rows)

    def _columns(self, connection: Connection) -> dict[str, object]:
        return self._rows.columns(connection, now_epoch_seconds=self._clock.epoch_seconds())


async def _row_to_change(connection: PostgresConnection, key: ConnectionKey) -> Row | None:
    rows = await fetch(connection, _QUERIES["read_to_change"], where(key))
    return rows[0] if rows else None
