"""The vendors, and a database of either kind."""

from pathlib import Path

import pytest

from service.stores.postgres_migrations import migrate
from tests.canary.databases import Database, Postgres, Sqlite
from tests.postgres_server import shared_server
from tests.service import conftest as of_service

sandbox, control = of_service.sandbox, of_service.control


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        return Sqlite(tmp_path)
    url = shared_server().new_schema_url()
    await migrate(url)
    return Postgres(url)
