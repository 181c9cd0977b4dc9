"""Runs a plan: the one place that writes to a provider.

A write that was answered is believed; one that was refused changed nothing; one whose answer was
lost is looked for, since sending it again could make a second step. So a run ends in one of three
ways: the step with its id, an error that nothing was written to the sequence, or an error that
says what is not finished (STEP_INCOMPLETE) or not known (OUTCOME_UNKNOWN). Each end is committed to
the journal before it is told.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial

import structlog

from service.application import endings, provider_failure
from service.application.budget import Budget
from service.application.journal_entry import JournalEntry, JournalFailed
from service.application.journal_port import OwnershipLost
from service.application.ports import Provider
from service.application.provider_session import NOT_FOUND, Exchange, ProviderSession
from service.application.reconciliation import Absent, Reconciliation, StepRemoved
from service.application.retry import Meaning
from service.domain.errors import ServiceError
from service.domain.operation import UNDO, CallState, Operation, OperationCall, OperationState
from service.domain.outcome import StepAnswer
from service.domain.plan import Call, Plan, Target, Write, bind
from service.domain.survey import Survey
from service.domain.warnings import ProblemType, StepWarning

LOOK_AFTER_ACCEPTED_SECONDS = (0.0, 0.2, 0.5, 1.0, 2.0)
"""Pauses before each look for what a provider accepted without saying its id."""

LOOK_AFTER_LOST_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses before each look for what a write may have made whose answer was lost."""

LOOK_ON_RESUME_SECONDS = (0.0,)
"""What an earlier run looked for in vain is looked for once."""

_log = structlog.get_logger(__name__)


@dataclass(eq=False)
class _Ended(Exception):  # noqa: N818 - an end, not a fault
    """The run ends here, in this state; the error is for the caller."""

    state: OperationState
    error: ServiceError


