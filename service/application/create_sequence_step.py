"""The use case: add one step to a customer's sequence.

Check without I/O, find the connection, take the sequence's turn, survey, plan, execute, answer.
The operation runs in a task of its own: a caller that leaves before the first write stops it, and
one that leaves later does not.
"""

import asyncio
from collections.abc import Mapping
from functools import partial

from service.application.admission import Admission
from service.application.budget import FIRST_WRITE_SECONDS_MIN, Budget
from service.application.call_record import CallRecord
from service.application.execution import Execution
from service.application.operation_tasks import OperationTasks, log_outcome_unheard
from service.application.ports import Provider
from service.application.provider_session import ProviderSession, Surroundings
from service.domain.errors import FieldViolation, Reason, ServiceError
from service.domain.outcome import StepAnswer
from service.domain.plan import Plan
from service.domain.step import ConnectionKey, ProviderName, StepRequest
from service.domain.survey import Survey
from service.domain.warnings import StepWarning


class CreateSequenceStep:
    """Adds steps to sequences, at any of the providers."""

    def __init__(
        self,
        providers: Mapping[ProviderName, Provider],
        admission: Admission,
        tasks: OperationTasks,
        surroundings: Surroundings,
    ) -> None:
        self._providers = providers
        self._admission = admission
        self._tasks = tasks
        self._surroundings = surroundings

    async def run(
        self,
        key: ConnectionKey,
        request: StepRequest,
        *,
        deadline_seconds: float | None,
        record: CallRecord,
    ) -> StepAnswer:
        """Add the step, or with `validate_only` say what would be done.

        `deadline_seconds` is what the caller still waits; None when it did not say.

        Raises:
            ServiceError: with the reasons of docs/errors.md.
        """
        budget = Budget(self._surroundings.clock, deadline_seconds)
        task = self._tasks.start(self._operation(key, request, budget, record))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            facts = {
                "customer": key.customer_id,
                "provider": key.provider.value,
                "sequence": request.sequence_id,
            }
            task.add_done_callback(partial(log_outcome_unheard, facts))
            if not budget.has_written:
                task.cancel()
            raise

    async def _operation(
        self, key: ConnectionKey, request: StepRequest, budget: Budget, record: CallRecord
    ) -> StepAnswer:
        with self._admission.request():
            provider = self._providers[key.provider]
            checked = provider.check(request)
            connection = await self._surroundings.connections.find(key)
            session = ProviderSession(provider, connection, budget, record, self._surroundings)
            if request.validate_only:
                _, plan = await _plan(provider, session, request, checked)
                answer = StepAnswer("", plan.warnings, plan.writes)
            else:
                answer = await self._add_step(key, request, checked, session, budget)
            record.warnings = len(answer.warnings)
            return answer

    async def _add_step(
        self,
        key: ConnectionKey,
        request: StepRequest,
        checked: tuple[StepWarning, ...],
        session: ProviderSession,
        budget: Budget,
    ) -> StepAnswer:
        budget.require(FIRST_WRITE_SECONDS_MIN)
        provider = self._providers[key.provider]
        wait_seconds = budget.left_seconds - FIRST_WRITE_SECONDS_MIN
        async with self._admission.turn(key, request.sequence_id, wait_seconds):
            survey, plan = await _plan(provider, session, request, checked)
            clock = self._surroundings.clock
            execution = Execution(provider, session, survey, budget, clock)
            try:
                return await execution.run(plan)
            finally:
                if execution.may_be_applied_later:
                    self._admission.keep_quiet(key, request.sequence_id)


async def _plan(
    provider: Provider,
    session: ProviderSession,
    request: StepRequest,
    checked: tuple[StepWarning, ...],
) -> tuple[Survey, Plan]:
    """Survey and plan, with all warnings; refuse those that the caller does not want."""
    survey = await provider.survey(session, request)
    plan = provider.plan(request, survey)
    plan = Plan(plan.writes, (*checked, *plan.warnings))
    if request.fail_on_warning and plan.warnings:
        raise ServiceError(
            Reason.WARNINGS_AS_ERRORS,
            "The step would bring warnings, and fail_on_warning is set; nothing was written.",
            tuple(
                FieldViolation(warning.field, f"{warning.problem_type.name}: {warning.detail}")
                for warning in plan.warnings
            ),
        )
    return survey, plan
