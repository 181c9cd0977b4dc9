"""Migrations: from every version, twice at once, beside requests, and beside another version."""

import asyncio

import psycopg
import pytest

from service.stores import postgres_migrations
from service.stores.postgres_connection import fetch
from service.stores.postgres_database import PostgresDatabase
from service.stores.postgres_migrations import KNOWN, migrate
from service.stores.sql_files import Migration
from service.stores.store_failure import DatabaseUnusable
from tests.postgres.conftest import Opening
from tests.postgres_server import shared_server

NUMBERS = tuple(migration.number for migration in KNOWN)
NEXT = NUMBERS[-1] + 1
WIDER = Migration(NEXT, ("ALTER TABLE connections ADD COLUMN added text",))
INDEX = Migration(
    NEXT,
    (
        "DROP INDEX CONCURRENTLY IF EXISTS connections_by_state",
        "CREATE INDEX CONCURRENTLY connections_by_state ON connections (state)",
    ),
    in_transaction=False,
)

READ = b"SELECT customer_id FROM connections"
PUT = (
    b"INSERT INTO connections VALUES ('acme', 'apollo', 'bearer', 'usable', 'k1', '', '', NULL, 0)"
)
COLUMNS = b"""
    SELECT table_name, column_name, data_type, is_nullable, column_default
    FROM information_schema.columns
    WHERE table_schema = current_schema()
    ORDER BY table_name, ordinal_position
"""
INDEXES = b"""
    SELECT replace(pg_get_indexdef(indexrelid), current_schema() || '.', ''), indisvalid
    FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE relnamespace = current_schema()::regnamespace
    ORDER BY relname
"""


async def _asked(url: str, query: bytes) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return await fetch(connection, query)


async def _applied(url: str) -> list[int]:
    rows = await _asked(url, b"SELECT number FROM applied_migrations ORDER BY number")
    return [number for (number,) in rows if isinstance(number, int)]


async def test_from_nothing(opening: Opening, empty_postgres_url: str) -> None:
    assert await migrate(empty_postgres_url) == NUMBERS
    assert await migrate(empty_postgres_url) == ()
    assert await _applied(empty_postgres_url) == list(NUMBERS)
    await opening(empty_postgres_url)


@pytest.mark.parametrize("count", range(1, len(KNOWN)))
async def test_from_each_version(opening: Opening, postgres_url: str, count: int) -> None:
    """What is there stays, and the end is the same as from nothing."""
    url = shared_server().new_schema_url()
    assert await migrate(url, KNOWN[:count]) == NUMBERS[:count]
    await _asked(url, PUT)
    with pytest.raises(DatabaseUnusable, match=f"version {NUMBERS[count - 1]}, .* run `migrate`"):
        await opening(url)
    assert await migrate(url) == NUMBERS[count:]
    assert await _asked(url, READ) == [("acme",)]
    for query in (COLUMNS, INDEXES):
        assert await _asked(url, query) == await _asked(postgres_url, query)


async def test_two_at_once_apply_each_once(empty_postgres_url: str) -> None:
    applied = await asyncio.gather(*(migrate(empty_postgres_url) for _ in range(4)))
    assert sorted(number for numbers in applied for number in numbers) == list(NUMBERS)
    assert await _applied(empty_postgres_url) == list(NUMBERS)


async def test_a_newer_schema_serves_the_version_before(
    opening: Opening, postgres_url: str
) -> None:
    """Also one that was serving when it changed, with its statements prepared."""
    before = await opening(postgres_url)
    await before.fetch(PUT)
    assert await before.fetch(READ) == [("acme",)]
    assert await migrate(postgres_url, (*KNOWN, WIDER)) == (NEXT,)
    after = await opening(postgres_url)
    for database in (before, after):
        assert await database.fetch(READ) == [("acme",)]
    assert await migrate(postgres_url) == ()


async def test_a_migration_that_fails_leaves_nothing_of_itself(postgres_url: str) -> None:
    broken = Migration(NEXT + 1, ("CREATE TABLE half (id integer)", "SELECT nonsense"))
    with pytest.raises(DatabaseUnusable, match='column "nonsense" does not exist'):
        await migrate(postgres_url, (*KNOWN, WIDER, broken))
    assert await _applied(postgres_url) == [*NUMBERS, NEXT]
    assert await _asked(postgres_url, b"SELECT to_regclass('half')") == [(None,)]


async def test_an_index_is_built_without_a_transaction(postgres_url: str) -> None:
    assert await migrate(postgres_url, (*KNOWN, INDEX)) == (NEXT,)
    names = [str(row[0]) for row in await _asked(postgres_url, INDEXES)]
    assert sum("connections_by_state" in name for name in names) == 1


async def test_a_migration_does_not_keep_requests_waiting(
    postgres_url: str, database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for a long transaction; requests that come meanwhile do not wait for both."""
    monkeypatch.setattr(postgres_migrations, "LOCK_WAIT_MS", 20)
    monkeypatch.setattr(postgres_migrations, "PAUSE_SECONDS", 0.02)
    tries = 0
    apply = postgres_migrations._apply

    async def counted(connection: psycopg.AsyncConnection[object], migration: Migration) -> None:
        nonlocal tries
        tries += 1
        await apply(connection, migration)  # type: ignore[arg-type]

    monkeypatch.setattr(postgres_migrations, "_apply", counted)
    async with await psycopg.AsyncConnection.connect(postgres_url) as long:
        await long.execute(READ)
        migration = asyncio.create_task(migrate(postgres_url, (*KNOWN, WIDER)))
        while tries < 3:
            assert await database.fetch(READ) == []
        assert not migration.done()
    assert await migration == (NEXT,)
    assert await database.fetch(READ) == []


async def test_a_lock_that_is_never_to_be_had(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_migrations, "LOCK_WAIT_MS", 10)
    monkeypatch.setattr(postgres_migrations, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(postgres_migrations, "ATTEMPTS_MAX", 3)
    async with await psycopg.AsyncConnection.connect(postgres_url) as long:
        await long.execute(READ)
        with pytest.raises(DatabaseUnusable, match="the schema cannot be changed now"):
            await migrate(postgres_url, (*KNOWN, WIDER))
    assert await _applied(postgres_url) == list(NUMBERS)


def test_migrations_only_add() -> None:
    """The version before has to work on what a migration leaves."""
    removing = ("DROP TABLE", "DROP COLUMN", "RENAME", "SET NOT NULL", "TYPE")
    for migration in KNOWN:
        for statement in migration.statements:
            assert not [words for words in removing if f"{words} " in statement.upper()]


def test_migrations_are_numbered_without_a_gap() -> None:
    assert list(range(1, len(NUMBERS) + 1)) == list(NUMBERS)
