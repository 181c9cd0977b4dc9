"""An operation: one accepted request, and all that is known of it; what the journal keeps.

Two small state machines, of the operation and of each of its calls. Every move that they allow is
listed here, and any other is a bug that stops the operation.
"""

import enum
from collections.abc import Mapping
from dataclasses import field
from typing import Final, Self

from service.domain.plan import Target, Write
from service.domain.step import ConnectionKey, Ids
from service.domain.value_class import changed, value_class
from service.domain.warnings import StepWarning


@value_class
class OperationKey:
    """Which request it is: the same key is the same request, however often it arrives."""

    caller: str
    """The service that asks; two callers may use the same request id."""

    connection: ConnectionKey
    request_id: str


class OperationState(enum.StrEnum):
    """How far an operation is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """Final: the same request gets the same answer."""

    NO_EFFECT = "no_effect"
    """Nothing is in the sequence: not written, or undone. The same request runs again."""

    INCOMPLETE = "incomplete"
    """The step is there, and a later write could not be made. It can be resumed."""

    IN_DOUBT = "in_doubt"
    """A write may have been applied, and the provider does not show it. It is looked for again."""


class CallState(enum.StrEnum):
    """How far a write is."""

    PLANNED = "planned"
    """Not sent, or proven to have had no effect and to be sent again."""

    SENT = "sent"
    """Committed before its first byte; what came of it is not committed yet."""

    DONE = "done"
    REFUSED = "refused"
    LOST = "lost"
    """The provider may have acted, and did not say."""

    ACCEPTED = "accepted"
    """The provider said yes without saying what it made: only looked for, never sent again."""


_OPERATION_MOVES: Final[Mapping[OperationState, frozenset[OperationState]]] = {
    OperationState.RUNNING: frozenset(OperationState),
    OperationState.SUCCEEDED: frozenset(),
    OperationState.NO_EFFECT: frozenset({OperationState.RUNNING}),
    OperationState.INCOMPLETE: frozenset({OperationState.RUNNING}),
    OperationState.IN_DOUBT: frozenset({OperationState.RUNNING}),
}

_CALL_MOVES: Final[Mapping[CallState, frozenset[CallState]]] = {
    CallState.PLANNED: frozenset({CallState.SENT}),
    CallState.SENT: frozenset(CallState) - {CallState.SENT},
    CallState.DONE: frozenset(),
    CallState.REFUSED: frozenset({CallState.PLANNED}),
    CallState.LOST: frozenset({CallState.DONE, CallState.PLANNED}),
    CallState.ACCEPTED: frozenset({CallState.DONE}),
}


UNDO: Final = -1
"""Stands for the undo where a call is named by its index in the plan."""


@value_class
class OperationCall:
    """One planned write, and how far it is."""

    write: Write
    state: CallState = CallState.PLANNED
    sent_at_epoch_ms: int | None = None
    """When its last attempt was committed as SENT, by the store's clock."""

    is_uncertain: bool = False
    """Whether an attempt was lost, or its answer did not name what it made: then what it is taken
    to have made may be somebody else's, and is not undone."""

    def moved(self, state: CallState) -> Self:
        """Return the call in another state."""
        assert state in _CALL_MOVES[self.state], f"a call moved from {self.state} to {state}"
        return changed(self, state=state)

    def without_content(self) -> Self:
        """Return the call without the body of its write."""
        return changed(self, write=changed(self.write, body=None))


