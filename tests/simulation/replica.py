"""One replica of the service: the whole application, as a process that can crash and freeze.

Everything in it is the real one, but for what stands at its borders: HTTP, connections and the
clock are models, and the real journal is reached through one that can fail.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from service.application.admission import Admission
from service.application.arrival import Arrival
from service.application.claims import Claims
from service.application.create_sequence_step import CreateSequenceStep
from service.application.journal_entry import JournalEntry
from service.application.journal_port import Claim, Claimed, Due, Journal
from service.application.operation_tasks import OperationTasks
from service.application.owned_operations import OwnedOperations
from service.application.ports import Clock, Provider
from service.application.provider_session import Surroundings
from service.application.rate_limits import RateLimits
from service.application.recovery import Recovery
from service.domain.connection import Connection
from service.domain.errors import Reason, ServiceError
from service.domain.fingerprint import Fingerprints
from service.domain.operation import Operation, OperationKey
from service.domain.outcome import StepAnswer
from service.domain.provider_call import AnswerLost, NotSent, ProviderAnswer, ProviderRequest
from service.domain.step import ConnectionKey, ProviderName
from tests.simulation.fate import Exchange, Fate, JournalCall
from tests.simulation.process import Process, ProcessClock
from tests.simulation.tokens import Tokens
from tests.simulation.vendor_side import Sender, VendorSide

DRAIN_SECONDS = 200.0
STORE_RETRY_SECONDS = 5.0
FINGERPRINTS = Fingerprints(b"a key of simulations")

Result = TypeVar("Result")

_OWNED: ContextVar[JournalEntry] = ContextVar("_OWNED")
"""The operation that a task works on; the reads that it starts inherit it."""

_IS_RECOVERY: ContextVar[bool] = ContextVar("_IS_RECOVERY", default=False)


class ProcessGone(Exception):  # noqa: N818 - what a client sees, not a fault
    """The replica is down, or went down before it answered."""


@dataclass(frozen=True, slots=True)
class Outside:
    """What the replicas share, and what becomes of it."""

    providers: Mapping[ProviderName, Provider]
    journal: Journal
    vendor_side: VendorSide
    tokens: Tokens
    fate: Fate
    settle_seconds: float
    requests_in_flight_max: int


class Replica:
    """One replica, up or down; each start is a new process that knows nothing of the one before."""

    def __init__(self, name: str, outside: Outside) -> None:
        self.name = name
        self.outside = outside
        self.crashes = 0
        self.process: Process
        self._tasks: OperationTasks
        self._use_case: CreateSequenceStep
        self._services: list[asyncio.Task[None]]
        self.start()

    @property
    def is_up(self) -> bool:
        return not self.process.is_gone

    def was_frozen_since(self, seconds: float) -> bool:
        """Whether it stood still at any time from then on."""
        return self.process.is_frozen or self.process.woke_at_seconds >= seconds

    def start(self) -> None:
        """Start a process, with its recovery and the renewal of its leases."""
        outside = self.outside
        process = self.process = Process()
        clock = ProcessClock(process)
        journal = _ReplicaJournal(self, process)
        surroundings = Surroundings(
            _ReplicaHttp(self, process, clock),
            _ReplicaConnections(self, process),
            RateLimits(clock),
            clock,
        )
        settle_seconds = dict.fromkeys(outside.providers, outside.settle_seconds)
        owned = _NotedOperations(journal, settle_seconds, clock)
        recovery = _NotedRecovery(outside.providers, journal, owned, surroundings)
        self._tasks = OperationTasks()
        self._use_case = CreateSequenceStep(
            outside.providers,
            Admission(
                outside.requests_in_flight_max,
                outside.requests_in_flight_max,
                outside.requests_in_flight_max // 2,
            ),
            self._tasks,
            Claims(journal, recovery, owned, clock, FINGERPRINTS),
            surroundings,
        )
        self._services = [asyncio.create_task(each) for each in (owned.run(), recovery.run())]

    async def create(self, arrival: Arrival) -> StepAnswer:
        """Make one call; a client that is cancelled has left.

        Raises:
            ServiceError: the answer.
            ProcessGone: there is none, and there will be none.
        """
        process = self.process
        handler = asyncio.create_task(self._handle(process, arrival))
        handler.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            await asyncio.wait([handler])
        except asyncio.CancelledError:
            process.when_awake(handler.cancel)
            raise
        if handler.cancelled():
            raise ProcessGone
        return handler.result()

    def crash(self) -> None:
        """Let the process be gone at this instant."""
        if self.is_up:
            self.crashes += 1
            self.process.crash()

    def freeze(self, seconds: float, *, with_machine: bool = False) -> None:
        """Stop the process for so long; `with_machine` its monotonic clock stops too."""
        self.process.freeze(seconds, with_machine=with_machine)

    async def stop(self) -> None:
        """End the process in good order."""
        if self.is_up:
            await self._tasks.drain(DRAIN_SECONDS)
        for task in self._services:
            task.cancel()
        await asyncio.wait(self._services)
        self.process.crash()

    async def _handle(self, process: Process, arrival: Arrival) -> StepAnswer:
        async def arrive_or_leave() -> None:
            """Nothing is done: only a process that runs hears of a call, and answers one."""

        await process.outside(arrive_or_leave)
        try:
            return await self._use_case.run(arrival)
        finally:
            await process.outside(arrive_or_leave)


class _NotedOperations(OwnedOperations):
    """Notes which operation the current task owns, so that what it sends can be told."""

    @contextmanager
    def owned(self, claimed: Claimed) -> Iterator[JournalEntry]:
        with super().owned(claimed) as entry:
            outer = _OWNED.set(entry)
            try:
                yield entry
            finally:
                _OWNED.reset(outer)


class _NotedRecovery(Recovery):
    """Notes that the current task looks after an operation, for nobody's call."""

    async def settle(self, key: OperationKey, epoch: int) -> None:
        outer = _IS_RECOVERY.set(True)
        try:
            await super().settle(key, epoch)
        finally:
            _IS_RECOVERY.reset(outer)


