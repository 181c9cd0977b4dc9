"""Random walks of several owners over a journal, which does what a small model of it says.

Time passes in steps that no lease, look or quiet time ends close to, so that a store whose time
cannot be stopped is predicted too.
"""

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from service.application.journal_port import (
    LEASE_SECONDS,
    Claim,
    Claimed,
    Due,
    Finished,
    OwnershipLost,
    Reused,
    RunsElsewhere,
    SequenceHeld,
    StepTaken,
)
from service.domain.operation import CallState, Operation, OperationKey, OperationState
from tests.journal.samples import GLOBEX, key, noted, planned
from tests.journal.stores import STORES, NewStore

SETTLE_SECONDS = 100
LOOK_AFTER_SECONDS = 40
STEP_SECONDS = 7
CLOSE_SECONDS = 1.5
"""Nothing ends as close as this to a time that the model has."""

SEQUENCES = {"r-1": "s-1", "r-2": "s-1", "r-3": "s-2"}
KEYS = [*map(key, SEQUENCES), key(caller="erp"), key(connection=GLOBEX)]
FINGERPRINTS = st.sampled_from(["print"] * 7 + ["another"])
WALKS = {"sqlite memory": 60, "sqlite file": 10, "postgres": 10}
"""The most on the fastest store."""

WALK_STEPS = 50
OWNERS_MAX = 4
"""Only the last ones act: the older have all lost their operations."""

RESULTS = (CallState.DONE, CallState.LOST, CallState.REFUSED)
RUNNING, SUCCEEDED = OperationState.RUNNING, OperationState.SUCCEEDED

_T = TypeVar("_T")


@dataclass
class Row:
    """What the model knows of one operation."""

    operation: Operation
    fingerprint: str
    due_at_seconds: int | None
    changed_at_seconds: int
    sent_at_seconds: int | None = None


