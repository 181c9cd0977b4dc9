"""Owns the tasks that operations run in, so that none of them ends because its caller left.

Callers of the same operation share one task; only when the last of them has left before the first
write does it stop.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial

import structlog

from service.application.arrival import Arrival
from service.application.budget import Budget
from service.domain.errors import ServiceError
from service.domain.operation import OperationKey
from service.domain.outcome import StepAnswer

_log = structlog.get_logger(__name__)


class RunningOperation:
    """One operation under way in this process, and the calls that wait for it."""

    def __init__(self, budget: Budget, fingerprint: str) -> None:
        self.budget = budget
        self.fingerprint = fingerprint
        self.is_stopping = False
        """Whether it ends because everybody left; who comes now waits, and begins anew."""
        self._task: asyncio.Task[StepAnswer]
        self._waiting: list[Arrival] = []
        self._is_announced = False

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the answer."""
        return bool(self._waiting)

    def start(self, operation: Coroutine[None, None, StepAnswer]) -> asyncio.Task[StepAnswer]:
        """Run the operation in a task that only `OperationTasks.drain` ends early."""
        self._task = asyncio.create_task(operation)
        return self._task

    def announce_first_write(self) -> None:
        """Tell all callers that from now on something may have been written."""
        if not self._is_announced:
            self._is_announced = True
            for arrival in self._waiting:
                arrival.before_first_write()

    async def answer(self, arrival: Arrival) -> StepAnswer:
        """Wait for the answer on behalf of one call; its leaving counts when it is the last one.

        Raises:
            ServiceError: what the operation ends with.
        """
        self._waiting.append(arrival)
        self.budget.wait_longer(arrival.deadline_seconds)
        if self._is_announced:
            arrival.before_first_write()
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            self._leave(arrival)
            raise
        finally:
            self._waiting.remove(arrival)

    async def ended(self) -> None:
        """Wait until it has ended, however it does."""
        await asyncio.wait([self._task])

    def _leave(self, arrival: Arrival) -> None:
        if len(self._waiting) > 1:
            return
        facts = {
            "customer": arrival.key.connection.customer_id,
            "provider": arrival.key.connection.provider,
            "sequence": arrival.request.sequence_id,
            "request_id": arrival.key.request_id,
        }
        self._task.add_done_callback(partial(log_outcome_unheard, facts))
        if not self.budget.has_written:
            self.is_stopping = True
            self._task.cancel()


class OperationTasks:
    """The operations of this process that are under way."""

    def __init__(self) -> None:
        self._running: dict[OperationKey, RunningOperation] = {}
        self._tasks: set[asyncio.Task[StepAnswer]] = set()

    def running(self, key: OperationKey) -> RunningOperation | None:
        """Return the operation with this key that is under way."""
        return self._running.get(key)

    def start(
        self,
        key: OperationKey,
        running: RunningOperation,
        operation: Coroutine[None, None, StepAnswer],
    ) -> None:
        """Run an operation until it ends."""
        self._running[key] = running
        self._own(running.start(operation), lambda: self._running.pop(key))

    def _own(self, task: asyncio.Task[StepAnswer], forget: Callable[[], object]) -> None:
        self._tasks.add(task)

        def ended(task: asyncio.Task[StepAnswer]) -> None:
            self._tasks.discard(task)
            forget()

        task.add_done_callback(ended)

    async def drain(self, seconds: float) -> None:
        """Let the operations under way finish; what takes longer is cancelled and logged."""
        if not self._tasks:
            return
        _, unfinished = await asyncio.wait(self._tasks, timeout=seconds)
        for task in unfinished:
            task.cancel()
        if unfinished:
            _log.error("operations_cut_off", count=len(unfinished))
            await asyncio.wait(unfinished)


def log_outcome_unheard(facts: Mapping[str, str], task: asyncio.Task[StepAnswer]) -> None:
    """Log what became of an operation whose caller had left."""
    if task.cancelled():
        _log.warning("operation_without_caller", outcome="CANCELLED", **facts)
        return
    error = task.exception()
    if error is None:
        step_id = task.result().step_id
        _log.info("operation_without_caller", outcome="OK", step_id=step_id, **facts)
    elif isinstance(error, ServiceError):
        _log.warning(
            "operation_without_caller",
            outcome=error.reason.value,
            step_id=error.metadata.get("stepId", ""),
            **facts,
        )
    else:
        _log.error("operation_without_caller", outcome="INTERNAL", exc_info=error, **facts)
