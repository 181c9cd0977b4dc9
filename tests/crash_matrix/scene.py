"""Plays one scenario on virtual time, and says which promises it broke."""

import asyncio
from collections.abc import Iterator

from service.application.arrival import Arrival
from service.application.call_record import CallRecord
from service.application.journal_port import LEASE_SECONDS
from service.domain.errors import ServiceError
from service.domain.operation import Operation, OperationKey, OperationState
from service.domain.outcome import StepAnswer
from service.domain.step import ConnectionKey, StepRequest
from service.stores.journal_rows import OperationRow, where
from service.stores.sql_files import named_queries
from tests.application.memory_journal import KEY_RING, journal_in, memory_connection
from tests.application.virtual_time import VirtualClock
from tests.application.world import MODELS, PROVIDERS, SETTLE_SECONDS
from tests.crash_matrix.crash import Crash
from tests.crash_matrix.lagging_vendor_side import LaggingVendorSide
from tests.crash_matrix.scenario import Next, Scenario
from tests.simulation.notes import Notes
from tests.simulation.replica import Outside, ProcessGone, Replica
from tests.simulation.truth import MAKES_STEP, Call, Truth, Wanted

FIRST, OTHER = "the first request", "the other request"
WATCHED_SECONDS = SETTLE_SECONDS + 2 * LEASE_SECONDS
HOURS = 3
REPEATS_MAX = 3

SAYS = {
    Next.SAME_AT_ONCE: {"OK", "OUTCOME_UNKNOWN"},
    Next.SAME_AFTER_SETTLE: {"OK"},
    Next.RECOVERY: {""},
    Next.SAME_ELSEWHERE: {"OK", "OUTCOME_UNKNOWN"},
    Next.EQUAL_AT_ONCE: {"OK", "SEQUENCE_BUSY"},
    Next.EQUAL_AT_ONCE_AND_LOST: {"OUTCOME_UNKNOWN", "SEQUENCE_BUSY"},
    Next.EQUAL_AFTER_SETTLE: {"OK"},
    Next.SAME_ELSEWHERE_AND_IT_WAKES: {"OK", "OUTCOME_UNKNOWN"},
    Next.EQUAL_AT_ONCE_AND_IT_WAKES: {"OK", "SEQUENCE_BUSY"},
}
"""What the call that follows the crash may be told, where nothing is being undone."""

_READ = named_queries("sqlite", "journal.sql")["read"]