class JournalWalk(RuleBasedStateMachine):
    """Walks over one store."""

    new_store: NewStore

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.stack = AsyncExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.store = self.run(self.stack.enter_async_context(type(self).new_store(folder)))
        self.journal = self.store.journal
        self.now_seconds = 0
        self.rows: dict[OperationKey, Row] = {}
        self.owners: dict[int, Operation] = {}
        """By epoch, what each owner knows; some have lost their operation without knowing."""

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.loop.close()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self.loop.run_until_complete(work)

    @rule(data=st.data(), key=st.sampled_from(KEYS), fingerprint=FINGERPRINTS)
    def claim(self, data: st.DataObject, key: OperationKey, fingerprint: str) -> None:
        expected = self._expected_claim(key, fingerprint)
        answer = self.run(
            self.journal.claim(
                key, SEQUENCES[key.request_id], fingerprint, settle_seconds=SETTLE_SECONDS
            )
        )
        if isinstance(expected, Operation):
            operation = self._took(expected, answer, fingerprint)
            if data.draw(st.booleans()):
                self._note_result(data, operation)
        elif isinstance(expected, SequenceHeld):
            assert isinstance(answer, SequenceHeld)
            assert answer.wait_seconds == pytest.approx(expected.wait_seconds, abs=CLOSE_SECONDS)
            assert replace(answer, wait_seconds=expected.wait_seconds) == expected
        elif isinstance(answer, Finished):
            assert Finished(self._without_times(answer.operation)) == expected
        else:
            assert answer == expected

    @precondition(lambda self: self.owners)
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        owner = data.draw(st.sampled_from(self._last_owners(*OperationState)))
        row = self.rows.get(owner.key)
        is_free = (
            row is not None
            and row.operation.epoch == owner.epoch
            and not self._is_owned(row)
            and self._holder(owner.key) is None
        )
        answer = self.run(self.journal.take(owner.key, owner.epoch))
        if is_free:
            assert row is not None
            self._took(self._taken(row.operation), answer, row.fingerprint)
        else:
            assert answer is None

    @precondition(lambda self: self._last_owners(RUNNING))
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        self._send(data.draw(st.sampled_from(self._last_owners(RUNNING))))

    @precondition(lambda self: self._last_owners(RUNNING))
    @rule(data=st.data())
    def note_result(self, data: st.DataObject) -> None:
        self._note_result(data, data.draw(st.sampled_from(self._last_owners(RUNNING))))

    @precondition(lambda self: self._last_owners(SUCCEEDED))
    @rule(data=st.data())
    def note_second_look(self, data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(self._last_owners(SUCCEEDED)))
        operation = replace(operation, is_open=operation.is_open and data.draw(st.booleans()))
        self._save(operation, look_after_seconds=self._look_after_seconds(data, SUCCEEDED))

    @precondition(lambda self: self.owners)
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        operation = data.draw(st.sampled_from(self._last_owners(*OperationState)))
        row = self.rows.get(operation.key)
        if row is None or row.operation.epoch != operation.epoch or row.sent_at_seconds is not None:
            with pytest.raises(OwnershipLost):
                self.run(self.journal.discard(operation))
            return
        self.run(self.journal.discard(operation))
        del self.rows[operation.key]

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        epochs = sorted(self.owners)
        chosen = data.draw(
            st.lists(st.sampled_from(epochs), unique=True) if epochs else st.just([])
        )
        self.run(self.journal.renew([self.owners[epoch] for epoch in chosen]))
        for row in self.rows.values():
            looks_again = row.operation.state is SUCCEEDED and row.due_at_seconds is not None
            if row.operation.epoch in chosen and (row.operation.state is RUNNING or looks_again):
                row.due_at_seconds = self.now_seconds + int(LEASE_SECONDS)

    @rule(count=st.integers(1, 12))
    def pass_time(self, count: int) -> None:
        self.run(self.store.pass_seconds(count * STEP_SECONDS))
        self.now_seconds += count * STEP_SECONDS

    @rule(finished_steps=st.integers(0, 10), open_steps=st.integers(0, 20))
    def forget(self, finished_steps: int, open_steps: int) -> None:
        bounds = {
            **dict.fromkeys((SUCCEEDED, OperationState.NO_EFFECT), finished_steps),
            **dict.fromkeys((OperationState.INCOMPLETE, OperationState.IN_DOUBT), open_steps),
        }
        kept_after = {state: (steps + 0.5) * STEP_SECONDS for state, steps in bounds.items()}
        old = [
            row.operation.key
            for row in self.rows.values()
            if not row.operation.holds_sequence
            and self.now_seconds - row.changed_at_seconds > kept_after[row.operation.state]
        ]
        count = self.run(
            self.journal.forget(
                finished_before_seconds=kept_after[SUCCEEDED],
                open_before_seconds=kept_after[OperationState.IN_DOUBT],
            )
        )
        assert len(old) == count
        for each in old:
            del self.rows[each]

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def steps_of_others(self, data: st.DataObject) -> None:
        mine = self.rows[data.draw(st.sampled_from(sorted(self.rows, key=str)))].operation
        steps = {
            row.operation.step_id for row in self._neighbours(mine.key) if row.operation.step_id
        }
        assert self.run(self.journal.steps_of_others(mine)) == steps

    @invariant()
    def rows_are_as_the_model_says(self) -> None:
        summaries = self.run(
            self.journal.summaries(connection=None, only_unsettled=False, limit=100)
        )
        found = {each.operation.key: each.operation for each in summaries}
        assert {key: row.operation for key, row in self.rows.items()} == {
            key: self._without_times(operation) for key, operation in found.items()
        }

    @invariant()
    def what_is_due_is_as_the_model_says(self) -> None:
        due = {
            Due(row.operation.key, row.operation.epoch)
            for row in self.rows.values()
            if row.due_at_seconds is not None and row.due_at_seconds <= self.now_seconds
        }
        assert set(self.run(self.journal.due(100))) == due

    @invariant()
    def j3_at_most_one_holds_a_sequence(self) -> None:
        held = [
            (key.connection, row.operation.sequence_id)
            for key, row in self.rows.items()
            if row.operation.holds_sequence
        ]
        assert len(set(held)) == len(held)

    def _last_owners(self, *states: OperationState) -> list[Operation]:
        """Return what the last owners know that believe to have an operation in such a state."""
        last = [each for _, each in sorted(self.owners.items()) if each.state in states]
        return last[-OWNERS_MAX:]

    def _send(self, operation: Operation) -> bool:
        operation = planned(operation)
        operation = operation.with_call(0, operation.calls[0].moved(CallState.SENT))
        is_saved = self._save(operation, is_sending=True)
        if is_saved:
            self.rows[operation.key].sent_at_seconds = self.now_seconds
        return is_saved

    def _note_result(self, data: st.DataObject, operation: Operation) -> None:
        """Send the step unless it was sent; take down what came of it, and go on or end."""
        if not (operation.calls or self._send(operation)):
            return
        call_state = data.draw(st.sampled_from(RESULTS))
        ids = {"step_id": data.draw(st.integers(1, 5))} if call_state is CallState.DONE else {}
        state = data.draw(st.sampled_from(OperationState))
        operation = self.owners[operation.epoch]
        if operation.calls[0].state is CallState.SENT:
            operation = noted(operation, call_state)
        operation = replace(operation, ids=ids, is_open=data.draw(st.booleans())).moved(state)
        self._save(operation, look_after_seconds=self._look_after_seconds(data, state))

    def _look_after_seconds(self, data: st.DataObject, state: OperationState) -> int | None:
        if state is RUNNING:
            return None
        return data.draw(st.sampled_from([None, LOOK_AFTER_SECONDS]))

    def _expected_claim(self, key: OperationKey, fingerprint: str) -> Operation | Claim:
        row, holder = self.rows.get(key), self._holder(key)
        if row is not None and row.fingerprint != fingerprint:
            return Reused(row.fingerprint)
        if row is not None and row.operation.state is SUCCEEDED:
            return Finished(row.operation)
        if row is not None and self._is_owned(row):
            return RunsElsewhere()
        if holder is not None:
            return self._held(holder)
        if row is not None:
            return self._taken(row.operation)
        return Operation(key, SEQUENCES[key.request_id], 0)

    def _held(self, holder: Row) -> SequenceHeld:
        is_running = holder.operation.state is RUNNING
        if is_running:
            assert holder.due_at_seconds is not None
            until_seconds = holder.due_at_seconds
        else:
            assert holder.sent_at_seconds is not None
            until_seconds = holder.sent_at_seconds + SETTLE_SECONDS
        return SequenceHeld(
            holder.operation.key,
            holder.operation.epoch,
            is_running,
            until_seconds - self.now_seconds,
        )

    def _taken(self, operation: Operation) -> Operation:
        taken = operation.taken_over()
        return taken if taken.state is SUCCEEDED else taken.moved(RUNNING)

    def _took(self, expected: Operation, answer: Claim | None, fingerprint: str) -> Operation:
        assert isinstance(answer, Claimed)
        epoch = answer.operation.epoch
        assert epoch not in self.owners
        operation = replace(expected, epoch=epoch)
        assert self._without_times(answer.operation) == operation
        self.owners[epoch] = operation
        before = self.rows.get(operation.key)
        self.rows[operation.key] = Row(
            operation,
            fingerprint,
            self.now_seconds + int(LEASE_SECONDS),
            self.now_seconds,
            None if before is None else before.sent_at_seconds,
        )
        return operation

    def _save(
        self,
        operation: Operation,
        *,
        is_sending: bool = False,
        look_after_seconds: int | None = None,
    ) -> bool:
        """Save, and say whether the model says that it can be."""
        failure = self._expected_failure(operation)
        # The store has the times, and the model knows them by its own clock.
        known = replace(operation, sent_at_epoch_ms=self._sent_at_epoch_ms(operation))
        saving = self.journal.save(
            known, is_sending=is_sending, look_after_seconds=look_after_seconds
        )
        if failure is not None:
            with pytest.raises(failure):
                self.run(saving)
            return False
        self.run(saving)
        self.owners[operation.epoch] = operation
        row = self.rows[operation.key]
        row.operation = operation
        row.changed_at_seconds = self.now_seconds
        after_seconds = int(LEASE_SECONDS) if operation.state is RUNNING else look_after_seconds
        row.due_at_seconds = None if after_seconds is None else self.now_seconds + after_seconds
        return True

    def _expected_failure(self, operation: Operation) -> type[Exception] | None:
        row = self.rows.get(operation.key)
        if row is None or row.operation.epoch != operation.epoch:
            return OwnershipLost
        others = {other.operation.step_id for other in self._neighbours(operation.key)}
        return StepTaken if operation.step_id and operation.step_id in others else None

    def _sent_at_epoch_ms(self, operation: Operation) -> int | None:
        found = self.run(self.journal.find(operation.key))
        return None if found is None else found.sent_at_epoch_ms

    def _without_times(self, operation: Operation) -> Operation:
        calls = tuple(replace(call, sent_at_epoch_ms=None) for call in operation.calls)
        return replace(operation, sent_at_epoch_ms=None, calls=calls)

    def _is_owned(self, row: Row) -> bool:
        assert row.due_at_seconds is not None or row.operation.state is not RUNNING
        return row.operation.state is RUNNING and (row.due_at_seconds or 0) > self.now_seconds

    def _neighbours(self, key: OperationKey) -> list[Row]:
        """Return the other operations on the same sequence."""
        return [
            row
            for other, row in self.rows.items()
            if other != key
            and other.connection == key.connection
            and row.operation.sequence_id == SEQUENCES[key.request_id]
        ]

    def _holder(self, key: OperationKey) -> Row | None:
        holders = [row for row in self._neighbours(key) if row.operation.holds_sequence]
        return holders[0] if holders else None


@pytest.mark.parametrize("name", STORES)
def test_a_journal_does_what_the_model_says(name: str) -> None:
    class Walk(JournalWalk):
        pass

    Walk.new_store = staticmethod(STORES[name])
    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=WALKS[name],
            stateful_step_count=WALK_STEPS,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            derandomize=True,
        ),
    )
