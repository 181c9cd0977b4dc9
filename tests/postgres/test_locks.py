"""Locks among replicas: one holder, however the holders end, and no request waits for them."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from structlog.testing import capture_logs

from service.stores import postgres_locks
from service.stores.postgres_database import CONNECTIONS_MAX, PostgresDatabase
from tests.postgres.conftest import Opening, cause_of
from tests.postgres_server import PostgresServer

LOCKS_HELD = b"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
END_HOLDERS = b"""
    SELECT pg_terminate_backend(pid, 2000) FROM pg_locks WHERE locktype = 'advisory' AND granted
"""


async def _locks_held(database: PostgresDatabase) -> int:
    ((count,),) = await database.fetch(LOCKS_HELD)
    return int(count)


async def _take(database: PostgresDatabase, name: str = "a") -> None:
    async with database.lock(name):
        pass


class Holder:
    """Holds a lock until it is told to let go."""

    def __init__(self, database: PostgresDatabase, name: str = "a") -> None:
        self._has_it = asyncio.Event()
        self.let_go = asyncio.Event()
        self.task = asyncio.create_task(self._hold(database, name))

    async def _hold(self, database: PostgresDatabase, name: str) -> None:
        async with database.lock(name):
            self._has_it.set()
            await self.let_go.wait()

    async def has_it(self) -> None:
        async with asyncio.timeout(10):
            await self._has_it.wait()

    async def end(self) -> None:
        self.let_go.set()
        await self.task


@pytest.fixture
async def holder(database: PostgresDatabase) -> AsyncIterator[Holder]:
    made = Holder(database)
    await made.has_it()
    yield made
    await made.end()


async def test_one_of_many_holds_it(database: PostgresDatabase, other: PostgresDatabase) -> None:
    holders = 0
    most = 0

    async def hold(replica: PostgresDatabase) -> None:
        nonlocal holders, most
        async with replica.lock("a"):
            holders += 1
            most = max(most, holders)
            await replica.fetch(b"SELECT 1")
            holders -= 1

    await asyncio.gather(*(hold(replica) for replica in (database, other) for _ in range(5)))
    assert most == 1
    assert await _locks_held(database) == 0


@pytest.mark.parametrize("of_same_process", [True, False])
async def test_it_is_waited_for(
    holder: Holder, database: PostgresDatabase, other: PostgresDatabase, *, of_same_process: bool
) -> None:
    waiting = Holder(database if of_same_process else other)
    await _take(other, "b")  # Another name is not waited for.
    for _ in range(5):
        await other.fetch(b"SELECT 1")
    assert not waiting._has_it.is_set()
    await holder.end()
    await waiting.has_it()
    await waiting.end()


async def test_an_error_lets_go_of_it(database: PostgresDatabase, other: PostgresDatabase) -> None:
    async def fail() -> None:
        async with database.lock("a"):
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    await _take(other)


async def test_who_leaves_while_waiting_takes_nothing(
    holder: Holder, database: PostgresDatabase, other: PostgresDatabase
) -> None:
    waiting = Holder(other)
    await other.fetch(b"SELECT 1")
    waiting.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting.task
    await holder.end()
    await _take(database)
    await _take(other)
    assert await _locks_held(database) == 0


@pytest.mark.usefixtures("holder")
async def test_the_server_lets_go_of_it_when_the_holder_dies(other: PostgresDatabase) -> None:
    await other.fetch(END_HOLDERS)
    await _take(other)


async def test_who_lost_its_session_holds_again_afterwards(
    holder: Holder, database: PostgresDatabase, other: PostgresDatabase
) -> None:
    await other.fetch(END_HOLDERS)
    waiting = Holder(other)
    await waiting.has_it()
    await holder.end()  # It lets go of nothing that is not its own.
    assert await _locks_held(database) == 1
    await waiting.end()
    await _take(database)


async def test_a_frozen_holder_loses_it_in_the_end(
    opening: Opening, postgres_url: str, other: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_locks, "SESSION_SECONDS_MAX", 0.1)
    frozen = await opening(postgres_url)
    holder = Holder(frozen)
    await holder.has_it()
    await _take(other)
    await holder.end()


@pytest.mark.usefixtures("holder")
async def test_waiting_ends(other: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_locks, "WAIT_SECONDS_MAX", 0.1)
    with capture_logs() as events:
        assert await cause_of(_take(other)) is None
    assert events == [{"event": "lock_kept_by_another", "log_level": "warning", "lock": "a"}]


async def test_however_many_are_held_requests_do_not_wait(database: PostgresDatabase) -> None:
    holders = [Holder(database, f"connection {number}") for number in range(3 * CONNECTIONS_MAX)]
    for holder in holders:
        await holder.has_it()
    assert await _locks_held(database) == len(holders)
    for holder in holders:
        await holder.end()
    assert await _locks_held(database) == 0


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("outage", ["kill", "freeze"])
async def test_an_outage_is_said_in_time_and_ends_by_itself(
    opening: Opening, breakable_postgres: PostgresServer, breakable_url: str, outage: str
) -> None:
    database = await opening(breakable_url)
    holder = Holder(database)
    await holder.has_it()
    getattr(breakable_postgres, outage)()
    with capture_logs():
        cause = await cause_of(_take(database, "b"))
        await holder.end()  # What it did counts, though the lock cannot be given back.
    assert isinstance(cause, psycopg.OperationalError)
    breakable_postgres.recover()
    await _take(database)
