"""A client: it asks for one step, leaves or waits, and repeats its request at either replica."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from service.application.arrival import Arrival
from service.application.call_record import CallRecord
from service.domain.errors import Reason, ServiceError
from service.domain.operation import OperationKey
from service.domain.outcome import StepAnswer
from service.domain.step import ConnectionKey, StepRequest
from tests.application.plans import PlanKind
from tests.simulation.replica import ProcessGone, Replica
from tests.simulation.truth import Call, Truth, Wanted

CALLS_MAX: Final = 20
BEGINS_WITHIN_SECONDS: Final = 300.0
GIVES_UP_SHARE: Final = 0.05
"""How often a client without an answer does not ask again."""

AVOIDS_SHARE: Final = 0.7
REUSES_SHARE: Final = 0.1
ASKS_AGAIN_SHARE: Final = 0.3
"""How often one that has its answer asks once more."""

End: TypeAlias = StepAnswer | ServiceError | str
"""How a call ended; in a word where there was no answer."""


@dataclass(frozen=True, slots=True)
class Client:
    """One client."""

    name: str
    connection: ConnectionKey
    plan: PlanKind
    request: StepRequest
    has_request_id: bool
    """Else each of its calls is a request of its own."""

    leaving: float
    """How often it leaves before its deadline."""

    replicas: Sequence[Replica]
    dice: random.Random
    truth: Truth

    async def run(self) -> None:
        """Ask until there is a final answer, or it gives up."""
        await asyncio.sleep(self.dice.uniform(0, BEGINS_WITHIN_SECONDS))
        deadline_seconds = self.dice.choice([None, 3.0, 10.0, 30.0, 120.0])
        end: End = ""
        replica = self.dice.choice(self.replicas)
        for number in range(CALLS_MAX):
            end = await self._call(number, replica, self.request, deadline_seconds)
            replica = self._next_replica(replica, end)
            pause_seconds = self._pause_seconds(end)
            if pause_seconds is None:
                break
            if isinstance(end, ServiceError) and end.reason is Reason.DEADLINE_TOO_SHORT:
                deadline_seconds = 60.0
            await asyncio.sleep(pause_seconds)
        if (
            isinstance(end, StepAnswer)
            and self.has_request_id
            and self.dice.random() < REUSES_SHARE
        ):
            await self._reuse()

    async def _reuse(self) -> None:
        """Ask for another step with the id of a request that was answered."""
        other = replace(self.request, step=replace(self.request.step, interval_seconds=1_234_560))
        end = await self._call(0, self.dice.choice(self.replicas), other, None)
        if isinstance(end, StepAnswer):
            self.truth.notes.broke(f"{self.name}: got the answer to another request")

    async def _call(
        self, number: int, replica: Replica, request: StepRequest, deadline_seconds: float | None
    ) -> End:
        request_id = self.name if self.has_request_id else f"{self.name}-{number}"
        key = OperationKey("caller", self.connection, request_id)
        self.truth.wanted[key] = Wanted(self.request.sequence_id, self.plan.messages)
        started_at_seconds = asyncio.get_running_loop().time()
        self.truth.notes.event(f"{request_id} asks {replica.name} with {deadline_seconds} s")
        end = await self._answer(replica, Arrival(key, request, deadline_seconds, CallRecord()))
        self.truth.notes.outcomes[_word(end)] += 1
        self.truth.notes.event(f"{request_id} gets {_shown(end)}")
        if not isinstance(end, str):
            now_seconds = asyncio.get_running_loop().time()
            was_frozen = replica.was_frozen_since(started_at_seconds)
            call = Call(key, replica.name, started_at_seconds, now_seconds, was_frozen, end)
            self.truth.check_answer(call)
        return end

    async def _answer(self, replica: Replica, arrival: Arrival) -> End:
        patience_seconds = arrival.deadline_seconds
        if self.dice.random() < self.leaving:
            patience_seconds = self.dice.uniform(0, patience_seconds or 20.0)
        call = asyncio.create_task(replica.create(arrival))
        await asyncio.wait([call], timeout=patience_seconds)
        if not call.done():
            call.cancel()
            await asyncio.wait([call])
        if call.cancelled():
            return "left"
        try:
            return call.result()
        except ServiceError as error:
            return error
        except ProcessGone:
            return "no answer"
        except Exception as bug:  # noqa: BLE001 - whatever it is, it must not come out
            self.truth.notes.broke(f"{self.name}: {type(bug).__name__}: {bug}")
            return ServiceError(Reason.INTERNAL, type(bug).__name__)

    def _next_replica(self, last: Replica, end: End) -> Replica:
        """Where to ask next: rather not where there was no answer."""
        others = [replica for replica in self.replicas if replica is not last]
        avoids_last = isinstance(end, str) and self.dice.random() < AVOIDS_SHARE
        return self.dice.choice(others if avoids_last else self.replicas)

    def _pause_seconds(self, end: End) -> float | None:
        """When to ask again; None when not at all."""
        match end:
            case StepAnswer():
                return 1.0 if self.dice.random() < ASKS_AGAIN_SHARE else None
            case ServiceError(retry_after_seconds=float() as seconds):
                return seconds + self.dice.choice([0.0, 0.0, 0.5, 20.0])
            case ServiceError(reason=Reason.DEADLINE_TOO_SHORT):
                return 0.1
            case ServiceError(reason=Reason.OUTCOME_UNKNOWN | Reason.REQUEST_ID_REUSED):
                return None
            case ServiceError():
                return 5.0 if self.dice.random() < ASKS_AGAIN_SHARE else None
            case _:
                gives_up = self.dice.random() < GIVES_UP_SHARE
                return None if gives_up else self.dice.choice([0.1, 1.0, 10.0, 60.0])


def _word(end: End) -> str:
    match end:
        case StepAnswer():
            return "OK, replayed" if end.is_replay else "OK"
        case ServiceError():
            return end.reason.value
        case word:
            return word


def _shown(end: End) -> str:
    match end:
        case StepAnswer():
            return f"{_word(end)} {end.step_id}"
        case ServiceError():
            return f"{end} {dict(end.metadata)} again in {end.retry_after_seconds}"
        case word:
            return word
