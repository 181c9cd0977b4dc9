"""The journal in an SQLite file: after a restart, with a clock that is set back, and failing."""

import re
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from service.application.journal_port import LEASE_SECONDS, Claimed, RunsElsewhere, SequenceHeld
from service.domain.errors import Reason, ServiceError
from service.domain.operation import CallState, OperationState
from service.stores import journal_sqlite
from service.stores.journal_sqlite import _QUERIES, SqliteJournal
from service.stores.key_ring import KeyRing
from service.stores.sqlite_database import SqliteDatabase
from tests.connections.samples import KEY_1, KEY_2
from tests.journal.samples import (
    ACME,
    SETTLE_SECONDS,
    claim,
    claimed,
    ended,
    key,
    noted,
    sending,
)
from tests.journal.stores import SqliteStore, sqlite_file


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with sqlite_file(tmp_path) as made:
        yield made


@pytest.fixture
async def next_store(store: SqliteStore, tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """Another process on the same file."""
    database = await SqliteDatabase.open(tmp_path / "engagement.db")
    yield SqliteStore(database, store.clock)
    await database.aclose()


def _contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def test_the_next_process_finds_what_was_saved(
    store: SqliteStore, next_store: SqliteStore
) -> None:
    """At once: nothing is answered before it is in the file."""
    sent = await sending(store.journal, await claimed(store.journal, key()))
    assert await next_store.journal.find(key()) == sent
    done = noted(sent, CallState.DONE).moved(OperationState.SUCCEEDED)
    await store.journal.save(done)
    assert await next_store.journal.find(key()) == done


async def test_j2_the_next_process_gives_other_epochs(
    store: SqliteStore, next_store: SqliteStore
) -> None:
    first = await claimed(store.journal, key())
    await store.journal.discard(first)
    second = await claimed(next_store.journal, key())
    await next_store.journal.discard(second)
    third = await claimed(store.journal, key())
    assert len({first.epoch, second.epoch, third.epoch}) == 3


async def test_a_process_that_starts_ends_the_leases_of_the_one_before(
    store: SqliteStore, next_store: SqliteStore
) -> None:
    sent = await sending(store.journal, await claimed(store.journal, key()))
    quiet = await ended(
        store.journal, key("r-2"), OperationState.IN_DOUBT, sequence_id="s-2", look_after_seconds=60
    )
    assert await claim(next_store.journal, key()) == RunsElsewhere()
    await next_store.journal.expire_leases()
    assert [each.key for each in await next_store.journal.due(10)] == [sent.key]
    answer = await claim(next_store.journal, key())
    assert isinstance(answer, Claimed)
    assert answer.operation.calls[0].state is CallState.LOST
    assert await next_store.journal.find(quiet.key) == quiet


@pytest.mark.parametrize("back_seconds", [1.0, 3600.0])
async def test_j17_a_clock_before_the_write_counts_it_as_just_sent(
    store: SqliteStore, back_seconds: float
) -> None:
    await ended(store.journal, key(), OperationState.IN_DOUBT, is_open=True)
    store.clock.passed_seconds -= back_seconds
    held = await claim(store.journal, key("r-2"))
    assert isinstance(held, SequenceHeld)
    assert held.wait_seconds == SETTLE_SECONDS


async def test_j17_a_clock_that_goes_back_frees_nothing(store: SqliteStore) -> None:
    operation = await claimed(store.journal, key())
    store.clock.passed_seconds -= 3600
    assert await claim(store.journal, key()) == RunsElsewhere()
    assert await store.journal.due(10) == ()
    # Its owner goes on, by the clock as it is now.
    sent = await sending(store.journal, operation)
    assert sent.sent_at_epoch_ms == round(store.clock.epoch_seconds() * 1000)
    store.clock.passed_seconds += LEASE_SECONDS + 1
    assert [each.key for each in await store.journal.due(10)] == [key()]


async def test_j17_a_process_that_starts_after_the_clock_went_back_waits_for_nobody(
    store: SqliteStore,
) -> None:
    await claimed(store.journal, key())
    store.clock.passed_seconds -= 3600
    await store.journal.expire_leases()
    assert isinstance(await claim(store.journal, key()), Claimed)


async def test_keys_are_rotated_by_putting_a_new_one_first(store: SqliteStore) -> None:
    old, new = {"k1": KEY_1}, {"k2": KEY_2}
    rotated = SqliteJournal(store.database, KeyRing(new | old), store.clock)
    await sending(store.journal, await claimed(store.journal, key()))
    await sending(rotated, await claimed(rotated, key("r-2"), "s-2"))
    only_new = SqliteJournal(store.database, KeyRing(new), store.clock)
    assert await only_new.find(key("r-2")) is not None
    with pytest.raises(ServiceError, match="INTERNAL"):
        await only_new.find(key())
    found = await rotated.find(key())
    assert found is not None
    await rotated.save(found)
    assert await only_new.find(key()) == found


async def test_content_is_in_no_file(store: SqliteStore, tmp_path: Path) -> None:
    operation = await sending(store.journal, await claimed(store.journal, key()))
    await store.journal.save(replace(operation, trouble="canary-trouble"))
    files = _contents(tmp_path)
    assert files.keys() == {"engagement.db", "engagement.db-wal", "engagement.db-shm"}
    everything = b"".join(files.values())
    assert b"acme" in everything
    for content in (b"canary-trouble", b"Ring twice"):
        assert content not in everything


async def test_much_is_forgotten_in_parts(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_sqlite, "FORGET_ROWS_MAX", 2)
    for number in range(5):
        await ended(store.journal, key(f"r-{number}"), OperationState.NO_EFFECT)
    store.clock.passed_seconds += 1
    forgotten = await store.journal.forget(finished_before_seconds=1, open_before_seconds=1)
    assert forgotten == 5
    assert await store.documents() == []


async def test_a_store_that_fails_says_so_for_every_method(store: SqliteStore) -> None:
    journal = store.journal
    operation = await claimed(journal, key())
    await store.execute("DROP TABLE operations")
    for failing in (
        claim(journal, key()),
        journal.take(key(), operation.epoch),
        journal.save(operation),
        journal.discard(operation),
        journal.renew([operation]),
        journal.find(key()),
        journal.due(10),
        journal.steps_of_others(operation),
        journal.forget(finished_before_seconds=1, open_before_seconds=1),
        journal.expire_leases(),
        journal.summaries(connection=None, only_unsettled=True, limit=10),
        journal.show(ACME, "r-1"),
    ):
        with pytest.raises(ServiceError) as caught:
            await failing
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE operations SET state = 'lost'",
        "UPDATE operations SET holds_sequence = 0",
        "UPDATE operations SET due_at_epoch_ms = NULL",
        "UPDATE operations SET epoch = NULL",
    ],
)
async def test_the_database_refuses_what_cannot_be(store: SqliteStore, statement: str) -> None:
    operation = await claimed(store.journal, key())
    with pytest.raises(ServiceError) as caught:
        await store.execute(statement)
    assert isinstance(caught.value.__cause__, sqlite3.IntegrityError)
    assert await store.journal.find(key()) == operation


@pytest.mark.parametrize("name", sorted(_QUERIES.keys() - {"insert", "next_epoch", "list"}))
async def test_no_request_searches_the_whole_table(store: SqliteStore, name: str) -> None:
    statement = f"EXPLAIN QUERY PLAN {_QUERIES[name]}"
    parameters = dict.fromkeys(re.findall(r":(\w+)", statement), 0)
    plan = await store.database.run(
        lambda connection: connection.execute(statement, parameters).fetchall()
    )
    steps = [row[-1] for row in plan if "operations" in row[-1]]
    # That index has the rows alone that hold their sequence: those of requests in flight.
    few_rows = "SCAN operations USING INDEX operations_holding_sequence"
    assert all(step.startswith("SEARCH operations") or step == few_rows for step in steps)
    assert steps
