"""Runs a plan: the one place that writes to a provider.

A write that was answered is believed; one that was refused changed nothing; one whose answer was
lost is looked for, since sending it again could make a second step. So a run ends in one of three
ways: the step with its id, an error that nothing was written to the sequence, or an error that
says what is not finished (STEP_INCOMPLETE) or not known (OUTCOME_UNKNOWN).
"""

import asyncio
from collections.abc import Sequence

import structlog

from service.application import provider_failure
from service.application.budget import Budget
from service.application.ports import Clock, Provider
from service.application.provider_session import NOT_FOUND, Exchange, ProviderSession
from service.application.retry import Meaning
from service.domain.errors import Reason, ServiceError
from service.domain.outcome import Candidate, Fit, StepAnswer
from service.domain.plan import Call, Plan, Target, Write, bind, path_of
from service.domain.survey import Survey
from service.domain.warnings import ProblemType, StepWarning

LOOK_AFTER_ACCEPTED_SECONDS = (0.0, 0.2, 0.5, 1.0, 2.0)
"""Pauses before each look for what a provider accepted without saying its id."""

LOOK_AFTER_LOST_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses before each look for what a write may have made whose answer was lost."""

_log = structlog.get_logger(__name__)


class Execution:
    """One run of one plan."""

    def __init__(
        self,
        provider: Provider,
        session: ProviderSession,
        survey: Survey,
        budget: Budget,
        clock: Clock,
    ) -> None:
        self._provider = provider
        self._session = session
        self._survey = survey
        self._budget = budget
        self._clock = clock
        self._ids: dict[str, int | str] = {}
        self._warnings: list[StepWarning] = []
        self._may_undo = True
        """Only what our own answers named is undone, and only while no write on it was lost."""

        self.may_be_applied_later = False
        """Whether a write that creates was lost, or accepted and never shown."""

    async def run(self, plan: Plan) -> StepAnswer:
        """Make the plan's writes in order.

        Raises:
            ServiceError: as the module says; before the first write also DEADLINE_TOO_SHORT.
        """
        for write in plan.writes:
            if write.target is Target.TEMPLATE:
                await self._make_template(bind(write, self._ids))
            else:
                await self._make_whatever_happens(write)
        return StepAnswer(str(self._ids["step_id"]), (*plan.warnings, *self._warnings))

    async def _make_whatever_happens(self, write: Write) -> None:
        """Make a write on the sequence; after it no failure may look as if nothing was written."""
        try:
            await self._make(bind(write, self._ids))
        except ServiceError:
            raise
        except asyncio.CancelledError:
            if not self._budget.has_written:
                raise
            # Nobody but the end of the process cancels from now on.
            raise self._not_known(write) from None
        except Exception as bug:
            _log.exception("execution_failed")
            raise self._not_known(write) from bug

    async def _make(self, call: Call) -> None:
        exchange = await self._session.write(call)
        self._may_undo &= not exchange.was_lost
        if exchange.was_lost and not call.write.repeatable:
            self.may_be_applied_later = True
        if self._take(call, exchange):
            return
        if exchange.meaning is Meaning.DONE:
            await self._look_for(call, LOOK_AFTER_ACCEPTED_SECONDS)
        elif exchange.meaning is Meaning.LOST and not call.write.repeatable:
            await self._look_for(call, LOOK_AFTER_LOST_SECONDS)
        else:
            raise await self._given_up(call, exchange)

    async def _make_template(self, call: Call) -> None:
        """Make a template of the step's own; one whose answer is lost is made once more.

        It is never looked for: a second template is in no sequence and sends nothing.
        """
        exchange = await self._session.write(call)
        if not self._take(call, exchange) and exchange.meaning in {Meaning.DONE, Meaning.LOST}:
            self._warnings.append(
                StepWarning(
                    ProblemType.TEMPLATE_LEFT_BEHIND,
                    "The answer to the first try was lost, so the template was made once more: "
                    "one that no step uses may be left at the provider.",
                    "step.template.content",
                )
            )
            exchange = await self._session.write(call)
            if not self._take(call, exchange) and exchange.meaning is Meaning.DONE:
                raise provider_failure.unavailable(self._provider, "its answer has no template id")
        if exchange.failure is not None:
            raise exchange.failure

    def _take(self, call: Call, exchange: Exchange) -> bool:
        """Keep what a 2xx answer says; whether it says all that the call should yield."""
        if exchange.meaning is not Meaning.DONE:
            return False
        result = self._provider.read_result(call.write, exchange.body or {})
        self._ids.update(result.ids)
        self._warnings.extend(result.warnings)
        return self._has_all(call.write)

    def _has_all(self, write: Write) -> bool:
        return all(name in self._ids for name in write.yields)

    async def _look_for(self, call: Call, pauses_seconds: Sequence[float]) -> None:
        """Adopt what the call made, if the provider shows exactly one thing that it can be.

        Raises:
            ServiceError: it shows none or several, or what it shows is not whole.
        """
        for pause_seconds in pauses_seconds:
            if pause_seconds >= self._budget.left_seconds:
                break
            await self._clock.sleep(pause_seconds)
            candidates = await self._look(call)
            if candidates is None:
                continue
            if [candidate.fit for candidate in candidates] == [Fit.FITS]:
                self._may_undo &= "step_id" in self._ids
                self._ids.update(candidates[0].ids)
                if self._has_all(call.write):
                    return
            elif candidates:
                break
        if call.write.target is Target.STEP and "step_id" in self._ids:
            failure = provider_failure.unavailable(
                self._provider, "it does not show what belongs to the new step"
            )
            raise await self._given_up(call, Exchange(Meaning.REFUSED, failure=failure))
        self.may_be_applied_later = True
        raise self._not_known(call.write)

    async def _look(self, call: Call) -> tuple[Candidate, ...] | None:
        """Return what the call may have made; None when the provider cannot be read now."""
        try:
            return await self._provider.look(self._session, call, self._survey, self._ids)
        except ServiceError:
            return None

    async def _given_up(self, call: Call, exchange: Exchange) -> ServiceError:
        """Undo what was made before a call that could not be, or say what is left of it.

        After a lost write nothing is undone: it may still be applied.
        """
        assert exchange.failure is not None
        undo = self._provider.undo(self._ids) if self._may_undo else None
        if undo is not None:
            return await self._undo(undo, call, exchange.failure)
        if "step_id" in self._ids:
            return self._incomplete(call.write, exchange.failure)
        return exchange.failure

    async def _undo(self, undo: Write, call: Call, failure: ServiceError) -> ServiceError:
        undo_call = bind(undo, self._ids)
        exchange = await self._session.write(undo_call, despite_limit=True)
        if undo.target is Target.TEMPLATE or exchange.meaning is Meaning.DONE:
            # A template that stays is in no sequence: "nothing was written" holds all the same.
            return failure
        if exchange.status == NOT_FOUND and await self._look(undo_call) == ():
            # The status alone could also mean that there is no such call.
            return failure
        if not exchange.was_lost:
            return self._incomplete(call.write, failure)
        for pause_seconds in LOOK_AFTER_LOST_SECONDS:
            if pause_seconds >= self._budget.left_seconds:
                break
            await self._clock.sleep(pause_seconds)
            if await self._look(undo_call) == ():
                return failure
        return self._not_known(undo)

    def _incomplete(self, write: Write, failure: ServiceError) -> ServiceError:
        step_id = self._ids["step_id"]
        return ServiceError(
            Reason.STEP_INCOMPLETE,
            f"Step {step_id} was made, but its message could not be written: {failure.message}",
            advice="Do not make it again: finish or remove the step at the provider.",
            metadata={**failure.metadata, **self._failed_call(write), "stepId": str(step_id)},
        )

    def _not_known(self, write: Write) -> ServiceError:
        step_id = self._ids.get("step_id")
        subject = f"What became of step {step_id}" if step_id else "Whether the step was made"
        return ServiceError(
            Reason.OUTCOME_UNKNOWN,
            f"{subject} is not known: the provider's answer to "
            f"{write.method} {path_of(write, self._ids)} was lost or did not say, and the provider "
            "did not show it.",
            advice="Look at the sequence before you call again.",
            metadata=self._failed_call(write) | ({"stepId": str(step_id)} if step_id else {}),
        )

    def _failed_call(self, write: Write) -> dict[str, str]:
        return {"failedCall": f"{write.method} {path_of(write, self._ids)}"}
