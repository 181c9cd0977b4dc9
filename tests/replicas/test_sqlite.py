"""SQLite has one serving process: it is killed in the middle of writes, and the next takes over."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from service.application.journal_port import LEASE_SECONDS
from tests.replicas import promises
from tests.replicas.request import Request, counts, marked_request
from tests.replicas.stage import Stage, connect, operations
from tests.service.service_process import run_to_its_end
from tests.service.test_concurrency import sequence_ids
from tests.service.vendor_account import VendorAccount
from tests.service.vendor_hold import eventually

REQUESTS_EACH = 8
"""At each vendor, of each process."""

KILLED_AT_WRITES = (1, 12, 24)
"""How many writes the vendors have when a process is killed, one of these for each process."""

VENDOR_SECONDS = 0.4
"""How long a vendor takes before it applies a write, and again before it answers."""


async def test_the_next_process_takes_over_at_once(stage: Stage, tmp_path: Path) -> None:
    """It waits for no lease to run out, since there is nobody who could still have it."""
    environment = stage.environment(str(tmp_path / "engagement.db"))
    count = REQUESTS_EACH * len(KILLED_AT_WRITES)
    accounts = await stage.slow_accounts(count, VENDOR_SECONDS, method="POST")
    await connect(environment, accounts)
    requests = []
    for number, writes in enumerate(KILLED_AT_WRITES):
        asked = [
            marked_request(account, sequence_id)
            for account in accounts
            for sequence_id in sequence_ids(account.vendor, count)[number :: len(KILLED_AT_WRITES)]
        ]
        await _asked_and_killed(stage, environment, asked, accounts, writes)
        requests += asked

    async with stage.replica(environment) as last, asyncio.timeout(LEASE_SECONDS / 2):
        await asyncio.gather(*(request.settle(lambda: last) for request in requests))
    assert await operations(environment, only_unsettled=True) == ()
    assert await promises.one_step_each(requests) == len(requests)
    await promises.nothing_where_nothing_was_promised(requests)
    print(counts(requests))  # noqa: T201 - the counts


async def test_a_second_process_is_refused(stage: Stage, tmp_path: Path) -> None:
    """Also while the first one is frozen; and no more, once it has been killed."""
    database = tmp_path / "engagement.db"
    environment = stage.environment(str(database))
    refusal = f"another process serves from {database}\n"
    async with stage.replica(environment) as first:
        assert await run_to_its_end(environment, tmp_path / "log") == (1, refusal)
        first.freeze()
        assert await run_to_its_end(environment, tmp_path / "log") == (1, refusal)
        await first.kill()
        async with stage.replica(environment):
            pass


async def _asked_and_killed(
    stage: Stage,
    environment: Mapping[str, str],
    requests: list[Request],
    accounts: list[VendorAccount],
    writes: int,
) -> None:
    """Make all calls at once, and kill the process when the vendors have so many more writes."""
    until = await _writes(accounts) + writes

    async def has_them() -> bool:
        return await _writes(accounts) >= until

    async with stage.replica(environment) as replica, asyncio.TaskGroup() as calls:
        for request in requests:
            calls.create_task(request.ask(replica))
        await eventually(has_them)
        await replica.kill()


async def _writes(accounts: list[VendorAccount]) -> int:
    return sum([len(await account.writes()) for account in accounts])
