"""A replica is frozen in the middle of two operations, and wakes when their leases have run out.

One operation is surveying, the other one has just committed that it is about to write. Another
replica makes both steps meanwhile; the one that wakes must not, although nobody told it.
"""

import asyncio
import time

import psycopg

from tests.replicas import promises
from tests.replicas.request import OK, Answer, Request, counts, marked_request
from tests.replicas.stage import Replica, Stage, connect
from tests.service.vendor_hold import held, hold

SURVEY_SECONDS = 10.0
"""How long the vendor takes for the survey of the one, while the other comes to its first write."""

CALL_SECONDS = 120.0
"""The callers are patient: a lease lasts 30 seconds."""

POLL_SECONDS = 0.005


async def frozen_owner(stage: Stage, postgres_url: str) -> str:
    """Freeze, let the other replica finish, thaw, and ask the vendors; return the counts."""
    environment = stage.environment(postgres_url)
    accounts = [await stage.account("outreach", 2) for _ in range(2)]
    await connect(environment, accounts)
    surveying, sending = requests = [marked_request(each, each.sequence_id) for each in accounts]
    async with stage.replica(environment) as owner, stage.replica(environment) as other:
        first_calls = [
            await _begun(surveying, owner, SURVEY_SECONDS),
            await _begun(sending, owner, SURVEY_SECONDS / 10),
        ]
        await _freeze_between_commit_and_write(sending, owner, postgres_url)
        assert [await each.writes() for each in accounts] == [[], []]

        begun_at = time.monotonic()
        answers = await asyncio.gather(*(each.ask(other, CALL_SECONDS) for each in requests))
        waited_seconds = time.monotonic() - begun_at
        assert [answer.reason for answer in answers] == [OK, OK]

        thawed_at = time.time()
        owner.thaw()
        late = [answer.reason for answer in await asyncio.gather(*first_calls)]
        assert set(late) <= {OK, "OUTCOME_UNKNOWN"}

        for each in accounts:
            assert [write for write in await each.writes() if write["at"] > thawed_at] == []

        next_step = marked_request(accounts[0], f"{int(accounts[0].sequence_id) + 1}")
        assert (await next_step.ask(owner)).reason == OK

    steps = await promises.one_step_each([*requests, next_step])
    return (
        f"{counts(requests)}; {waited_seconds:.0f} s until taken over; {steps} steps; late {late}"
    )


async def _begun(request: Request, replica: Replica, seconds: float) -> asyncio.Task[Answer]:
    """Call, and wait until the vendor has a read of the survey, for which it takes so long."""
    await hold(request.account, "GET", "/sequenceSteps$", seconds=seconds)
    call = asyncio.create_task(request.ask(replica, CALL_SECONDS))
    await held(request.account)
    return call


async def _freeze_between_commit_and_write(
    request: Request, replica: Replica, postgres_url: str
) -> None:
    """Freeze a replica when the database has its next commit, and not yet answered.

    For that the row is locked until the replica is frozen; then the database goes on by itself.
    """
    async with (
        await psycopg.AsyncConnection.connect(postgres_url) as locking,
        await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as watching,
    ):
        row = "FROM operations WHERE request_id = %(id)s"
        await locking.execute(f"SELECT 1 {row} FOR UPDATE".encode(), {"id": request.id})
        waits = b"SELECT count(*) FROM pg_stat_activity WHERE %(by)s = ANY(pg_blocking_pids(pid))"
        await _until(watching, waits, {"by": locking.info.backend_pid})
        replica.freeze()
        await locking.rollback()
        await _until(watching, f"SELECT count(sent_at_epoch_ms) {row}".encode(), {"id": request.id})


async def _until(
    connection: psycopg.AsyncConnection, count: bytes, given: dict[str, object]
) -> None:
    """Wait until a count is 1."""
    async with asyncio.timeout(SURVEY_SECONDS):
        while await (  # noqa: ASYNC110 - nobody tells
            await connection.execute(count, given)
        ).fetchone() != (1,):
            await asyncio.sleep(POLL_SECONDS)
