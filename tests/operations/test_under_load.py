"""What operators do while the service is at work, as docs/operations.md says.

What nobody has noted the end of is taken over when its lease has run out, which takes half a
minute. So all of it goes on side by side, and each test waits for its own part.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from tests.operations.backup_and_restore import backup_and_restore
from tests.operations.databases import PostgresDatabase, SqliteDatabase
from tests.operations.disk_full import disk_full
from tests.operations.rolling_restart import rolling_restart
from tests.postgres_server import shared_server
from tests.replicas.stage import Stage

SQLITE = "SQLite is backed up and restored"
POSTGRES = "PostgreSQL is backed up and restored"
DISK = "the disk is full"
RESTART = "two replicas are restarted in turn"


@pytest.fixture(scope="module")
async def under_way(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mapping[str, "asyncio.Task[str]"]]:
    sqlite = SqliteDatabase(tmp_path_factory.mktemp("sqlite"))
    postgres = PostgresDatabase(shared_server(), tmp_path_factory.mktemp("postgres"))
    await postgres.create()
    tasks: dict[str, asyncio.Task[str]] = {
        SQLITE: asyncio.create_task(backup_and_restore(stage, sqlite)),
        POSTGRES: asyncio.create_task(backup_and_restore(stage, postgres)),
        DISK: asyncio.create_task(disk_full(stage, tmp_path_factory.mktemp("disk"))),
        RESTART: asyncio.create_task(rolling_restart(stage, shared_server().new_schema_url())),
    }
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("what", [SQLITE, POSTGRES, DISK, RESTART])
async def test_each_request_has_one_step_when(
    under_way: Mapping[str, "asyncio.Task[str]"], what: str
) -> None:
    print(f"{what}: {await under_way[what]}")  # noqa: T201 - the counts
