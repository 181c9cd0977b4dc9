"""Owns the tasks that operations run in, so that none of them ends because its caller left."""

import asyncio
from collections.abc import Coroutine, Mapping

import structlog

from service.domain.errors import ServiceError
from service.domain.outcome import StepAnswer

_log = structlog.get_logger(__name__)


class OperationTasks:
    """The operations of this process that are under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[StepAnswer]] = set()

    def start(self, operation: Coroutine[None, None, StepAnswer]) -> asyncio.Task[StepAnswer]:
        """Run an operation in a task that only `drain` ends early."""
        task = asyncio.create_task(operation)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

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
