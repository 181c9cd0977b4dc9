"""A journal whose server goes down: what was answered stays, and the rest is said in time."""

import asyncio

import pytest
from structlog.testing import capture_logs

from service.application.journal_port import Claimed
from service.domain.errors import Reason, ServiceError
from service.domain.operation import CallState, Operation, OperationKey
from service.stores.journal_postgres import PostgresJournal
from tests.connections.samples import RING
from tests.journal.samples import claim, claimed, key, noted, planned, sending
from tests.postgres.conftest import Opening, cause_of
from tests.postgres_server import PostgresServer

ANSWER_SECONDS_MAX = 10.0


@pytest.fixture
async def journal(impatient: None, opening: Opening, breakable_url: str) -> PostgresJournal:
    _ = impatient
    return PostgresJournal(await opening(breakable_url), RING)


async def _again(journal: PostgresJournal, operation: Operation) -> Operation | None:
    """Find an operation as soon as the database answers again."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await journal.find(operation.key)
            except ServiceError:
                continue


async def test_what_was_answered_survives_a_crash(
    journal: PostgresJournal, breakable_postgres: PostgresServer
) -> None:
    """Killed in the middle of many claims and saves."""
    kept: dict[OperationKey, Operation] = {}
    failures: list[ServiceError] = []
    many = asyncio.Event()

    async def work(worker: int) -> None:
        try:
            for number in range(1000):
                name = f"{worker}-{number}"
                answer = await claim(journal, key(name), name)
                assert isinstance(answer, Claimed)
                kept[answer.operation.key] = answer.operation
                kept[answer.operation.key] = await sending(journal, answer.operation)
                if len(kept) > 200:
                    many.set()
        except ServiceError as error:
            failures.append(error)

    with capture_logs():
        workers = [asyncio.create_task(work(worker)) for worker in range(8)]
        await many.wait()
        await asyncio.to_thread(breakable_postgres.kill)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await asyncio.gather(*workers)
        breakable_postgres.start()
        assert [failure.reason for failure in failures] == [Reason.STORE_UNAVAILABLE] * 8
        for operation in kept.values():
            stored = await _again(journal, operation)
            assert stored is not None
            assert stored.epoch == operation.epoch
            if operation.sent_at_epoch_ms is not None:  # Else it may have been, unanswered.
                assert stored == operation


@pytest.mark.parametrize("outage", ["kill", "freeze"])
async def test_every_method_says_in_time_that_the_store_is_down(
    journal: PostgresJournal, breakable_postgres: PostgresServer, outage: str
) -> None:
    operation = planned(await claimed(journal, key()))
    await journal.save(operation)
    getattr(breakable_postgres, outage)()
    with capture_logs():
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await asyncio.gather(
                *map(
                    cause_of,
                    (
                        claim(journal, key("r-2"), "s-2"),
                        journal.take(key(), operation.epoch),
                        journal.save(operation),
                        journal.discard(operation),
                        journal.renew([operation]),
                        journal.find(key()),
                        journal.due(10),
                        journal.steps_of_others(operation),
                        journal.forget(finished_before_seconds=1, open_before_seconds=1),
                        journal.summaries(connection=None, only_unsettled=False, limit=10),
                        journal.show(key().connection, "r-1"),
                    ),
                )
            )
        breakable_postgres.recover()
        assert await _again(journal, operation) in [operation, None]


async def test_a_send_that_was_not_answered_can_be_saved_again(
    journal: PostgresJournal, breakable_postgres: PostgresServer
) -> None:
    """By the same owner, whether it was stored or not."""
    operation = planned(await claimed(journal, key()))
    sent = operation.with_call(0, operation.calls[0].moved(CallState.SENT))
    breakable_postgres.freeze()
    with capture_logs():
        await cause_of(journal.save(sent, is_sending=True))
        breakable_postgres.recover()
        await _again(journal, operation)
    assert await journal.save(sent, is_sending=True) > 0
    await journal.save(noted(await sending(journal, operation), CallState.REFUSED))
