"""Customers' connections in SQLite, their secrets encrypted."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog

from service.application.connection_ports import ConnectionState, StoredConnection
from service.application.ports import Clock
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.errors import Reason, ServiceError
from service.domain.step import ConnectionKey
from service.stores.key_ring import KeyRing, Place, SecretUnreadable
from service.stores.sql_files import named_queries
from service.stores.sqlite_database import SqliteDatabase

_QUERIES: Final = named_queries("sqlite", "connections.sql")
_MS_PER_SECOND: Final = 1000

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ConnectionSummary:
    """What can be said of a stored connection without decrypting it."""

    customer_id: str
    provider: str
    kind: str
    state: str
    key_id: str
    expires_at_epoch_ms: int | None
    updated_at_epoch_ms: int


class SqliteConnections:
    """Implements `ConnectionStore`, and what the command line needs besides.

    The customer, the provider and the column are part of what a secret is encrypted with.
    """

    def __init__(self, database: SqliteDatabase, key_ring: KeyRing, clock: Clock) -> None:
        self._database = database
        self._key_ring = key_ring
        self._clock = clock

    async def read(self, key: ConnectionKey) -> StoredConnection | None:
        """See `ConnectionStore.read`."""
        with _unreadable_reported(key):
            return await self._database.read(lambda database: self._read(database, key))

    async def put(self, connection: Connection) -> None:
        """Store a connection as usable, whatever was there.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        await self._database.write(lambda database: self._put(database, connection))

    async def replace(self, old: Connection, new: Connection) -> bool:
        """See `ConnectionStore.replace`."""

        def replace(database: sqlite3.Connection) -> bool:
            if not self._is_stored(database, old):
                return False
            self._put(database, new)
            return True

        with _unreadable_reported(old.key):
            return await self._database.write(replace)

    async def mark_expired(self, refused: Connection) -> bool:
        """See `ConnectionStore.mark_expired`."""

        def mark_expired(database: sqlite3.Connection) -> bool:
            if not self._is_stored(database, refused):
                return False
            times = {"updated_at_epoch_ms": _epoch_ms(self._clock.epoch_seconds())}
            database.execute(_QUERIES["mark_expired"], _where(refused.key) | times)
            return True

        with _unreadable_reported(refused.key):
            return await self._database.write(mark_expired)

    async def remove(self, key: ConnectionKey) -> bool:
        """Forget a connection; say whether there was one.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        return await self._database.write(
            lambda database: database.execute(_QUERIES["remove"], _where(key)).rowcount > 0
        )

    async def summaries(self) -> tuple[ConnectionSummary, ...]:
        """Return all connections, by customer and provider.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        rows = await self._database.read(
            lambda database: database.execute(_QUERIES["list"]).fetchall()
        )
        return tuple(ConnectionSummary(*row) for row in rows)

    def _is_stored(self, database: sqlite3.Connection, connection: Connection) -> bool:
        stored = self._read(database, connection.key)
        return (
            stored is not None
            and stored.connection.credential == connection.credential
            and stored.connection.refresh_token == connection.refresh_token
        )

    def _read(self, database: sqlite3.Connection, key: ConnectionKey) -> StoredConnection | None:
        row = database.execute(_QUERIES["read"], _where(key)).fetchone()
        if row is None:
            return None
        kind, state, key_id, credential, refresh_token, expires_at_epoch_ms = row
        connection = Connection(
            key=key,
            kind=ConnectionKind(kind),
            credential=self._decrypt(credential, key, "credential", key_id),
            refresh_token=(
                None
                if refresh_token is None
                else self._decrypt(refresh_token, key, "refresh_token", key_id)
            ),
            expires_at_epoch_seconds=(
                None if expires_at_epoch_ms is None else expires_at_epoch_ms / _MS_PER_SECOND
            ),
        )
        return StoredConnection(connection, ConnectionState(state))

    def _put(self, database: sqlite3.Connection, connection: Connection) -> None:
        key, refresh_token = connection.key, connection.refresh_token
        expires_at = connection.expires_at_epoch_seconds
        columns = {
            "kind": connection.kind.value,
            "key_id": self._key_ring.current.id,
            "credential": self._encrypt(connection.credential, key, "credential"),
            "refresh_token": (
                None
                if refresh_token is None
                else self._encrypt(refresh_token, key, "refresh_token")
            ),
            "expires_at_epoch_ms": None if expires_at is None else _epoch_ms(expires_at),
            "updated_at_epoch_ms": _epoch_ms(self._clock.epoch_seconds()),
        }
        database.execute(_QUERIES["put"], _where(key) | columns)

    def _encrypt(self, secret: Secret, key: ConnectionKey, column: str) -> bytes:
        return self._key_ring.encrypt(secret.reveal(), _place(key, column))

    def _decrypt(self, sealed: bytes, key: ConnectionKey, column: str, key_id: str) -> Secret:
        return Secret(self._key_ring.decrypt(sealed, _place(key, column), key_id))


@contextmanager
def _unreadable_reported(key: ConnectionKey) -> Iterator[None]:
    """Tell the operator in the log what is wrong with a row, and the caller whom to ask."""
    try:
        yield
    except SecretUnreadable as error:
        _log.error(
            "connection_unreadable",
            customer=key.customer_id,
            provider=key.provider.value,
            error=str(error),
        )
        raise ServiceError(
            Reason.INTERNAL,
            f"The stored connection of customer {key.customer_id} at {key.provider.capitalize()} "
            "cannot be decrypted; an operator finds the cause in the log.",
        ) from error


def _place(key: ConnectionKey, column: str) -> Place:
    return Place(key.customer_id, key.provider.value, column)


def _where(key: ConnectionKey) -> dict[str, object]:
    return {"customer_id": key.customer_id, "provider": key.provider.value}


def _epoch_ms(epoch_seconds: float) -> int:
    return round(epoch_seconds * _MS_PER_SECOND)
