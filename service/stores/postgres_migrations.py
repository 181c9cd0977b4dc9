"""Brings a PostgreSQL database up to date, beside processes that serve from it.

A rolling update runs the old version and the new one side by side on the new schema. So a migration
only adds: tables, columns with a default or without a value, indexes. What a version no longer
needs is removed by a migration of a later one, when no process of the old version is left.
`migrate` runs before the new version starts; it is safe to run twice, and at once.

A migration never makes requests wait for long: a lock that it needs and does not get within a
second it asks for again later, since whatever comes after it in the queue for a lock waits too. A
file is applied in one transaction with the note that it was. One that cannot run in a transaction
(CREATE INDEX CONCURRENTLY) begins with the line `-- no transaction`, and has to be able to run
again after it failed half-way.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Final

import psycopg

from service.stores.postgres_connection import (
    PostgresConnection,
    connect,
    connection_text,
    fetch,
    unusable_reported,
)
from service.stores.sql_files import Migration, migrations
from service.stores.store_failure import DatabaseUnusable

KNOWN: Final = migrations("postgres")

LOCK_WAIT_MS: Final = 1000
"""How long a migration stands in the queue for a lock."""

PAUSE_SECONDS: Final = 1.0
"""How long it stays out of the queue then."""

ATTEMPTS_MAX: Final = 60

_TURN: Final = {"turn": 5_823_617_340_921}
"""The advisory lock of whoever migrates: any number that nobody else uses."""


_MAKE_TABLE: Final = b"""
    CREATE TABLE IF NOT EXISTS applied_migrations (
        number integer PRIMARY KEY,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
"""


async def migrate(url: str, known: Sequence[Migration] = KNOWN) -> tuple[int, ...]:
    """Apply the migrations that the database has not seen; return their numbers.

    Raises:
        DatabaseUnusable: it cannot be reached, a migration failed, or a lock was not to be had;
            what was applied before stays.
    """
    # An index may take long to build, and blocks nobody.
    text = connection_text(url, lock_timeout=LOCK_WAIT_MS, statement_timeout=0)
    applied: list[int] = []
    with unusable_reported():
        async with await connect(text) as connection:
            for _ in range(ATTEMPTS_MAX):
                try:
                    async with _turn(connection):
                        await _apply_missing(connection, known, applied)
                except psycopg.errors.LockNotAvailable:
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    return tuple(applied)
    raise DatabaseUnusable("the schema cannot be changed now: others keep it locked")


async def refuse_older_schema(connection: PostgresConnection) -> None:
    """Refuse to serve from a database that has not seen all migrations; it may have seen more.

    Raises:
        DatabaseUnusable: it is of an older version.
    """
    version = await _version(connection)
    if version < KNOWN[-1].number:
        raise DatabaseUnusable(
            f"the database's schema has version {version}, and this program needs "
            f"{KNOWN[-1].number}: run `migrate` first"
        )


@asynccontextmanager
async def _turn(connection: PostgresConnection) -> AsyncIterator[None]:
    """Let nobody else migrate meanwhile; the server lets go of it if this process dies."""
    await fetch(connection, b"SELECT pg_advisory_lock(%(turn)s)", _TURN)
    try:
        yield
    finally:
        if not connection.closed:
            await fetch(connection, b"SELECT pg_advisory_unlock(%(turn)s)", _TURN)


async def _apply_missing(
    connection: PostgresConnection, known: Sequence[Migration], applied: list[int]
) -> None:
    await fetch(connection, _MAKE_TABLE)
    version = await _version(connection)
    for migration in known:
        if migration.number > version:
            await _apply(connection, migration)
            applied.append(migration.number)


async def _apply(connection: PostgresConnection, migration: Migration) -> None:
    async with connection.transaction() if migration.in_transaction else nullcontext():
        for statement in migration.statements:
            await connection.execute(statement.encode())
        await fetch(
            connection,
            b"INSERT INTO applied_migrations (number) VALUES (%(number)s)",
            {"number": migration.number},
        )


async def _version(connection: PostgresConnection) -> int:
    """Return the number of the last migration that the database has seen; 0 is none."""
    try:
        rows = await fetch(connection, b"SELECT coalesce(max(number), 0) FROM applied_migrations")
    except psycopg.errors.UndefinedTable:
        return 0
    return int(rows[0][0])
