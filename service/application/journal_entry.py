"""One operation while it is ours: what is known of it now, and what of that is committed.

Facts are noted in memory as they come in, and committed where a rule asks for it: before each
attempt of a write (with the outcome of the one before, in the same commit), before a search that
takes time, and at the end.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from service.application import endings
from service.application.journal_port import Claimed, Journal, StepTaken
from service.application.ports import Clock
from service.domain.errors import Reason, ServiceError
from service.domain.operation import CallState, Operation, OperationCall, OperationState
from service.domain.plan import Target, Write
from service.domain.step import Ids
from service.domain.value_class import changed
from service.domain.warnings import StepWarning
from service.telemetry.metrics import operations_ended

LOOK_PAUSE_SECONDS_MIN: Final = 30.0
"""Until an unsettled operation is looked after again; it doubles each time."""

LOOK_PAUSE_DOUBLINGS_MAX: Final = 7
"""Up to about an hour."""


END_PAUSES_SECONDS: Final = (0.5, 1.5, 3.0)
"""Between tries to commit an end: what is known now would otherwise have to be looked for."""


@dataclass(eq=False)
class JournalFailed(Exception):  # noqa: N818 - a fact about the store, not a fault
    """The journal failed: whether a commit is durable is not known."""

    error: ServiceError
    """The store's own."""


