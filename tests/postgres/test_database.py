"""The pool of connections: its limits, and what it says when the database cannot be used."""

import asyncio
import socket

import psycopg
import pytest
from structlog.testing import capture_logs

from service.domain.errors import ServiceError
from service.stores.postgres_connection import fetch
from service.stores.postgres_database import CONNECTIONS_MAX, PostgresDatabase
from service.stores.store_failure import DatabaseUnusable
from tests.postgres.conftest import Opening, cause_of
from tests.postgres_server import PostgresServer, shared_server

ADD = b"INSERT INTO applied_migrations (number) VALUES (%(number)s)"
COUNT = b"SELECT count(*) FROM applied_migrations WHERE number >= 1000"
CHANGE = b"UPDATE applied_migrations SET number = number WHERE number = 1"
SLEEP = b"SELECT pg_sleep(10)"


async def _count(database: PostgresDatabase) -> int:
    ((count,),) = await database.fetch(COUNT)
    return int(count)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("synchronous_commit", "on"),
        ("fsync", "on"),
        ("transaction_isolation", "read committed"),
        ("statement_timeout", "2s"),
        ("lock_timeout", "1s"),
        ("idle_in_transaction_session_timeout", "5s"),
        ("application_name", "sequence-step-service"),
    ],
)
async def test_what_every_connection_is_set_to(
    database: PostgresDatabase, setting: str, value: str
) -> None:
    assert await database.fetch(f"SHOW {setting}".encode()) == [(value,)]


async def test_the_url_cannot_give_durability_up(opening: Opening, postgres_url: str) -> None:
    database = await opening(f"{postgres_url}%20-c%20synchronous_commit%3Doff")
    shown = await database.fetch(b"SHOW synchronous_commit")
    assert shown == [("on",)]


async def test_more_at_once_than_there_are_connections(database: PostgresDatabase) -> None:
    numbers = range(1000, 1000 + 5 * CONNECTIONS_MAX)
    await asyncio.gather(*(database.fetch(ADD, {"number": number}) for number in numbers))
    assert await _count(database) == len(numbers)


async def test_a_transaction_that_fails_leaves_nothing(database: PostgresDatabase) -> None:
    async def half() -> None:
        async with database.transaction() as connection:
            await fetch(connection, ADD, {"number": 1000})
            raise LookupError

    with pytest.raises(LookupError):
        await half()
    assert await _count(database) == 0
    async with database.transaction() as connection:
        await fetch(connection, ADD, {"number": 1000})
    assert await _count(database) == 1


async def test_who_leaves_takes_no_connection_along(database: PostgresDatabase) -> None:
    sleepers = [asyncio.create_task(database.fetch(SLEEP)) for _ in range(2 * CONNECTIONS_MAX)]
    while await _sleeping(database) < CONNECTIONS_MAX:
        pass
    for sleeper in sleepers:
        sleeper.cancel()
    await asyncio.gather(*sleepers, return_exceptions=True)
    assert all(sleeper.cancelled() for sleeper in sleepers)
    await test_more_at_once_than_there_are_connections(database)


async def _sleeping(database: PostgresDatabase) -> int:
    """Ask on a connection of its own, since the others sleep."""
    async with await psycopg.AsyncConnection.connect(database._pool.conninfo) as connection:  # type: ignore[arg-type]
        cursor = await connection.execute(
            b"SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(10)'"
        )
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


@pytest.mark.usefixtures("short_statements")
async def test_a_statement_that_takes_too_long_is_ended(
    opening: Opening, postgres_url: str
) -> None:
    database = await opening(postgres_url)
    with capture_logs() as events:
        assert isinstance(await cause_of(database.fetch(SLEEP)), psycopg.errors.QueryCanceled)
    assert events == [
        {
            "event": "store_failed",
            "log_level": "error",
            "code": "57014",
            "error": "canceling statement due to statement timeout",
        }
    ]


