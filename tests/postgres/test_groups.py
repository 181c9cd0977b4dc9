"""Statements in groups: who shares a transaction, and what becomes of all when one fails."""

import asyncio
from collections.abc import Sequence

import psycopg
import pytest
from structlog.testing import capture_logs

from service.stores import postgres_connection
from service.stores.groups import MEMBERS_MAX
from service.stores.postgres_database import PostgresDatabase
from tests.postgres.conftest import Opening, cause_of
from tests.postgres_server import PostgresServer

ADD = b"""
    INSERT INTO applied_migrations (number) VALUES (%(number)s)
    RETURNING pg_current_xact_id()::text
"""
CHANGE = b"""
    UPDATE applied_migrations SET number = number WHERE number = %(number)s RETURNING number
"""
LOCK = b"SELECT number FROM applied_migrations WHERE number = 1 FOR UPDATE"
NUMBERS = b"SELECT number FROM applied_migrations WHERE number >= 1000 ORDER BY number"


async def _add(database: PostgresDatabase, number: int) -> str:
    """Add a number; return the transaction in which it was added."""
    ((transaction,),) = await database.fetch_grouped(ADD, {"number": number})
    return str(transaction)


async def _added(database: PostgresDatabase, numbers: Sequence[int]) -> list[str | BaseException]:
    adding = (_add(database, number) for number in numbers)
    return await asyncio.gather(*adding, return_exceptions=True)


async def _numbers(database: PostgresDatabase) -> list[int]:
    return [number for (number,) in await database.fetch(NUMBERS)]


async def test_those_that_come_at_once_share_a_transaction(database: PostgresDatabase) -> None:
    numbers = range(1000, 1000 + MEMBERS_MAX)
    assert len(set(await _added(database, numbers))) == 1
    assert await _numbers(database) == list(numbers)


async def test_a_group_has_a_limit(database: PostgresDatabase) -> None:
    numbers = range(1000, 1000 + 3 * MEMBERS_MAX)
    assert len(set(await _added(database, numbers))) == 3
    assert await _numbers(database) == list(numbers)


async def test_one_that_comes_alone_does_not_wait(database: PostgresDatabase) -> None:
    assert await _add(database, 1000) != await _add(database, 1001)


async def test_rows_are_told_to_who_asked(database: PostgresDatabase) -> None:
    await _added(database, range(1000, 1050))
    changed = await asyncio.gather(
        *(database.fetch_grouped(CHANGE, {"number": number}) for number in range(990, 1060))
    )
    assert changed == [[(number,)] if 1000 <= number < 1050 else [] for number in range(990, 1060)]


@pytest.mark.parametrize("failing", [0, 7, 19])
async def test_one_that_fails_fails_alone(database: PostgresDatabase, failing: int) -> None:
    """Also with statements that the connection has not prepared yet, and ever after."""
    for first in (1000, 1100):
        numbers = [*range(first, first + 20)]
        numbers[failing] = 1
        results = await _added(database, numbers)
        assert isinstance(results.pop(failing), psycopg.errors.UniqueViolation)
        assert not [result for result in results if isinstance(result, BaseException)]
    expected = [*range(1000, 1020), *range(1100, 1120)]
    del expected[20 + failing], expected[failing]
    assert await _numbers(database) == expected


@pytest.mark.usefixtures("short_statements")
async def test_one_that_waits_for_a_lock_does_not_stop_the_others(
    opening: Opening, postgres_url: str
) -> None:
    database = await opening(postgres_url)
    async with await psycopg.AsyncConnection.connect(postgres_url) as holder:
        await holder.execute(LOCK)
        with capture_logs():
            cause, *added = await asyncio.gather(
                cause_of(database.fetch_grouped(CHANGE, {"number": 1})),
                *(_add(database, number) for number in range(1000, 1010)),
            )
    assert isinstance(cause, psycopg.errors.LockNotAvailable)
    assert len(added) == 10
    assert await _numbers(database) == list(range(1000, 1010))


async def test_who_leaves_takes_nobody_along(database: PostgresDatabase) -> None:
    """What was not sent yet is not done."""
    members = [asyncio.create_task(_add(database, number)) for number in range(1000, 1010)]
    await asyncio.sleep(0)
    members[3].cancel()
    results = await asyncio.gather(*members, return_exceptions=True)
    assert isinstance(results.pop(3), asyncio.CancelledError)
    assert len(set(results)) == 1
    assert await _numbers(database) == [*range(1000, 1003), *range(1004, 1010)]


async def test_closing_finishes_what_was_asked_for(database: PostgresDatabase) -> None:
    members = [asyncio.create_task(_add(database, number)) for number in range(1000, 1200)]
    await asyncio.sleep(0)
    await database.aclose()
    assert len(await asyncio.gather(*members)) == 200


@pytest.mark.parametrize("outage", ["kill", "freeze"])
async def test_a_group_that_gets_no_answer_is_not_repeated(
    opening: Opening,
    breakable_postgres: PostgresServer,
    breakable_url: str,
    monkeypatch: pytest.MonkeyPatch,
    outage: str,
) -> None:
    """Whether it was done is not known, and each member is told so; it was done wholly or not."""
    monkeypatch.setattr(postgres_connection, "ANSWER_SECONDS_MAX", 0.8)
    database = await opening(breakable_url)
    holder = await psycopg.AsyncConnection.connect(breakable_url)
    await holder.execute(LOCK)
    members = [database.fetch_grouped(ADD, {"number": number}) for number in (1000, 1001)]
    members.append(database.fetch_grouped(CHANGE, {"number": 1}))
    asked = [asyncio.create_task(cause_of(member)) for member in members]
    while not await database.fetch(b"SELECT 1 FROM pg_locks WHERE NOT granted"):
        pass
    getattr(breakable_postgres, outage)()
    with capture_logs():
        causes = await asyncio.gather(*asked)
    assert [type(cause) for cause in causes] == [psycopg.OperationalError] * 3
    breakable_postgres.recover()
    await holder.close()
    assert await _numbers(database) in [[], [1000, 1001]]
