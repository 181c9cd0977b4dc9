"""Who may start: a bound on requests in flight, and one operation at a time per sequence.

One at a time, since what a lost write made is recognised by what was not in the sequence before
it: two writers at once would take each other's step for their own.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from service.application.ports import Clock
from service.domain.errors import Reason, ServiceError
from service.domain.step import ConnectionKey

OVERLOAD_RETRY_SECONDS = 1.0
BUSY_RETRY_SECONDS = 1.0

SETTLE_SECONDS = 120.0
"""Within this a provider applies or drops a request, and shows it: the one assumption about them.
Until then nobody else writes to a sequence on which a write was lost."""


_Sequence: TypeAlias = tuple[ConnectionKey, str]


@dataclass(slots=True)
class _Turn:
    """The turn at one sequence; asyncio's lock serves in order of arrival."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Admission:
    """Admits requests within the service's limits."""

    def __init__(self, requests_in_flight_max: int, clock: Clock) -> None:
        self._requests_in_flight_max = requests_in_flight_max
        self._requests_in_flight = 0
        self._clock = clock
        self._turns: dict[_Sequence, _Turn] = {}
        self._quiet_until_seconds: dict[_Sequence, float] = {}

    @contextmanager
    def request(self) -> Iterator[None]:
        """Count one request, from its arrival to its end.

        Raises:
            ServiceError: SERVICE_OVERLOADED, and nothing was written.
        """
        if self._requests_in_flight >= self._requests_in_flight_max:
            raise ServiceError(
                Reason.SERVICE_OVERLOADED,
                "The service has as many requests in flight as it takes; nothing was written. "
                "Call again in a moment.",
                retry_after_seconds=OVERLOAD_RETRY_SECONDS,
            )
        self._requests_in_flight += 1
        try:
            yield
        finally:
            self._requests_in_flight -= 1

    @asynccontextmanager
    async def turn(
        self, key: ConnectionKey, sequence_id: str, wait_seconds: float
    ) -> AsyncIterator[None]:
        """Hold the sequence; wait for it for so long at most.

        Raises:
            ServiceError: SEQUENCE_BUSY, and nothing was written.
        """
        sequence = (key, sequence_id)
        turn = self._turns.setdefault(sequence, _Turn())
        turn.users += 1
        try:
            await _acquire(turn.lock, wait_seconds)
            try:
                self._refuse_quiet(sequence)
                yield
            finally:
                turn.lock.release()
        finally:
            turn.users -= 1
            if turn.users == 0:
                del self._turns[sequence]

    def keep_quiet(self, key: ConnectionKey, sequence_id: str) -> None:
        """Let nobody write to the sequence until a write that was lost on it has settled."""
        now_seconds = self._clock.monotonic_seconds()
        for sequence, until_seconds in list(self._quiet_until_seconds.items()):
            if until_seconds > now_seconds:
                break  # They are in the order in which they end.
            del self._quiet_until_seconds[sequence]
        self._quiet_until_seconds.pop((key, sequence_id), None)
        self._quiet_until_seconds[(key, sequence_id)] = now_seconds + SETTLE_SECONDS

    def _refuse_quiet(self, sequence: _Sequence) -> None:
        until_seconds = self._quiet_until_seconds.get(sequence, 0.0)
        left_seconds = until_seconds - self._clock.monotonic_seconds()
        if left_seconds > 0:
            raise _busy("An earlier write to this sequence may still be applied", left_seconds)


async def _acquire(lock: asyncio.Lock, wait_seconds: float) -> None:
    try:
        async with asyncio.timeout(wait_seconds):
            await lock.acquire()
    except TimeoutError:
        raise _busy(
            "Another request is adding a step to this sequence", BUSY_RETRY_SECONDS
        ) from None


def _busy(why: str, wait_seconds: float) -> ServiceError:
    return ServiceError(
        Reason.SEQUENCE_BUSY,
        f"{why}; nothing was written. Call again in {max(wait_seconds, 1):.0f} seconds.",
        retry_after_seconds=wait_seconds,
    )