class _ReplicaJournal:
    """Implements `Journal`: the shared one, as this process reaches it."""

    def __init__(self, replica: Replica, process: Process) -> None:
        self._replica = replica
        self._process = process
        self._journal = replica.outside.journal
        self._fate = replica.outside.fate

    async def claim(
        self, key: OperationKey, sequence_id: str, fingerprint: str, *, settle_seconds: float
    ) -> Claim:
        return await self._call(
            JournalCall("claim"),
            lambda: self._journal.claim(
                key, sequence_id, fingerprint, settle_seconds=settle_seconds
            ),
        )

    async def take(self, key: OperationKey, epoch: int) -> Claimed | None:
        return await self._call(JournalCall("take"), lambda: self._journal.take(key, epoch))

    async def save(
        self,
        operation: Operation,
        *,
        is_sending: bool = False,
        look_after_seconds: float | None = None,
    ) -> int:
        return await self._call(
            JournalCall("save", operation, is_sending),
            lambda: self._journal.save(
                operation, is_sending=is_sending, look_after_seconds=look_after_seconds
            ),
        )

    async def discard(self, operation: Operation) -> None:
        call = JournalCall("discard", operation)
        await self._call(call, lambda: self._journal.discard(operation))

    async def renew(self, operations: Collection[Operation]) -> None:
        await self._call(JournalCall("renew"), lambda: self._journal.renew(operations))

    async def find(self, key: OperationKey) -> Operation | None:
        return await self._call(JournalCall("find"), lambda: self._journal.find(key))

    async def due(self, limit: int) -> tuple[Due, ...]:
        return await self._call(JournalCall("due"), lambda: self._journal.due(limit))

    async def steps_of_others(self, operation: Operation) -> frozenset[str]:
        call = JournalCall("steps_of_others")
        return await self._call(call, lambda: self._journal.steps_of_others(operation))

    async def forget(self, *, finished_before_seconds: float, open_before_seconds: float) -> int:
        return await self._call(
            JournalCall("forget"),
            lambda: self._journal.forget(
                finished_before_seconds=finished_before_seconds,
                open_before_seconds=open_before_seconds,
            ),
        )

    async def _call(self, call: JournalCall, work: Callable[[], Awaitable[Result]]) -> Result:
        return await self._process.outside(lambda: self._done_or_not(call, work))

    async def _done_or_not(
        self, call: JournalCall, work: Callable[[], Awaitable[Result]]
    ) -> Result:
        happening = self._fate.before_journal(self._replica, call)
        await asyncio.sleep(happening.before_seconds)
        await self._process.goes_on()
        if not happening.is_done:
            raise _store_unavailable()
        result = await work()
        self._fate.after_journal(self._replica, call)
        await asyncio.sleep(happening.after_seconds)
        if happening.fails:
            raise _store_unavailable()
        return result


