"""The use case: add one step to a customer's sequence, once, however often it is asked for.

Check without I/O, take the sequence's turn and a place, claim the operation in the journal, find
the connection, finish what an earlier run began or survey, plan and execute, answer. The operation
runs in a task of its own: a caller that leaves before the first write stops it, and one that leaves
later does not.
"""

import asyncio
from collections.abc import Mapping

from service.application import endings, provider_failure
from service.application.admission import Admission
from service.application.arrival import Arrival
from service.application.budget import FIRST_WRITE_SECONDS_MIN, Budget
from service.application.claims import Claims, in_progress, left, reused
from service.application.execution import Execution
from service.application.journal_entry import JournalEntry, JournalFailed
from service.application.journal_port import Finished, OwnershipLost
from service.application.operation_tasks import OperationTasks, RunningOperation
from service.application.ports import Provider
from service.application.provider_session import ProviderSession, Surroundings
from service.domain.errors import FieldViolation, Reason, ServiceError
from service.domain.operation import Operation, OperationState
from service.domain.outcome import StepAnswer
from service.domain.plan import Plan
from service.domain.step import ProviderName, StepRequest
from service.domain.survey import Survey
from service.domain.value_class import value_class
from service.domain.warnings import StepWarning

RUNS_MAX = 2
"""How often one call makes the step: a second time when the first is proven to be lost for good."""