class JournalEntry:
    """Everything that changes an operation goes through here."""

    def __init__(
        self, journal: Journal, claimed: Claimed, settle_seconds: float, clock: Clock
    ) -> None:
        self.operation: Operation = claimed.operation
        self._journal = journal
        self._settle_seconds = settle_seconds
        self._clock = clock
        self._now(claimed.now_epoch_ms)
        self.may_be_sent = self.operation.sent_at_epoch_ms is not None
        """Whether a write was sent, or may be said by the store to have been."""

        self.is_ended = False
        """Whether the end is committed; what happens then belongs to the next owner."""

    @property
    def settles_in_seconds(self) -> float:
        """Until what the last write made must have appeared.

        At 0, a look that starts now proves that there is nothing. A store whose clock went back
        before that write counts it as just made.
        """
        return self._settles_in_seconds(self.operation.sent_at_epoch_ms)

    @property
    def step_settles_in_seconds(self) -> float:
        """Until the step itself must have appeared, whatever was sent after it."""
        calls = self.operation.calls
        step = next(call for call in calls if call.write.target is Target.STEP)
        return self._settles_in_seconds(step.sent_at_epoch_ms)

    def _settles_in_seconds(self, sent_at_epoch_ms: int | None) -> float:
        if sent_at_epoch_ms is None:
            return 0.0
        at_commit_seconds = max(self._now_epoch_ms - sent_at_epoch_ms, 0) / 1000
        since_commit_seconds = self._clock.monotonic_seconds() - self._at_seconds
        return max(self._settle_seconds - at_commit_seconds - since_commit_seconds, 0.0)

    def note_plan(self, writes: tuple[Write, ...], steps_before: Iterable[str]) -> None:
        """Take a new plan, and the sequence's steps before it, in the place of an earlier one."""
        self.operation = self.operation.planned_anew(writes, frozenset(steps_before))

    def note_undo(self, write: Write | None) -> None:
        """Turn back: the next write removes what was made; None when it had no effect."""
        undo = None if write is None else OperationCall(write)
        self.operation = changed(self.operation, undo=undo)

    def note(self, index: int, state: CallState, *, is_uncertain: bool = False) -> None:
        """Take down what became of a call."""
        call = self.operation.call(index)
        if call.state is not state:
            call = call.moved(state)
        if is_uncertain:
            call = changed(call, is_uncertain=True)
        self.operation = self.operation.with_call(index, call)

    def note_found(self, ids: Ids, warnings: Iterable[StepWarning] = ()) -> None:
        """Take down ids that the provider named, and warnings."""
        operation, more_warnings = self.operation, tuple(warnings)
        if ids or more_warnings:
            self.operation = changed(
                operation,
                ids={**operation.ids, **ids},
                warnings=(*operation.warnings, *more_warnings),
            )

    def note_open(self, *, is_open: bool) -> None:
        """Take down whether a step of ours may still appear."""
        self.operation = changed(self.operation, is_open=is_open)

    def note_adopted(self, *, is_open: bool) -> None:
        """Take down that the step was found, and whether one more of it may still appear."""
        self.operation = changed(self.operation, candidates=None, is_open=is_open)

    def note_candidates(self, step_ids: Iterable[str]) -> None:
        """Take down which steps may be ours, now that no other one can appear."""
        self.operation = changed(self.operation, candidates=frozenset(step_ids), is_open=False)

    def note_cut_off(self) -> None:
        """Take down that what is under way may or may not be applied."""
        self.operation = self.operation.taken_over()

    def note_duplicates(self, step_ids: Iterable[str]) -> None:
        """Take down steps that equal ours and turned up beside it."""
        duplicates = self.operation.duplicates | frozenset(step_ids)
        self.operation = changed(self.operation, duplicates=duplicates)

    async def steps_of_others(self) -> frozenset[str]:
        """Return the steps of this sequence that other operations made.

        Raises:
            JournalFailed: they are not known.
        """
        try:
            return await self._journal.steps_of_others(self.operation)
        except ServiceError as error:
            raise JournalFailed(error) from error

    async def commit_sent(self, index: int, *, was_lost: bool) -> None:
        """Commit that an attempt of a call is about to be sent, with all that was noted before.

        Raises:
            JournalFailed, OwnershipLost: nothing may be sent.
        """
        if self.operation.call(index).state is not CallState.PLANNED:
            # An attempt before this one had no effect, or may be repeated.
            self.note(index, CallState.PLANNED, is_uncertain=was_lost)
        self.note(index, CallState.SENT)
        self.may_be_sent = True
        now_epoch_ms = await self._save(is_sending=True)
        self.operation = self.operation.sent(index, now_epoch_ms)

    async def commit(self) -> None:
        """Commit what was noted.

        Raises:
            JournalFailed, OwnershipLost: another owner may not know it.
        """
        await self._save()

    async def end(
        self, state: OperationState, trouble: str = "", *, passes_by_itself: bool = False
    ) -> None:
        """Commit an end, and give the operation out of our hands.

        `passes_by_itself`: whether what stopped an INCOMPLETE operation needs nobody's help.

        Raises:
            JournalFailed, OwnershipLost: the end is not known to be committed.
        """
        look_after_seconds = self._look_after_seconds(state, passes_by_itself=passes_by_itself)
        self.operation = self.operation.ended(state, trouble)
        for pause_seconds in END_PAUSES_SECONDS:
            try:
                await self._save(look_after_seconds=look_after_seconds)
                break
            except JournalFailed:
                await self._clock.sleep(pause_seconds)
        else:
            await self._save(look_after_seconds=look_after_seconds)
        self.is_ended = True
        operations_ended(self.operation.key.connection.provider, state).inc()

    async def discard(self) -> None:
        """Forget an operation of which nothing was sent.

        Raises:
            JournalFailed, OwnershipLost: it may still be there until its lease runs out.
        """
        try:
            await self._journal.discard(self.operation)
        except ServiceError as error:
            raise JournalFailed(error) from error
        self.is_ended = True

    async def give_back(self, error: ServiceError) -> ServiceError:
        """End for a reason that lies outside its writes; return what a caller is told.

        Raises:
            JournalFailed, OwnershipLost: as for `end`.
        """
        if not self.may_be_sent:
            await self.discard()
            return error
        self.note_cut_off()
        state = self.unfinished_state()
        operation = self.operation
        retries = error.retry_after_seconds is not None
        await self.end(state, str(error), passes_by_itself=retries)
        match state:
            case OperationState.IN_DOUBT:
                write = operation.unfinished_write
                return endings.not_known(operation, write, self.settles_in_seconds)
            case OperationState.INCOMPLETE:
                return endings.incomplete(operation, operation.unfinished_write, error)
            case _:
                return error

    def unfinished_state(self) -> OperationState:
        """Return the state of an operation that ends here for another reason than its writes."""
        operation = self.operation
        if operation.state is OperationState.SUCCEEDED:
            return OperationState.SUCCEEDED
        if operation.undo is None and operation.step_id is not None and not self._has_open_call():
            return OperationState.INCOMPLETE
        if operation.may_have_step:
            return OperationState.IN_DOUBT
        return OperationState.NO_EFFECT

    def _has_open_call(self) -> bool:
        return any(
            call.write.target is not Target.TEMPLATE
            and not call.write.repeatable
            and call.state in {CallState.SENT, CallState.LOST, CallState.ACCEPTED}
            for call in self.operation.calls
        )

    def _look_after_seconds(self, state: OperationState, *, passes_by_itself: bool) -> float | None:
        """When somebody has to look after it; None when only its caller, or a person, can help."""
        operation = self.operation
        doublings = min(operation.looks, LOOK_PAUSE_DOUBLINGS_MAX)
        pause_seconds = LOOK_PAUSE_SECONDS_MIN * (1 << doublings)
        unsettled_seconds = self.settles_in_seconds
        match state:
            case OperationState.IN_DOUBT if operation.candidates == frozenset():
                return None
            case OperationState.IN_DOUBT:
                return unsettled_seconds or pause_seconds
            case OperationState.INCOMPLETE if passes_by_itself and not operation.is_open:
                return pause_seconds
            case _ if operation.is_open:
                return unsettled_seconds or pause_seconds
            case _:
                return None

    async def _save(
        self, *, is_sending: bool = False, look_after_seconds: float | None = None
    ) -> int:
        try:
            now_epoch_ms = await self._journal.save(
                self.operation, is_sending=is_sending, look_after_seconds=look_after_seconds
            )
        except StepTaken as taken:
            # What was found is another operation's; whoever has this one next leaves it out.
            error = ServiceError(Reason.INTERNAL, "the step belongs to another request")
            raise JournalFailed(error) from taken
        except ServiceError as error:
            raise JournalFailed(error) from error
        self._now(now_epoch_ms)
        return now_epoch_ms

    def _now(self, epoch_ms: int) -> None:
        """Remember the store's time, taken as it is read: what passed meanwhile does not count."""
        self._now_epoch_ms = epoch_ms
        self._at_seconds = self._clock.monotonic_seconds()
