"""The real journal on a database in memory, whose commits take no time: the same run, each time."""

import base64
import sqlite3
from collections.abc import Callable

from service.application.ports import Clock
from service.domain.connection import Secret
from service.stores.journal_sqlite import SqliteJournal
from service.stores.key_ring import KeyRing
from service.stores.sqlite_database import SqliteDatabase, migrate

KEY_RING = KeyRing({"test": Secret(base64.b64encode(bytes(32)).decode())})


def memory_journal(clock: Clock) -> SqliteJournal:
    """Return a new and empty journal."""
    return journal_in(memory_connection(), clock)


def memory_connection() -> sqlite3.Connection:
    """Return a new database with its tables."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return connection


def journal_in(connection: sqlite3.Connection, clock: Clock) -> SqliteJournal:
    """Return the journal that a database holds; it may have several."""
    return SqliteJournal(SqliteDatabase(connection, _at_once), KEY_RING, clock)


async def _at_once(commit: Callable[[], None]) -> None:
    commit()
