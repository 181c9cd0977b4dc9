"""Lets a process die or freeze once, where a scenario says; everything else works."""

import asyncio
from collections.abc import Callable

from service.domain.operation import CallState, Operation, OperationState
from service.domain.provider_call import ProviderRequest
from tests.application import plans
from tests.application.scripted_http import answer, resource_of
from tests.crash_matrix.scenario import (
    FROZEN_SECONDS,
    SLOW_SECONDS,
    CrashPoint,
    Next,
    Scenario,
)
from tests.simulation.fate import Exchange, Fate, JournalCall, StoreHappening
from tests.simulation.replica import Replica
from tests.simulation.truth import MAKES_STEP

LOST = Exchange(applied_after_seconds=None, answer=plans.LOST)
REFUSED = Exchange(applied_after_seconds=None, answer=answer(422, {"error": "no"}))


class Crash(Fate):
    """Decides what becomes of a scenario."""

    def __init__(self, scenario: Scenario, on_saved: Callable[[JournalCall], None]) -> None:
        """Take what is called with each change that is committed."""
        self._scenario = scenario
        self._target = scenario.target
        self._on_saved = on_saved
        self._has_refused = False
        self._has_lost = False
        self._is_under_way = False
        self._is_answered = False
        self.is_over = False
        self.happened = asyncio.Event()

    def before_journal(self, replica: Replica, call: JournalCall) -> StoreHappening:
        if call.name == "save":
            self._crash_if(replica, CrashPoint.BEFORE_SENT, self._sends_target(call))
            self._crash_if(replica, CrashPoint.AFTER_ANSWER, self._is_answered)
        return super().before_journal(replica, call)

    def after_journal(self, replica: Replica, call: JournalCall) -> None:
        if call.name == "save":
            assert call.operation is not None
            self._on_saved(call)
            is_end = call.operation.state is not OperationState.RUNNING
            self._crash_if(replica, CrashPoint.AFTER_SENT, self._sends_target(call))
            self._crash_if(replica, CrashPoint.AFTER_COMMIT, self._is_answered)
            self._crash_if(replica, CrashPoint.AFTER_END, self._is_answered and is_end)

    def before_send(self, replica: Replica, request: ProviderRequest) -> Exchange:
        resource = resource_of(request)
        if self.is_over:
            return self._later(resource)
        if resource == self._target.refused and not self._has_refused:
            self._has_refused = True
            return REFUSED
        if resource == self._target.resource and not self._is_under_way:
            self._is_under_way = True
            return self._scenario.exchange
        return super().before_send(replica, request)

    def _later(self, resource: str) -> Exchange:
        """Decide what comes of a request after the crash."""
        is_lost = self._scenario.next is Next.EQUAL_AT_ONCE_AND_LOST and not self._has_lost
        if is_lost and resource in MAKES_STEP:
            self._has_lost = True
            return LOST
        return (
            Exchange(takes_seconds=SLOW_SECONDS)
            if self._scenario.next.is_only_frozen
            else Exchange()
        )

    def received(self, replica: Replica, request: ProviderRequest) -> None:
        is_target = resource_of(request) == self._target.resource
        self._crash_if(replica, CrashPoint.AT_VENDOR, is_target)

    def answered(self, replica: Replica, request: ProviderRequest) -> None:
        del replica
        self._is_answered |= resource_of(request) == self._target.resource

    def _crash_if(self, replica: Replica, point: CrashPoint, is_there: bool) -> None:  # noqa: FBT001 - a condition
        if is_there and point is self._scenario.point and not self.is_over:
            self.is_over = True
            self.happened.set()
            if self._scenario.next.is_only_frozen:
                replica.freeze(FROZEN_SECONDS)
            else:
                replica.crash()

    def _sends_target(self, call: JournalCall) -> bool:
        return call.is_sending and self._target.resource in resources_sent(call.operation)


def resources_sent(operation: Operation | None) -> set[str]:
    """Return the writes of an operation that are SENT, by method and first part of the path."""
    assert operation is not None
    return {
        f"{call.write.method} /{call.write.path.split('/')[1]}"
        for call in (*operation.calls, operation.undo)
        if call is not None and call.state is CallState.SENT
    }
