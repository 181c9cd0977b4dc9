"""Replicas that are killed, frozen, or cut off from their database, under load.

What they leave behind is settled when a lease has run out, which takes half a minute. So all of it
goes on side by side, and each test waits for its own part.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from service.stores.postgres_migrations import migrate
from tests.postgres_server import PostgresServer, shared_server
from tests.replicas.database_outage import database_outage
from tests.replicas.frozen_owner import frozen_owner
from tests.replicas.kills import kills
from tests.replicas.stage import Stage

FROZEN = "the owner of a lease is frozen"
CUT_OFF = "the database is killed"
KILLED = "one of two replicas is killed, 50 times"


@pytest.fixture(scope="module")
async def under_way(
    stage: Stage, _breakable_server: PostgresServer
) -> AsyncIterator[Mapping[str, "asyncio.Task[str]"]]:
    urls = [shared_server().new_schema_url() for _ in range(2)]
    for url in urls:
        await migrate(url)
    tasks = {
        KILLED: asyncio.create_task(kills(stage, urls[0])),
        FROZEN: asyncio.create_task(frozen_owner(stage, urls[1])),
        CUT_OFF: asyncio.create_task(database_outage(stage, _breakable_server)),
    }
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    _breakable_server.recover()


@pytest.mark.parametrize("what", [FROZEN, CUT_OFF, KILLED])
async def test_no_step_is_lost_or_doubled_when(
    under_way: Mapping[str, "asyncio.Task[str]"], what: str
) -> None:
    print(f"{what}: {await under_way[what]}")  # noqa: T201 - the counts