@pytest.mark.usefixtures("short_statements")
async def test_a_row_that_stays_locked_is_not_waited_for_long(
    opening: Opening, postgres_url: str
) -> None:
    database = await opening(postgres_url)
    async with await psycopg.AsyncConnection.connect(postgres_url) as holder:
        await holder.execute(CHANGE)
        cause = await cause_of(database.fetch(CHANGE))
    assert isinstance(cause, psycopg.errors.LockNotAvailable)


@pytest.mark.usefixtures("short_statements")
async def test_a_process_that_stands_still_in_a_transaction_loses_its_locks(
    opening: Opening,
    postgres_url: str,
) -> None:
    database = await opening(postgres_url)

    async def stand_still() -> None:
        async with database.transaction() as connection:
            await fetch(connection, CHANGE)
            while True:
                try:
                    await database.fetch(CHANGE)
                except ServiceError:
                    continue
                return

    with capture_logs():
        cause = await cause_of(stand_still())
    assert isinstance(cause, psycopg.errors.IdleInTransactionSessionTimeout)


async def test_a_database_of_an_older_version_is_refused(
    opening: Opening, empty_postgres_url: str
) -> None:
    with pytest.raises(DatabaseUnusable) as caught:
        await opening(empty_postgres_url)
    assert str(caught.value) == (
        "the database's schema has version 0, and this program needs 3: run `migrate` first"
    )


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_what_cannot_be_opened_is_said_without_the_password(opening: Opening) -> None:
    server = shared_server()
    url, password = server.url, "canary-database-password"
    wrong = {
        url.replace(password, "canary-wrong"): "password authentication failed",
        url.replace(str(server.port), str(_closed_port())): "Connection refused",
        url.replace("/postgres", "/nowhere"): 'database "nowhere" does not exist',
        url.replace(password, "canary%zz"): "cannot be read",
        url.replace("127.0.0.1", "nowhere.invalid"): "nowhere.invalid",
    }
    for each, why in wrong.items():
        with pytest.raises(DatabaseUnusable, match=why) as caught:
            await opening(each)
        assert "canary" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_a_server_that_was_restarted_is_used_again_at_once(
    opening: Opening, breakable_postgres: PostgresServer, breakable_url: str
) -> None:
    """No request is sent on a connection that the server has closed."""
    database = await opening(breakable_url)
    for number in range(1000, 1003):
        await asyncio.gather(*(database.fetch(COUNT) for _ in range(2 * CONNECTIONS_MAX)))
        breakable_postgres.kill()
        breakable_postgres.start()
        await database.fetch(ADD, {"number": number})
    assert await _count(database) == 3


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("outage", ["kill", "freeze"])
async def test_an_outage_is_said_in_time_and_ends_by_itself(
    opening: Opening, breakable_postgres: PostgresServer, breakable_url: str, outage: str
) -> None:
    """Requests that are under way, those that come then, and a transaction."""
    database = await opening(breakable_url)
    sleeping = asyncio.create_task(database.fetch(SLEEP))
    await database.fetch(COUNT)

    async def transaction() -> None:
        async with database.transaction() as connection:
            await fetch(connection, ADD, {"number": 1000})
            getattr(breakable_postgres, outage)()
            await fetch(connection, ADD, {"number": 1001})

    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    with capture_logs() as events:
        async with asyncio.timeout(10):
            await cause_of(transaction())
            await cause_of(sleeping)
            requests = [database.fetch(COUNT) for _ in range(3 * CONNECTIONS_MAX)]
            await asyncio.gather(*map(cause_of, requests))
    ticking.cancel()
    assert ticks > 10  # Nobody held up the event loop.
    assert {event["event"] for event in events} == {"store_failed"}
    assert "canary" not in str(events)

    breakable_postgres.recover()
    async with asyncio.timeout(10):
        while True:
            try:
                count = await _count(database)
            except ServiceError:
                continue
            break
    assert count == 0
