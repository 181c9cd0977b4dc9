"""Connections that two processes change at once."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.stores.connections_postgres import PostgresConnections
from service.stores.postgres_connection import fetch
from service.stores.postgres_database import PostgresDatabase
from tests.connections.manual_clock import ManualClock
from tests.connections.samples import ACME_OUTREACH, RING, oauth

RENEWED = oauth(credential="access-2", refresh_token="refresh-2")


@pytest.mark.parametrize(
    "change",
    [lambda store: store.replace(oauth(), RENEWED), lambda store: store.mark_expired(oauth())],
    ids=["replace", "mark_expired"],
)
async def test_what_is_removed_meanwhile_stays_removed(
    database: PostgresDatabase,
    other: PostgresDatabase,
    change: Callable[[PostgresConnections], Awaitable[bool]],
) -> None:
    """The removal began before, and ends after."""
    store = PostgresConnections(database, RING, ManualClock())
    await store.put(oauth())
    async with other.transaction() as connection:
        await fetch(connection, b"DELETE FROM connections")
        changing = asyncio.ensure_future(change(store))
        while not await database.fetch(b"SELECT 1 FROM pg_locks WHERE NOT granted"):
            pass
    assert not await changing
    assert await store.read(ACME_OUTREACH) is None
