"""What holds the promises is missed when it is taken away: one change each, one test that fails."""

import asyncio
from types import SimpleNamespace

import pytest

from service.application import operation_tasks, provider_session
from service.application.journal_entry import JournalEntry
from service.domain.operation import Operation, OperationState
from service.stores import journal_sqlite
from tests.application import plans
from tests.application.memory_journal import memory_connection
from tests.rules import test_j01_intent_first as j1
from tests.rules import test_j02_epochs as j2
from tests.rules import test_j03_one_at_a_time as j3
from tests.rules import test_j06_absence as j6
from tests.rules import test_j07_quiet_time as j7
from tests.rules import test_j14_late_bytes as j14
from tests.rules import test_j15_leaving as j15
from tests.simulation import cluster

FAILS = pytest.raises(AssertionError)


def test_j1_without_the_commit_of_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    save = JournalEntry._save

    async def save_but_not_sent(
        entry: JournalEntry, *, is_sending: bool = False, look_after_seconds: float | None = None
    ) -> int:
        if is_sending:
            return entry._now_epoch_ms
        return await save(entry, look_after_seconds=look_after_seconds)

    monkeypatch.setattr(JournalEntry, "_save", save_but_not_sent)
    with FAILS:
        j1.test_j1_sent_is_committed_when_the_first_byte_arrives(plans.OUTREACH_LINK)


def test_j2_without_the_check_of_the_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    check = "AND epoch = :known_epoch"
    update = journal_sqlite._QUERIES["update"]
    assert check in update
    queries = {**journal_sqlite._QUERIES, "update": update.replace(check, "")}
    monkeypatch.setattr(journal_sqlite, "_QUERIES", queries)
    with FAILS:
        j2.test_j2_a_frozen_owner_changes_nothing_while_another_is_at_it()


def test_j3_without_the_index_that_excludes(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_index() -> object:
        database = memory_connection()
        database.execute("DROP INDEX operations_holding_sequence")
        return database

    monkeypatch.setattr(cluster, "memory_connection", without_index)
    with FAILS:
        j3.test_j3_two_replicas_write_to_one_sequence_one_after_the_other()


def test_j6_without_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JournalEntry, "settles_in_seconds", 0.0)
    with FAILS:
        j6.test_j6_a_write_that_is_not_shown_yet_is_not_sent_again(plans.OUTREACH_CALL)


def test_j7_without_the_quiet_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def runs(operation: Operation) -> bool:
        return operation.state is OperationState.RUNNING

    monkeypatch.setattr(Operation, "holds_sequence", property(runs))
    with FAILS:
        j7.test_j7_nobody_else_writes_even_when_the_step_was_found(j7.LOST_DONE, "OK")


def test_j14_without_the_check_for_late_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_session, "START_WITHIN_SECONDS", float("inf"))
    with FAILS:
        j14.test_j14_a_frozen_process_whose_row_was_taken_over_sends_nothing()


def test_j15_without_the_shield(monkeypatch: pytest.MonkeyPatch) -> None:
    unshielded = SimpleNamespace(**{**vars(asyncio), "shield": lambda task: task})
    monkeypatch.setattr(operation_tasks, "asyncio", unshielded)
    with FAILS:
        j15.test_j15_who_leaves_after_the_first_write_stops_nothing()