@value_class
class Operation:
    """All that is known of one request."""

    key: OperationKey
    sequence_id: str
    epoch: int
    """Whose turn it is: each owner has another one, and only the current one may change the row."""

    state: OperationState = OperationState.RUNNING
    sent_at_epoch_ms: int | None = None
    """When a write was last committed as SENT, by the store's clock; None when never."""

    calls: tuple[OperationCall, ...] = ()
    """The plan's writes in order; empty before the first is sent."""

    undo: OperationCall | None = None
    """The write that removes what was made; once it may have been applied, there is no way back."""

    ids: Ids = field(default_factory=dict)
    snapshot: frozenset[str] = frozenset()
    """The sequence's steps before the first write: what is looked for is not among them."""

    warnings: tuple[StepWarning, ...] = ()
    is_open: bool = False
    """Whether a step that was lost, or accepted and not named, may still appear in the sequence.
    Then nobody else writes to the sequence, even when this operation has ended."""

    candidates: frozenset[str] | None = None
    """Once it is closed: the steps of which one may be ours. This set only shrinks."""

    looks: int = 0
    """How often it was looked for without being settled, for growing pauses in between."""

    trouble: str = ""
    """What stopped it last, for people."""

    duplicates: frozenset[str] = frozenset()
    """Steps that turned up later and equal ours: somebody else's, or ours twice."""

    settled_because: str = ""
    """The reason that a person gave for settling it by hand."""

    @property
    def step_id(self) -> str | None:
        """The step that it made."""
        return str(self.ids["step_id"]) if "step_id" in self.ids else None

    @property
    def holds_sequence(self) -> bool:
        """Whether nobody else may write to the sequence."""
        return self.state is OperationState.RUNNING or self.is_open

    @property
    def may_have_step(self) -> bool:
        """Whether a write of the step was sent, not refused, and not proven to have failed."""
        return any(
            call.write.target is Target.STEP
            and call.state not in {CallState.PLANNED, CallState.REFUSED}
            for call in self.calls
        )

    @property
    def unfinished_write(self) -> Write:
        """The write that is not known to be done: the first such one of the plan, or the undo."""
        calls = [*self.calls, *([] if self.undo is None else [self.undo])]
        unfinished = [call for call in calls if call.state is not CallState.DONE]
        return (unfinished or calls[-1:])[0].write

    def moved(self, state: OperationState) -> Self:
        """Return the operation in another state."""
        self._check_move(state)
        return changed(self, state=state)

    def _check_move(self, state: OperationState) -> None:
        assert state in _OPERATION_MOVES[self.state], f"moved from {self.state} to {state}"

    def call(self, index: int) -> OperationCall:
        """Return one of the plan's calls, or the undo."""
        if index != UNDO:
            return self.calls[index]
        assert self.undo is not None
        return self.undo

    def with_call(self, index: int, call: OperationCall) -> Self:
        """Return the operation with one of its calls, or its undo, replaced."""
        if index == UNDO:
            return changed(self, undo=call)
        return changed(self, calls=(*self.calls[:index], call, *self.calls[index + 1 :]))

    def sent(self, index: int, at_epoch_ms: int) -> Self:
        """Return the operation once it is known when a call was committed as SENT."""
        call = changed(self.call(index), sent_at_epoch_ms=at_epoch_ms)
        return changed(self.with_call(index, call), sent_at_epoch_ms=at_epoch_ms)

    def planned_anew(self, writes: tuple[Write, ...], steps_before: frozenset[str]) -> Self:
        """Return the operation with the plan of a new run: nothing of an earlier one is left.

        A template that an earlier run made is used. What was once known to be no step of ours, or
        one that is gone, is not taken for the new one either.
        """
        templates = [
            call
            for call in self.calls
            if call.write.target is Target.TEMPLATE and call.state is CallState.DONE
        ]
        calls = tuple(
            templates.pop()
            if templates and write.target is Target.TEMPLATE
            else OperationCall(write)
            for write in writes
        )
        return changed(
            self,
            calls=calls,
            undo=None,
            ids={
                name: id_
                for name, id_ in self.ids.items()
                if name == "template_id" and any(call.state is CallState.DONE for call in calls)
            },
            snapshot=self.snapshot | steps_before | self._own_steps(),
            warnings=(),
            is_open=False,
            candidates=None,
            looks=0,
        )

    def _own_steps(self) -> frozenset[str]:
        return frozenset(() if self.step_id is None else (self.step_id,))

    def ended(self, state: OperationState, trouble: str) -> Self:
        """Return the operation at an end, and what stopped it.

        One that is final and closed keeps no bodies of writes.
        """
        if state is not self.state:
            self._check_move(state)
        is_final = state in {OperationState.SUCCEEDED, OperationState.NO_EFFECT}
        return changed(
            self,
            state=state,
            calls=self._calls_without_contents() if is_final and not self.is_open else self.calls,
            looks=self.looks + (state is not OperationState.SUCCEEDED),
            trouble=trouble,
        )

    def without_contents(self) -> Self:
        """Return the operation without the bodies of its writes, which nothing reads any more."""
        return changed(self, calls=self._calls_without_contents())

    def _calls_without_contents(self) -> tuple[OperationCall, ...]:
        return tuple(call.without_content() for call in self.calls)

    def settled_by_hand(self, step_id: str | None, because: str) -> Self:
        """Return the operation as a person settled it: with this step, or without any."""
        state = OperationState.NO_EFFECT if step_id is None else OperationState.SUCCEEDED
        return changed(
            self.moved(state),
            ids={} if step_id is None else {"step_id": step_id},
            is_open=False,
            candidates=None,
            settled_because=because,
        )

    def taken_over(self) -> Self:
        """Return what a new owner knows: what was under way may or may not have been applied.

        Of one that had no effect, only which steps are not its own: it runs as if it were new.
        """
        if self.state is OperationState.NO_EFFECT:
            fresh = changed(self, calls=())
            return fresh.planned_anew((), frozenset())
        calls = tuple(_lost_if_sent(call) for call in self.calls)
        has_lost_step = any(
            was.state is CallState.SENT and was.write.target is Target.STEP for was in self.calls
        )
        return changed(
            self,
            calls=calls,
            undo=None if self.undo is None else _lost_if_sent(self.undo),
            is_open=self.is_open or has_lost_step,
        )


def _lost_if_sent(call: OperationCall) -> OperationCall:
    if call.state is not CallState.SENT:
        return call
    return changed(call.moved(CallState.LOST), is_uncertain=True)