class _ReplicaHttp:
    """Implements `Http`: one connection a request, and no byte after the time to start."""

    def __init__(self, replica: Replica, process: Process, clock: Clock) -> None:
        self._replica = replica
        self._process = process
        self._clock = clock
        self._fate = replica.outside.fate

    async def send(
        self,
        request: ProviderRequest,
        *,
        timeout_seconds: float,
        start_by_seconds: float | None = None,
    ) -> ProviderAnswer:
        return await self._process.outside(
            lambda: self._sent(request, timeout_seconds, start_by_seconds)
        )

    async def _sent(
        self, request: ProviderRequest, timeout_seconds: float, start_by_seconds: float | None
    ) -> ProviderAnswer:
        until_seconds = self._clock.monotonic_seconds() + timeout_seconds
        exchange = self._fate.before_send(self._replica, request)
        await asyncio.sleep(min(exchange.connect_seconds, timeout_seconds))
        await self._process.goes_on()
        if exchange.is_refused or exchange.connect_seconds >= timeout_seconds:
            raise NotSent("connection refused")
        if start_by_seconds is not None and self._clock.boot_seconds() > start_by_seconds:
            self._fate.too_late(self._replica, request)
            raise NotSent("too late to start")
        exchange.meanwhile(request)
        own_answer = self._replica.outside.vendor_side.receive(request, self._sender(), exchange)
        self._fate.received(self._replica, request)
        await self._process.goes_on()
        left_seconds = until_seconds - self._clock.monotonic_seconds()
        takes_seconds = exchange.takes_seconds
        if takes_seconds is None or takes_seconds >= left_seconds:
            await asyncio.sleep(max(left_seconds, 0.0))
            takes_seconds = None
        else:
            await asyncio.sleep(takes_seconds)
        self._fate.answered(self._replica, request)
        await self._process.goes_on()
        if takes_seconds is None or self._clock.monotonic_seconds() > until_seconds:
            raise AnswerLost("timed out")
        given = _answer_to_client(exchange, own_answer)
        self._replica.outside.vendor_side.answered(request, given)
        return given

    def _sender(self) -> Sender:
        operation = _OWNED.get().operation
        return Sender(self._replica.name, operation.key, operation.epoch, _IS_RECOVERY.get())


class _ReplicaConnections:
    """Implements `Connections`: the shared ones, as this process reaches them."""

    def __init__(self, replica: Replica, process: Process) -> None:
        self._replica = replica
        self._process = process
        self._tokens = replica.outside.tokens
        self._fate = replica.outside.fate

    async def find(self, key: ConnectionKey) -> Connection:
        return await self._call("find", lambda: self._tokens.find(key))

    async def refresh(self, connection: Connection) -> Connection:
        return await self._call("refresh", lambda: self._tokens.refresh(connection))

    async def _call(self, name: str, work: Callable[[], Awaitable[Connection]]) -> Connection:
        async def done_or_not() -> Connection:
            error = self._fate.before_connection(self._replica, name)
            await self._process.goes_on()
            if error is not None:
                raise error
            return await work()

        return await self._process.outside(done_or_not)


def _answer_to_client(exchange: Exchange, own_answer: ProviderAnswer | None) -> ProviderAnswer:
    match exchange.answer:
        case None:
            assert own_answer is not None
            return own_answer
        case ProviderAnswer() as given:
            # A vendor that refuses does not say that it accepted.
            return given if own_answer is None or own_answer.status < 400 else own_answer
        case AnswerLost() as fact:
            raise AnswerLost(fact.why)


def _store_unavailable() -> ServiceError:
    return ServiceError(
        Reason.STORE_UNAVAILABLE,
        "The service cannot reach its store at the moment.",
        retry_after_seconds=STORE_RETRY_SECONDS,
    )
