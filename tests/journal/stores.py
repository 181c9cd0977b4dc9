"""The stores that a journal may have; each is put through the same tests.

A store of another kind is one more entry of `STORES`: it has what `JournalStore` names.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Protocol

from service.application.journal_port import Journal, OperationsForPeople
from service.stores.journal_sqlite import SqliteJournal
from service.stores.key_ring import KeyRing
from service.stores.sealed_rows import SealedRows
from service.stores.sealed_rows_sqlite import SqliteSealedRows
from service.stores.sqlite_database import SqliteDatabase, migrate
from tests.connections.manual_clock import ManualClock
from tests.connections.samples import RING
from tests.journal.postgres_store import postgres_schema


class FullJournal(Journal, OperationsForPeople, Protocol):
    """What every journal implements."""


class JournalStore(Protocol):
    """A journal, empty at first, and what tests do behind its back."""

    @property
    def journal(self) -> FullJournal:
        """The journal; it encrypts with `RING`."""

    @property
    def sealed_rows(self) -> SealedRows:
        """What a change of keys sees of it."""

    async def pass_seconds(self, seconds: float) -> None:
        """Let time pass in the store: move its clock, or all that it has written down."""

    async def execute(self, statement: str) -> None:
        """Run one SQL statement, durably."""

    async def documents(self) -> list[bytes]:
        """Return what the rows have in their column `document`."""

    def journal_with(self, key_ring: KeyRing) -> FullJournal:
        """Return the same journal, as a process with other keys has it."""


class SqliteStore:
    """A journal in SQLite."""

    def __init__(self, database: SqliteDatabase, clock: ManualClock) -> None:
        self.database = database
        self.clock = clock
        self.journal = SqliteJournal(database, RING, clock)
        self.sealed_rows = SqliteSealedRows(database)

    async def pass_seconds(self, seconds: float) -> None:
        self.clock.passed_seconds += seconds

    async def execute(self, statement: str) -> None:
        await self.database.run(lambda connection: connection.execute(statement))

    async def documents(self) -> list[bytes]:
        rows = await self.database.run(
            lambda connection: connection.execute("SELECT document FROM operations").fetchall()
        )
        return [document for (document,) in rows]

    def journal_with(self, key_ring: KeyRing) -> FullJournal:
        return SqliteJournal(self.database, key_ring, self.clock)


@asynccontextmanager
async def sqlite_file(folder: Path) -> AsyncIterator[SqliteStore]:
    """Make a file of the folder's, with the threads that a service has."""
    async with aclosing(await SqliteDatabase.open(folder / "engagement.db")) as database:
        yield SqliteStore(database, ManualClock())


@asynccontextmanager
async def sqlite_memory(_folder: Path) -> AsyncIterator[SqliteStore]:
    """Make a database without file and threads: each run is like the one before."""
    async with aclosing(memory_database()) as database:
        yield SqliteStore(database, ManualClock())


def memory_database() -> SqliteDatabase:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return SqliteDatabase(connection, commit_inline)


async def commit_inline(commit: Callable[[], None]) -> None:
    await asyncio.sleep(0)  # Others run meanwhile, as with a thread.
    commit()


NewStore = Callable[[Path], AbstractAsyncContextManager[JournalStore]]

STORES: Mapping[str, NewStore] = {
    "sqlite file": sqlite_file,
    "sqlite memory": sqlite_memory,
    "postgres": postgres_schema,
}
