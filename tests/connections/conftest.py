"""A store of connections on a file of its own, for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.stores.connections_sqlite import SqliteConnections
from service.stores.sqlite_database import SqliteDatabase
from tests.connections.manual_clock import ManualClock
from tests.connections.samples import RING


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "engagement.db"


@pytest.fixture
async def database(path: Path) -> AsyncIterator[SqliteDatabase]:
    made = await SqliteDatabase.open(path)
    yield made
    await made.aclose()


@pytest.fixture
def store(database: SqliteDatabase, clock: ManualClock) -> SqliteConnections:
    return SqliteConnections(database, RING, clock)
