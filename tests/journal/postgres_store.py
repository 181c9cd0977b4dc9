"""The journal in PostgreSQL, as the tests of this folder have it."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from service.stores.journal_postgres import PostgresJournal
from service.stores.key_ring import KeyRing
from service.stores.postgres_database import PostgresDatabase
from service.stores.postgres_migrations import migrate
from service.stores.sealed_rows_postgres import PostgresSealedRows
from tests.connections.samples import RING
from tests.postgres_server import shared_server

MAKE_CLOCK = (
    b"CREATE TABLE clock AS SELECT 0::bigint AS ahead_ms",
    b"""
        CREATE OR REPLACE FUNCTION now_epoch_ms() RETURNS bigint LANGUAGE sql VOLATILE RETURN
        (extract(EPOCH FROM clock_timestamp()) * 1000)::bigint + (SELECT ahead_ms FROM clock)
    """,
)


class PostgresStore:
    """A journal in PostgreSQL, with a clock that can be moved: it is a function of the schema."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.database = database
        self.journal = PostgresJournal(database, RING)
        self.sealed_rows = PostgresSealedRows(database)

    async def pass_seconds(self, seconds: float) -> None:
        passed = {"passed_ms": round(seconds * 1000)}
        await self.database.fetch(b"UPDATE clock SET ahead_ms = ahead_ms + %(passed_ms)s", passed)

    async def execute(self, statement: str) -> None:
        await self.database.fetch(statement.encode())

    async def documents(self) -> list[bytes]:
        rows = await self.database.fetch(b"SELECT document FROM operations")
        return [document for (document,) in rows]

    def journal_with(self, key_ring: KeyRing) -> PostgresJournal:
        return PostgresJournal(self.database, key_ring)


@asynccontextmanager
async def postgres_schema(_folder: Path) -> AsyncIterator[PostgresStore]:
    """Make an empty database on the server that tests share."""
    url = shared_server().new_schema_url()
    await migrate(url)
    async with aclosing(await PostgresDatabase.open(url)) as database:
        for statement in MAKE_CLOCK:
            await database.fetch(statement)
        yield PostgresStore(database)
