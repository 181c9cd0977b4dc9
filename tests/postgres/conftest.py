"""Databases as replicas have them, and short time limits."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from typing import TypeAlias

import pytest

from service.domain.errors import Reason, ServiceError
from service.stores import postgres_connection, postgres_database
from service.stores.postgres_database import PostgresDatabase
from service.stores.postgres_migrations import migrate
from tests.postgres_server import PostgresServer

Opening: TypeAlias = Callable[[str], Awaitable[PostgresDatabase]]


@pytest.fixture
async def opening() -> AsyncIterator[Opening]:
    """Open databases that are closed at the end, however the test ends."""
    async with AsyncExitStack() as stack:

        async def open_(url: str) -> PostgresDatabase:
            return await stack.enter_async_context(aclosing(await PostgresDatabase.open(url)))

        yield open_


@pytest.fixture
async def database(opening: Opening, postgres_url: str) -> PostgresDatabase:
    return await opening(postgres_url)


@pytest.fixture
async def other(opening: Opening, postgres_url: str) -> PostgresDatabase:
    """The same database, as another process has it open."""
    return await opening(postgres_url)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test with a silent server not take as long as users wait."""
    monkeypatch.setattr(postgres_connection, "ANSWER_SECONDS_MAX", 0.8)
    monkeypatch.setattr(postgres_database, "CONNECTION_WAIT_SECONDS_MAX", 0.8)


@pytest.fixture
def short_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test of the server's own limits not take as long as users wait."""
    limits = {"statement_timeout": 300, "lock_timeout": 150}
    limits["idle_in_transaction_session_timeout"] = 300
    for name, milliseconds in limits.items():
        monkeypatch.setitem(postgres_connection._SERVER_SETTINGS, name, milliseconds)


async def cause_of(failing: Awaitable[object]) -> BaseException | None:
    """Return why the store cannot be used; it has to say so."""
    with pytest.raises(ServiceError) as caught:
        await failing
    assert caught.value.reason is Reason.STORE_UNAVAILABLE
    assert caught.value.retry_after_seconds == 5.0
    return caught.value.__cause__


@pytest.fixture
async def breakable_url(breakable_postgres: PostgresServer) -> str:
    """A database of the server that may be broken."""
    url = breakable_postgres.new_schema_url()
    await migrate(url)
    return url