class Execution:
    """One run of one operation."""

    def __init__(
        self,
        provider: Provider,
        session: ProviderSession,
        entry: JournalEntry,
        budget: Budget,
        announce: Callable[[], None] = lambda: None,
    ) -> None:
        """Take what the run works with; `announce` is called before each attempt of a write."""
        self._provider = provider
        self._session = session
        self._entry = entry
        self._budget = budget
        self._reconciliation = Reconciliation(provider, session, entry)
        self._announce = announce
        self._may_create_step = True

    async def run(self, plan: Plan, survey: Survey) -> StepAnswer | None:
        """Make the plan's writes in order; None as for `resume`.

        Raises:
            ServiceError: as the module says; before the first write also DEADLINE_TOO_SHORT.
            JournalFailed, OwnershipLost: the entry knows how far it came.
        """
        self._entry.note_plan(plan.writes, survey.positions)
        self._entry.note_found({}, plan.warnings)
        return await self._to_its_end(self._finish())

    async def resume(self, *, may_create_step: bool) -> StepAnswer | None:
        """Finish what an earlier run began; None when it is proven that nothing of it is there.

        None leaves the operation as it is: the caller runs a new plan, or ends it. Without
        `may_create_step` nothing is written that makes a step.

        Raises:
            ServiceError, JournalFailed, OwnershipLost: as for `run`.
        """
        self._may_create_step = may_create_step
        if not self._operation.calls:
            return None
        return await self._to_its_end(self._resume())

    @property
    def _operation(self) -> Operation:
        return self._entry.operation

    async def _to_its_end(self, run: Coroutine[None, None, StepAnswer]) -> StepAnswer | None:
        try:
            return await run
        except Absent:
            return None
        except _Ended as end:
            if self._entry.may_be_sent:  # Else the row goes, as if the request had not come.
                retries = end.error.retry_after_seconds is not None
                await self._entry.end(end.state, str(end.error), passes_by_itself=retries)
            raise end.error from None
        except (ServiceError, JournalFailed, OwnershipLost):
            raise
        except asyncio.CancelledError:
            # After the first write only the end of the process cancels.
            if not (self._budget.has_written and self._operation.may_have_step):
                raise
            raise await self._cut_off("the process ended") from None
        except Exception as bug:
            if not self._operation.may_have_step:
                raise
            _log.exception("execution_failed")
            raise await self._cut_off(type(bug).__name__) from bug

    async def _cut_off(self, why: str) -> ServiceError:
        """End a run that can go no further, and may have made the step."""
        self._entry.note_cut_off()
        error = self._not_known(self._operation.unfinished_write)
        await self._entry.end(self._entry.unfinished_state(), why)
        return error

    async def _resume(self) -> StepAnswer:
        if self._operation.undo is not None:
            raise await self._resume_undo(self._operation.undo)
        if not self._operation.may_have_step:
            if self._may_create_step:
                raise Absent  # The sequence may be another one by now: it is surveyed anew.
            failure = provider_failure.unavailable(self._provider, "nobody waits for the step")
            raise await self._given_up(0, failure)
        if self._operation.step_id is not None and await self._reconciliation.is_step_removed():
            raise await self._own_removed()
        return await self._finish()

    async def _finish(self) -> StepAnswer:
        for index in range(len(self._operation.calls)):
            await self._finish_call(index)
        operation = self._operation
        await self._entry.end(OperationState.SUCCEEDED)
        return StepAnswer(str(operation.ids["step_id"]), operation.warnings)

    async def _finish_call(self, index: int) -> None:
        call = self._operation.calls[index]
        if call.state is CallState.DONE:
            return
        if call.write.target is Target.TEMPLATE:
            await self._make_template(index)
        elif call.state is CallState.ACCEPTED or (
            call.state is CallState.LOST and not call.write.repeatable
        ):
            await self._find(index, LOOK_ON_RESUME_SECONDS)
        else:
            await self._make(index)

    async def _make(self, index: int) -> None:
        call = self._operation.calls[index]
        assert self._may_create_step or call.write.target is Target.CONTENT
        exchange = await self._send(index)
        match self._operation.calls[index].state:
            case CallState.DONE:
                return
            case CallState.ACCEPTED:
                await self._find(index, LOOK_AFTER_ACCEPTED_SECONDS)
            case CallState.LOST if not call.write.repeatable:
                await self._find(index, LOOK_AFTER_LOST_SECONDS)
            case _:
                assert exchange.failure is not None
                raise await self._given_up(index, exchange.failure)

    async def _make_template(self, index: int) -> None:
        """Make a template of the step's own; one whose answer is lost is made once more.

        It is never looked for: a second template is in no sequence and sends nothing.
        """
        if self._operation.calls[index].state is CallState.LOST:
            self._warn_of_template_left()
        exchange = await self._send(index)
        if self._operation.calls[index].state is CallState.LOST:
            self._warn_of_template_left()
            exchange = await self._send(index)
        if self._operation.calls[index].state is CallState.DONE:
            return
        failure = exchange.failure or provider_failure.unavailable(
            self._provider, "its answer has no template id"
        )
        raise _Ended(OperationState.NO_EFFECT, failure)

    def _warn_of_template_left(self) -> None:
        warning = StepWarning(
            ProblemType.TEMPLATE_LEFT_BEHIND,
            "The answer to the first try was lost, so the template was made once more: "
            "one that no step uses may be left at the provider.",
            "step.template.content",
        )
        if warning not in self._operation.warnings:
            self._entry.note_found({}, (warning,))

    async def _send(self, index: int, *, despite_limit: bool = False) -> Exchange:
        """Send a call, and note what its answer says."""
        write = self._operation.call(index).write
        call = bind(write, self._operation.ids)
        exchange = await self._session.write(
            call, partial(self._before_each, index), despite_limit=despite_limit
        )
        if self._operation.call(index).state is not CallState.SENT:
            return exchange  # It never came to an attempt.
        if exchange.meaning is Meaning.DONE:
            self._note_answer(index, call, exchange)
        elif exchange.was_lost:
            self._entry.note(index, CallState.LOST, is_uncertain=True)
            if write.target is Target.STEP and not write.repeatable:
                self._entry.note_open(is_open=True)
        elif exchange.meaning is Meaning.REFUSED and exchange.status is not None:
            self._entry.note(index, CallState.REFUSED)
        else:
            self._entry.note(index, CallState.PLANNED)
        return exchange

    async def _before_each(self, index: int, was_lost: bool) -> None:  # noqa: FBT001 - an `Intent`
        self._announce()
        await self._entry.commit_sent(index, was_lost=was_lost)

    def _note_answer(self, index: int, call: Call, exchange: Exchange) -> None:
        """Take what a 2xx answer says: all that the call should yield, or a part of it."""
        result = self._provider.read_result(call.write, exchange.body or {})
        ids = result.ids
        if str(ids.get("step_id")) in self._operation.snapshot:
            ids = {}  # It was there before: whatever the answer says, it is not ours.
        self._entry.note_found(ids, result.warnings)
        if self._reconciliation.has_all(call.write):
            self._entry.note(index, CallState.DONE, is_uncertain=exchange.was_lost)
        else:
            is_ours = "step_id" in self._operation.ids
            state = CallState.LOST if call.write.target is Target.TEMPLATE else CallState.ACCEPTED
            self._entry.note(index, state, is_uncertain=not is_ours)
            is_unusual = self._provider.names_steps and not is_ours
            if call.write.target is Target.STEP and is_unusual:
                self._entry.note_open(is_open=True)

    async def _find(self, index: int, pauses_seconds: Sequence[float]) -> None:
        """Adopt what the call made, if the provider shows exactly one thing that it can be.

        Raises:
            Absent: it is proven that no step was made.
            _Ended: it shows none yet or several, or what it shows is not whole.
        """
        write = self._operation.calls[index].write
        try:
            if await self._look_again_and_again(index, pauses_seconds):
                return
        except Absent:
            self._entry.note(index, CallState.PLANNED)
            if write.target is Target.STEP:
                raise
            await self._make(index)
            return
        except StepRemoved:
            raise self._removed() from None
        if write.target is Target.STEP and self._operation.step_id is not None:
            failure = provider_failure.unavailable(
                self._provider, "it does not show what belongs to the new step"
            )
            raise await self._given_up(index, failure)
        if write.target is Target.STEP and self._operation.candidates is None:
            self._entry.note_open(is_open=True)
        raise _Ended(OperationState.IN_DOUBT, self._not_known(write))

    async def _look_again_and_again(self, index: int, pauses_seconds: Sequence[float]) -> bool:
        for number, pause_seconds in enumerate(pauses_seconds):
            if number == 1:
                await self._entry.commit()  # The search takes time from here on.
            if not await self._budget.pause(pause_seconds):
                break
            found = await self._reconciliation.look(index)
            if found is not None:
                return found
        return False

    async def _given_up(self, index: int, failure: ServiceError) -> _Ended:
        """Undo what was made before a call that could not be, or say what is left of it.

        After a lost write nothing is undone: it may still be applied.
        """
        operation = self._operation
        may_undo = not any(
            call.is_uncertain
            for call in operation.calls
            if call.write.target is not Target.TEMPLATE
        )
        undo = self._provider.undo(operation.ids) if may_undo else None
        if undo is not None:
            return await self._undo(undo, index, failure)
        if operation.step_id is not None:
            return self._incomplete(index, failure)
        return _Ended(OperationState.NO_EFFECT, failure)

    async def _undo(self, undo: Write, index: int, failure: ServiceError) -> _Ended:
        if self._operation.undo is None:
            self._entry.note_undo(undo)
        may_be_gone = self._operation.call(UNDO).is_uncertain
        may_still_go = may_be_gone and self._entry.settles_in_seconds > 0
        exchange = await self._send(UNDO, despite_limit=True)
        if undo.target is Target.TEMPLATE or exchange.meaning is Meaning.DONE:
            # A template that stays is in no sequence: "nothing was written" holds all the same.
            return _Ended(OperationState.NO_EFFECT, failure)
        is_undone: bool | None = False
        if exchange.status == NOT_FOUND or may_be_gone:
            # The status alone could also mean that there is no such call.
            is_undone = await self._reconciliation.is_undone(undo)
        if is_undone:
            return _Ended(OperationState.NO_EFFECT, failure)
        is_refused = self._operation.call(UNDO).state is CallState.REFUSED and not may_still_go
        if is_undone is None or (not is_refused and (exchange.was_lost or may_be_gone)):
            return _Ended(OperationState.IN_DOUBT, self._not_known(undo))
        self._entry.note_undo(None)
        return self._incomplete(index, failure)

    async def _resume_undo(self, undo: OperationCall) -> Exception:
        """Go on removing: a removal that may have been applied never turns back."""
        is_template = undo.write.target is Target.TEMPLATE
        is_undone = is_template or await self._reconciliation.is_undone(undo.write)
        if is_undone is None:
            return _Ended(OperationState.IN_DOUBT, self._not_known(undo.write))
        if is_undone:
            self._entry.note_plan((), ())
            return Absent()
        failure = provider_failure.unavailable(self._provider, "the step is being removed")
        return await self._undo(undo.write, len(self._operation.calls) - 1, failure)

    def _incomplete(self, index: int, failure: ServiceError) -> _Ended:
        write = self._operation.call(index).write
        error = endings.incomplete(self._operation, write, failure)
        return _Ended(OperationState.INCOMPLETE, error)

    async def _own_removed(self) -> _Ended:
        """End, since the step is gone that was ours, or that was taken for ours."""
        step = next(each for each in self._operation.calls if each.write.target is Target.STEP)
        rivals = await self._reconciliation.rivals() if step.is_uncertain else ()
        if not rivals:
            return self._removed()
        self._entry.note_candidates(rivals)
        return _Ended(OperationState.IN_DOUBT, self._not_known(step.write))

    def _removed(self) -> _Ended:
        return _Ended(OperationState.NO_EFFECT, endings.removed(self._operation))

    def _not_known(self, write: Write) -> ServiceError:
        return endings.not_known(self._operation, write, self._entry.settles_in_seconds)
