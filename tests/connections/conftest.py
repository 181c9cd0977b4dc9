"""Connections for each test: in a file of its own, or in either database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.stores.connections_sqlite import SqliteConnections
from service.stores.sqlite_database import SqliteDatabase
from tests.connections.kept_rows import DATABASES, KeptRows
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


@pytest.fixture(params=DATABASES)
async def kept_rows(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[KeptRows]:
    """Run the test on each database."""
    async with DATABASES[request.param](tmp_path) as made:
        yield made