class CreateSequenceStep:
    """Adds steps to sequences, at any of the providers."""

    def __init__(
        self,
        providers: Mapping[ProviderName, Provider],
        admission: Admission,
        tasks: OperationTasks,
        claims: Claims,
        surroundings: Surroundings,
    ) -> None:
        self._providers = providers
        self._admission = admission
        self._tasks = tasks
        self._claims = claims
        self._surroundings = surroundings

    async def run(self, arrival: Arrival) -> StepAnswer:
        """Add the step, or with `validate_only` say what would be done.

        Raises:
            ServiceError: with the reasons of docs/errors.md.
        """
        if arrival.request.validate_only:
            return await self._preview(arrival)
        digest = self._claims.fingerprint(arrival.request)
        while True:
            running = self._tasks.running(arrival.key)
            if running is None:
                running = self._start(arrival, digest)
            elif running.is_stopping:
                await running.ended()
                continue
            elif running.fingerprint != digest:
                raise reused(running.fingerprint, digest)
            return await running.answer(arrival)

    async def _preview(self, arrival: Arrival) -> StepAnswer:
        budget = Budget(self._surroundings.clock, arrival.deadline_seconds)
        key = arrival.key.connection
        provider = self._providers[key.provider]
        with self._admission.request(key):
            checked = provider.check(arrival.request)
            async with self._admission.place(key, _wait_seconds(budget)):
                session = await self._session(arrival, provider, budget)
                _, plan = await _plan(provider, session, arrival.request, checked)
            arrival.record.warnings = len(plan.warnings)
            return StepAnswer("", plan.warnings, plan.writes)

    def _start(self, arrival: Arrival, digest: str) -> RunningOperation:
        budget = Budget(self._surroundings.clock, arrival.deadline_seconds)
        running = RunningOperation(budget, digest)
        self._tasks.start(arrival.key, running, self._operation(arrival, running))
        return running

    async def _operation(self, arrival: Arrival, running: RunningOperation) -> StepAnswer:
        with self._admission.request(arrival.key.connection):
            provider = self._providers[arrival.key.connection.provider]
            job = _Job(arrival, running, provider, provider.check(arrival.request))
            answer = await self._known_answer(job) or await self._add_in_turn(job)
            arrival.record.warnings = len(answer.warnings)
            return answer

    async def _known_answer(self, job: "_Job") -> StepAnswer | None:
        """Return the answer of a finished operation, which needs no turn and no place to be told.

        Where there is time and none of these is waited for, the claim finds it as fast.
        """
        key, sequence_id = job.arrival.key, job.arrival.request.sequence_id
        has_time = job.running.budget.left_seconds >= FIRST_WRITE_SECONDS_MIN
        if has_time and not self._admission.would_wait(key.connection, sequence_id):
            return None
        operation = await self._claims.finished(job.arrival, job.running.fingerprint)
        return None if operation is None else _replay(operation)

    async def _add_in_turn(self, job: "_Job") -> StepAnswer:
        key, sequence_id = job.arrival.key, job.arrival.request.sequence_id
        budget = job.running.budget
        budget.require(FIRST_WRITE_SECONDS_MIN)
        async with (
            self._admission.turn(key.connection, sequence_id, _wait_seconds(budget)),
            self._admission.place(key.connection, _wait_seconds(budget)),
        ):
            claim = await self._claims.claim(job.arrival, job.running.fingerprint, budget)
            if isinstance(claim, Finished):
                return _replay(claim.operation)
            with self._claims.owned(claim) as entry:
                try:
                    return await self._add_or_give_back(job, entry)
                except JournalFailed as failure:
                    raise _store_failed(entry, failure) from failure
                except OwnershipLost:
                    return await self._answer_of_new_owner(entry)

    async def _add_or_give_back(self, job: "_Job", entry: JournalEntry) -> StepAnswer:
        """Add the step; what ends without an end in the journal gets one."""
        try:
            return await self._add(job, entry)
        except (JournalFailed, OwnershipLost):
            raise
        except ServiceError as error:
            if entry.is_ended:
                raise
            raise await entry.give_back(error) from error
        except asyncio.CancelledError:
            await asyncio.shield(entry.give_back(left()))
            raise
        except Exception as bug:
            await entry.give_back(ServiceError(Reason.INTERNAL, type(bug).__name__))
            raise

    async def _add(self, job: "_Job", entry: JournalEntry) -> StepAnswer:
        arrival, running, provider = job.arrival, job.running, job.provider
        session = await self._session(arrival, provider, running.budget)
        announce = running.announce_first_write
        execution = Execution(provider, session, entry, running.budget, announce)
        if entry.operation.may_have_step:
            running.budget.start_operation()
        answer = await execution.resume(may_create_step=True)
        runs = 0
        while answer is None:
            if runs == RUNS_MAX or not running.is_awaited:
                raise provider_failure.unavailable(provider, "the answers to its writes were lost")
            survey, plan = await _plan(provider, session, arrival.request, job.checked)
            answer = await execution.run(plan, survey)
            runs += 1
        return answer

    async def _session(
        self, arrival: Arrival, provider: Provider, budget: Budget
    ) -> ProviderSession:
        connection = await self._surroundings.connections.find(arrival.key.connection)
        return ProviderSession(provider, connection, budget, arrival.record, self._surroundings)

    async def _answer_of_new_owner(self, entry: JournalEntry) -> StepAnswer:
        """Answer from the row, which somebody else has taken over and may have settled."""
        operation = entry.operation
        if not entry.may_be_sent:
            raise in_progress()
        unknown = endings.not_known(operation, None, entry.settles_in_seconds)
        try:
            found = await self._claims.find(operation.key)
        except ServiceError as error:
            raise unknown from error
        if found is None or found.state is not OperationState.SUCCEEDED:
            raise unknown
        return _replay(found)


@value_class
class _Job:
    """What stays the same over one operation."""

    arrival: Arrival
    running: RunningOperation
    provider: Provider
    checked: tuple[StepWarning, ...]
    """The warnings that need no I/O."""


def _wait_seconds(budget: Budget) -> float:
    """Return how long a request may wait to be worked on, so that there is time left to do it."""
    return budget.left_seconds - FIRST_WRITE_SECONDS_MIN


def _replay(operation: Operation) -> StepAnswer:
    assert operation.step_id is not None
    return StepAnswer(operation.step_id, operation.warnings, is_replay=True)


def _store_failed(entry: JournalEntry, failure: JournalFailed) -> ServiceError:
    if entry.may_be_sent:
        return endings.not_known(entry.operation, None, entry.settles_in_seconds)
    return failure.error


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
