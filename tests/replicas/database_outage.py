"""PostgreSQL is killed in the middle of load, and comes back after some seconds."""

import asyncio
import itertools
import time
from collections.abc import Mapping

from service.domain.operation import OperationState
from service.domain.plan import Target
from service.stores.postgres_migrations import migrate
from tests.postgres_server import PostgresServer
from tests.replicas import promises
from tests.replicas.request import OK, Pick, Request, counts, marked_request
from tests.replicas.stage import Stage, connect, operations
from tests.service.test_concurrency import sequence_ids
from tests.service.vendor_account import VendorAccount

REQUESTS_BEFORE = 40
REQUESTS_MEANWHILE = 60
REQUESTS_AFTER = 20
REQUESTS = REQUESTS_BEFORE + REQUESTS_MEANWHILE + REQUESTS_AFTER
NEW_REQUEST_SECONDS = 0.06
"""Between two requests: so the outage lasts about four seconds."""

VENDOR_SECONDS = 0.3
"""How long a vendor takes before it applies a write, and again before it answers."""

CALL_SECONDS = 60.0

SETTLED_SECONDS_MAX = 75.0
"""A lease lasts 30, and what is due is looked after every 15; what could not be settled then is
looked at again after 30."""

POLL_SECONDS = 0.5
CLOCK_SECONDS = 0.001
"""Times in the journal are rounded to it."""


async def database_outage(stage: Stage, server: PostgresServer) -> str:
    """Repeat nothing until all has settled by itself; then repeat, and ask the vendors."""
    url = server.new_schema_url()
    await migrate(url)
    environment = stage.environment(url)
    accounts = await stage.slow_accounts(REQUESTS, VENDOR_SECONDS, method="POST")
    await connect(environment, accounts)
    requests = [
        marked_request(account, sequence_ids(account.vendor, REQUESTS)[number])
        for number, account in zip(range(REQUESTS), itertools.cycle(accounts), strict=False)
    ]
    async with stage.replica(environment) as one, stage.replica(environment) as two:
        pick = itertools.cycle((one, two)).__next__
        await _asked_once_each(requests, pick, server)
        answered_at = time.monotonic()
        first = counts(requests)
        await _honest(requests, accounts, environment)
        await _settled_by_itself(environment)
        settled_seconds = time.monotonic() - answered_at
        await _settled_right(accounts, environment)
        await asyncio.gather(*(request.settle(pick) for request in requests))
    assert await promises.one_step_each(requests) == REQUESTS
    return f"{first}; settled by itself in {settled_seconds:.0f} s; then {counts(requests)}"


async def _asked_once_each(requests: list[Request], pick: Pick, server: PostgresServer) -> None:
    coming = iter(requests)
    async with asyncio.TaskGroup() as calls:
        for count, then in (
            (REQUESTS_BEFORE, server.kill),
            (REQUESTS_MEANWHILE, server.start),
            (REQUESTS_AFTER, None),
        ):
            for request in itertools.islice(coming, count):
                calls.create_task(request.ask(pick(), CALL_SECONDS))
                await asyncio.sleep(NEW_REQUEST_SECONDS)
            if then is not None:
                await asyncio.to_thread(then)


async def _honest(
    requests: list[Request], accounts: list[VendorAccount], environment: Mapping[str, str]
) -> None:
    """Check what callers were told, and that the journal knew of each write before its vendor."""
    told = {request.id: request.answers[0].reason for request in requests}
    assert set(told.values()) == {OK, "STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"}
    sent_at = {
        each.operation.key.request_id: call.sent_at_epoch_ms
        for each in await operations(environment)
        for call in each.operation.calls
        if call.write.target is Target.STEP
    }
    for account in accounts:
        for id_, times in (await promises.write_times(account)).items():
            assert told[id_] != "STORE_UNAVAILABLE"
            committed_at_epoch_ms = sent_at[id_]
            assert committed_at_epoch_ms is not None
            assert committed_at_epoch_ms / 1000 <= min(times) + CLOCK_SECONDS


async def _settled_by_itself(environment: Mapping[str, str]) -> None:
    async with asyncio.timeout(SETTLED_SECONDS_MAX):
        while await operations(environment, only_unsettled=True):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(POLL_SECONDS)


async def _settled_right(accounts: list[VendorAccount], environment: Mapping[str, str]) -> None:
    made = set[str]().union(*[await promises.step_times(account) for account in accounts])
    known = {
        each.operation.key.request_id: each.operation for each in await operations(environment)
    }
    assert made <= known.keys()
    for id_, operation in known.items():
        is_made = operation.state is OperationState.SUCCEEDED
        assert (id_ in made) == is_made, operation