class Scene:
    """One vendor, one database, and two replicas of which one dies."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.plan = scenario.target.plan
        self.vendor = MODELS[self.plan.provider]()
        self.clock = VirtualClock()
        self.database = memory_connection()
        self.journal = journal_in(self.database, self.clock)
        self.vendor_side = LaggingVendorSide(self.vendor, self._committed, self.clock)
        self.notes = Notes()
        self.truth = self._truth()
        self.crash = Crash(scenario, self.truth.check_saved)
        outside = Outside(
            PROVIDERS,
            self.journal,
            self.vendor_side,
            self.vendor_side.tokens,
            self.crash,
            SETTLE_SECONDS,
            requests_in_flight_max=10,
        )
        self.one = Replica("one", outside)
        self.two = Replica("two", outside)
        self.waited: list[tuple[OperationKey, float, float]] = []
        """Who waited for an answer, from when until when."""

    def _truth(self) -> Truth:
        truth = Truth(
            self.vendor_side,
            self.notes,
            self.clock.monotonic_seconds,
            SETTLE_SECONDS,
            PROVIDERS[self.plan.provider].names_steps,
        )
        wanted = Wanted(self.vendor.sequence_id, self.plan.messages)
        truth.wanted = {self._key(FIRST): wanted, self._key(OTHER): wanted}
        self.vendor_side.on_arrived = truth.check_arrived
        self.vendor_side.on_applied = truth.check_applied
        return truth

    async def play(self) -> list[str]:
        """Play it to its end; return the promises that were broken."""
        if not self.scenario.next.is_elsewhere:
            self.two.crash()
        first = asyncio.create_task(self._call(self.one, FIRST))
        first.add_done_callback(lambda _: self.crash.happened.set())
        await self.crash.happened.wait()
        assert self.crash.is_over, "the write never came to where its process was to die"
        says = await self._act()
        if says not in self._may_say() and not self._is_taken(says):
            self.notes.broke(f"says {says} at first")
        await first
        await self._let_hours_pass()
        await self._ask_until_done()
        self.notes.broken += self._steps_without_caller()
        self.database.close()
        return self.notes.broken

    async def _act(self) -> str:
        """Let the next one act; return what it is told, nothing if it does not ask."""
        match self.scenario.next:
            case Next.SAME_AT_ONCE:
                await self._start_again()
                return await self._call(self.one, FIRST)
            case Next.SAME_AFTER_SETTLE:
                await asyncio.sleep(SETTLE_SECONDS)
                await self._start_again()
                return await self._call(self.one, FIRST)
            case Next.RECOVERY:
                await self._start_again()
                return ""
            case Next.SAME_ELSEWHERE | Next.SAME_ELSEWHERE_AND_IT_WAKES:
                return await self._call(self.two, FIRST)
            case Next.EQUAL_AT_ONCE | Next.EQUAL_AT_ONCE_AND_LOST | Next.EQUAL_AT_ONCE_AND_IT_WAKES:
                return await self._call(self.two, OTHER)
            case Next.EQUAL_AFTER_SETTLE:
                await asyncio.sleep(SETTLE_SECONDS)
                await self._start_again()
                return await self._call(self.one, OTHER)

    async def _start_again(self) -> None:
        """Start the process that died, on a database that it alone serves from."""
        await self.journal.expire_leases()
        self.one.start()

    async def _let_hours_pass(self) -> None:
        await asyncio.sleep(WATCHED_SECONDS)
        for _ in range(HOURS):
            await self._stop()
            await asyncio.sleep(3_600)
            self.one.start()
            await asyncio.sleep(1)
        rows = [each for key in self.truth.wanted if (each := self._committed(key))]
        self.truth.check_rows(rows)
        for row in rows:
            if row.state not in {OperationState.SUCCEEDED, OperationState.NO_EFFECT}:
                self.notes.broke(f"{row.key.request_id} stays {row.state}")

    async def _ask_until_done(self) -> None:
        """Repeat each request until it has its step."""
        for request_id in dict.fromkeys(key.request_id for key, _, _ in self.waited):
            for _ in range(REPEATS_MAX):
                says = await self._call(self.one, request_id)
                if says == "OK" or self._is_taken(says):
                    break
                await asyncio.sleep(SETTLE_SECONDS)
            else:
                self.notes.broke(f"{request_id} never gets its step: {says}")
        await self._stop()

    def _may_say(self) -> set[str]:
        """Return what the call that follows the crash may be told."""
        says = SAYS[self.scenario.next]
        # That call removes the step, which is an end of its own; the next one makes it anew.
        return says | {"PROVIDER_UNAVAILABLE"} if self.scenario.target.kind == "undo" else says

    def _is_taken(self, says: str) -> bool:
        """Whether a cadence is refused, rightly, because of the other request's step."""
        return says == "SEQUENCE_NOT_EMPTY" and len(self.vendor.steps) == 1

    async def _stop(self) -> None:
        for replica in (self.one, self.two):
            await replica.stop()

    async def _call(self, replica: Replica, request_id: str) -> str:
        """Make a call; return what it is told, nothing when the process dies."""
        key = self._key(request_id)
        request = StepRequest(self.vendor.sequence_id, self.plan.step)
        started_at_seconds = self.clock.monotonic_seconds()
        end: StepAnswer | ServiceError | None
        try:
            end = await replica.create(Arrival(key, request, None, CallRecord()))
        except ServiceError as error:
            end = error
        except ProcessGone:
            end = None
        now_seconds = self.clock.monotonic_seconds()
        self.waited.append((key, started_at_seconds, now_seconds))
        if end is None:
            return ""
        was_frozen = replica.was_frozen_since(started_at_seconds)
        call = Call(key, replica.name, started_at_seconds, now_seconds, was_frozen, end)
        self.truth.check_answer(call)
        return "OK" if isinstance(end, StepAnswer) else end.reason.value

    def _steps_without_caller(self) -> Iterator[str]:
        """Say which steps were made though nobody waited for them."""
        for arrived in self.vendor_side.arrived:
            assert arrived.sender is not None
            if arrived.resource in MAKES_STEP and not any(
                key == arrived.sender.key and start <= arrived.at_seconds <= end
                for key, start, end in self.waited
            ):
                yield f"{arrived.resource} was sent for nobody"

    def _key(self, request_id: str) -> OperationKey:
        return OperationKey("caller", ConnectionKey("acme", self.plan.provider), request_id)

    def _committed(self, key: OperationKey) -> Operation | None:
        row = self.database.execute(_READ, where(key)).fetchone()
        return None if row is None else OperationRow(*row).operation(KEY_RING)
