"""Where connections are kept, in either database, and what tests do behind the store's back."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Protocol

from service.application.connection_ports import ConnectionStore
from service.application.ports import Clock
from service.domain.connection import Connection
from service.domain.step import ConnectionKey
from service.stores.connection_rows import ConnectionSummary
from service.stores.connections_postgres import PostgresConnections
from service.stores.connections_sqlite import SqliteConnections
from service.stores.key_ring import KeyRing
from service.stores.postgres_database import PostgresDatabase
from service.stores.postgres_migrations import migrate
from service.stores.sealed_rows import SealedRows
from service.stores.sealed_rows_postgres import PostgresSealedRows
from service.stores.sealed_rows_sqlite import SqliteSealedRows
from service.stores.sqlite_database import SqliteDatabase
from tests.postgres_server import shared_server


class FullConnectionStore(ConnectionStore, Protocol):
    """A store of connections with what the command line needs of it."""

    async def put(self, connection: Connection) -> None: ...

    async def remove(self, key: ConnectionKey) -> bool: ...

    async def summaries(self) -> tuple[ConnectionSummary, ...]: ...


class KeptRows(Protocol):
    """A database of its own for each test."""

    def connections(self, key_ring: KeyRing, clock: Clock) -> FullConnectionStore:
        """Return a store on it."""

    def sealed_rows(self) -> SealedRows:
        """Return what a change of keys sees of it."""

    def as_another_process(self) -> "AbstractAsyncContextManager[KeptRows]":
        """Open it once more."""

    async def execute(self, statement: str) -> None:
        """Run one SQL statement, durably."""

    async def refuse_writes(self) -> None:
        """Let every write of a connection fail; what is there can be read."""

    async def accept_writes(self) -> None:
        """Undo that."""


class SqliteRows:
    def __init__(self, path: Path, database: SqliteDatabase) -> None:
        self._path = path
        self._database = database

    def connections(self, key_ring: KeyRing, clock: Clock) -> SqliteConnections:
        return SqliteConnections(self._database, key_ring, clock)

    def sealed_rows(self) -> SealedRows:
        return SqliteSealedRows(self._database)

    def as_another_process(self) -> "AbstractAsyncContextManager[SqliteRows]":
        return _opened_file(self._path)

    async def execute(self, statement: str) -> None:
        await self._database.run(lambda connection: connection.execute(statement).close())

    async def refuse_writes(self) -> None:
        await self.execute("""
            CREATE TEMP TRIGGER refuse BEFORE INSERT ON connections
            BEGIN SELECT RAISE(ABORT, 'nothing is written'); END
        """)

    async def accept_writes(self) -> None:
        await self.execute("DROP TRIGGER refuse")


class PostgresRows:
    def __init__(self, url: str, database: PostgresDatabase) -> None:
        self._url = url
        self._database = database

    def connections(self, key_ring: KeyRing, clock: Clock) -> PostgresConnections:
        return PostgresConnections(self._database, key_ring, clock)

    def sealed_rows(self) -> SealedRows:
        return PostgresSealedRows(self._database)

    def as_another_process(self) -> "AbstractAsyncContextManager[PostgresRows]":
        return _opened_url(self._url)

    async def execute(self, statement: str) -> None:
        await self._database.fetch(statement.encode())

    async def refuse_writes(self) -> None:
        await self.execute("""
            CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN RAISE EXCEPTION ''nothing is written''; END'
        """)
        await self.execute("""
            CREATE TRIGGER refuse BEFORE INSERT ON connections
            FOR EACH ROW EXECUTE FUNCTION refuse()
        """)

    async def accept_writes(self) -> None:
        await self.execute("DROP TRIGGER refuse ON connections")


@asynccontextmanager
async def _opened_file(path: Path) -> AsyncIterator[SqliteRows]:
    async with aclosing(await SqliteDatabase.open(path)) as database:
        yield SqliteRows(path, database)


@asynccontextmanager
async def _opened_url(url: str) -> AsyncIterator[PostgresRows]:
    async with aclosing(await PostgresDatabase.open(url)) as database:
        yield PostgresRows(url, database)


@asynccontextmanager
async def _new_file(folder: Path) -> AsyncIterator[KeptRows]:
    async with _opened_file(folder / "engagement.db") as rows:
        yield rows


@asynccontextmanager
async def _new_schema(_folder: Path) -> AsyncIterator[KeptRows]:
    url = shared_server().new_schema_url()
    await migrate(url)
    async with _opened_url(url) as rows:
        yield rows


DATABASES: Mapping[str, Callable[[Path], AbstractAsyncContextManager[KeptRows]]] = {
    "sqlite": _new_file,
    "postgres": _new_schema,
}
