"""PostgreSQL for every test that wants it: one server, and an empty database for each test."""

from collections.abc import Iterator

import pytest

from service.stores.postgres_migrations import migrate
from tests.postgres_server import PostgresServer, shared_server


@pytest.fixture
def empty_postgres_url() -> str:
    """Where there is nothing yet, not even a schema's first version."""
    return shared_server().new_schema_url()


@pytest.fixture(scope="session")
def _breakable_server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def breakable_postgres(_breakable_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that the test may kill or freeze."""
    yield _breakable_server
    _breakable_server.recover()


@pytest.fixture
async def postgres_url(empty_postgres_url: str) -> str:
    """Where all tables are, and nothing in them."""
    await migrate(empty_postgres_url)
    return empty_postgres_url
