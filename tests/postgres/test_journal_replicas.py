"""Several replicas with one journal: whatever meets whatever, nothing has two owners."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from service.application.journal_port import (
    Claim,
    Claimed,
    Finished,
    OwnershipLost,
    RunsElsewhere,
    SequenceHeld,
)
from service.domain.operation import Operation, OperationState
from service.stores.journal_postgres import PostgresJournal
from service.stores.postgres_database import PostgresDatabase
from tests.connections.samples import RING
from tests.journal.samples import claim, ended, key, planned, sending

Claiming: TypeAlias = Awaitable[Claim | None]
Doing: TypeAlias = Callable[[], Awaitable[None]]

EXPIRE = b"UPDATE operations SET due_at_epoch_ms = 0 WHERE state = 'running'"


@pytest.fixture
def journals(database: PostgresDatabase, other: PostgresDatabase) -> list[PostgresJournal]:
    return [PostgresJournal(database, RING), PostgresJournal(other, RING)]


def _owned(claims: list[Claim]) -> list[Operation]:
    return [claim.operation for claim in claims if isinstance(claim, Claimed)]


async def test_one_key_claimed_by_many_has_one_owner(journals: list[PostgresJournal]) -> None:
    for number in range(10):
        claims = await asyncio.gather(
            *(claim(journals[each % 2], key(f"r-{number}"), f"s-{number}") for each in range(16))
        )
        assert len(_owned(claims)) == 1
        assert claims.count(RunsElsewhere()) == 15


async def test_one_sequence_claimed_by_many_has_one_owner(
    journals: list[PostgresJournal],
) -> None:
    for number in range(10):
        claims = await asyncio.gather(
            *(
                claim(journals[each % 2], key(f"{number}-{each}"), f"s-{number}")
                for each in range(16)
            )
        )
        (owner,) = _owned(claims)
        held = [claim for claim in claims if isinstance(claim, SequenceHeld)]
        assert len(held) == 15
        assert {each.holder for each in held} == {owner.key}


async def test_an_expired_lease_is_taken_by_one(
    journals: list[PostgresJournal], database: PostgresDatabase
) -> None:
    """By a claim or by recovery, whoever is first."""
    first = await sending(journals[0], _owned([await claim(journals[0], key())])[0])
    await database.fetch(EXPIRE)
    takers: list[Claiming] = []
    for journal in journals * 4:
        takers += [claim(journal, key()), journal.take(key(), first.epoch)]
    claims = [each for each in await asyncio.gather(*takers) if each is not None]
    (owner,) = _owned(claims)
    assert owner.epoch > first.epoch
    assert claims.count(RunsElsewhere()) == len(claims) - 1
    with pytest.raises(OwnershipLost):
        await journals[0].save(first)
    await journals[1].save(owner)


async def test_an_ended_operation_and_a_new_one_do_not_both_get_the_sequence(
    journals: list[PostgresJournal],
) -> None:
    for number in range(20):
        again, new = key(f"again-{number}"), key(f"new-{number}")
        sequence_id = f"s-{number}"
        await ended(journals[0], again, OperationState.NO_EFFECT, sequence_id=sequence_id)
        claims = await asyncio.gather(
            claim(journals[0], again, sequence_id), claim(journals[1], new, sequence_id)
        )
        assert len(_owned(list(claims))) == 1
        assert sum(isinstance(each, SequenceHeld) for each in claims) == 1


async def test_no_two_owners_ever_have_the_same_epoch(
    journals: list[PostgresJournal], database: PostgresDatabase
) -> None:
    epochs = []
    for _ in range(5):
        owned = _owned(
            await asyncio.gather(
                *(claim(journals[each % 2], key(f"r-{each}"), f"s-{each}") for each in range(10))
            )
        )
        epochs += [operation.epoch for operation in owned]
        await asyncio.gather(*(journals[0].discard(each) for each in owned[::2]))
        await database.fetch(EXPIRE)
    assert len(epochs) == 50
    assert len(set(epochs)) == 50


class Workers:
    """Many tasks that claim, save, discard, lose and take over, on few keys and sequences.

    It knows who owns what, and finds out at once when two do.
    """

    def __init__(self, journals: list[PostgresJournal], database: PostgresDatabase) -> None:
        self._journals = journals
        self._database = database
        self._random = random.Random(7)  # noqa: S311 - for a test that can be repeated
        self.owners: dict[str, int] = {}
        """The epoch that may write to a sequence."""
        self.counts = {"claimed": 0, "turned away": 0, "lost": 0, "done": 0}

    async def work(self, rounds: int) -> None:
        for _ in range(rounds):
            number = self._random.randrange(12)
            journal = self._random.choice(self._journals)
            answer = await claim(journal, key(f"r-{number}"), f"s-{number % 4}")
            if isinstance(answer, Claimed):
                self.counts["claimed"] += 1
                await self._run(journal, answer.operation)
            else:
                assert not isinstance(answer, Finished) or answer.operation.step_id is not None
                self.counts["turned away"] += 1

    async def _run(self, journal: PostgresJournal, operation: Operation) -> None:
        ways: list[Doing] = [
            lambda: self._discard(journal, operation),
            lambda: self._end(journal, operation),
            lambda: self._leave_it(journal, operation),
        ]
        try:
            await self._random.choice(ways)()
        except OwnershipLost:
            self.counts["lost"] += 1

    async def _discard(self, journal: PostgresJournal, operation: Operation) -> None:
        if operation.sent_at_epoch_ms is None:
            await journal.discard(operation)
            self.counts["done"] += 1

    async def _end(self, journal: PostgresJournal, operation: Operation) -> None:
        """Save twice; nobody else may own the sequence between two saves that succeed."""
        planned_one = planned(operation)
        await journal.save(planned_one)
        known = self.owners[operation.sequence_id] = operation.epoch
        await journal.save(planned_one)
        assert self.owners[operation.sequence_id] == known
        await journal.save(planned_one.moved(OperationState.NO_EFFECT))
        self.counts["done"] += 1

    async def _leave_it(self, journal: PostgresJournal, operation: Operation) -> None:
        """Let the lease run out, as one does that was frozen; then go on as if nothing was."""
        mine = {"request_id": operation.key.request_id}
        await self._database.fetch(EXPIRE + b" AND request_id = %(request_id)s", mine)
        await asyncio.sleep(0)
        await journal.save(planned(operation).moved(OperationState.NO_EFFECT))


async def test_many_workers_on_few_sequences(
    journals: list[PostgresJournal], database: PostgresDatabase
) -> None:
    workers = Workers(journals, database)
    await asyncio.gather(*(workers.work(12) for _ in range(16)))
    assert min(workers.counts.values()) > 0, workers.counts
