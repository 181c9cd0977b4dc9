"""Who may start: a bound on requests in flight, and turns at a sequence in order of arrival.

One at a time, since what a lost write made is recognised by what was not in the sequence before
it: two writers at once would take each other's step for their own. The journal sees to it, in
whichever process they run; the turn here makes the requests of one process come to it in order.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from service.domain.errors import Reason, ServiceError
from service.domain.step import ConnectionKey

OVERLOAD_RETRY_SECONDS = 1.0
BUSY_RETRY_SECONDS = 1.0

_Sequence: TypeAlias = tuple[ConnectionKey, str]


@dataclass(slots=True)
class _Turn:
    """The turn at one sequence; asyncio's lock serves in order of arrival."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0


class Admission:
    """Admits requests within the service's limits."""

    def __init__(self, requests_in_flight_max: int) -> None:
        self._requests_in_flight_max = requests_in_flight_max
        self._requests_in_flight = 0
        self._turns: dict[_Sequence, _Turn] = {}

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
                yield
            finally:
                turn.lock.release()
        finally:
            turn.users -= 1
            if turn.users == 0:
                del self._turns[sequence]

    def has_turn_taken(self, key: ConnectionKey, sequence_id: str) -> bool:
        """Whether a new request would have to wait for the sequence."""
        return (key, sequence_id) in self._turns


async def _acquire(lock: asyncio.Lock, wait_seconds: float) -> None:
    try:
        async with asyncio.timeout(wait_seconds):
            await lock.acquire()
    except TimeoutError:
        raise busy(
            "Another request is adding a step to this sequence", BUSY_RETRY_SECONDS
        ) from None


def busy(why: str, wait_seconds: float) -> ServiceError:
    """Return the error for a sequence that somebody else writes to."""
    return ServiceError(
        Reason.SEQUENCE_BUSY,
        f"{why}; nothing was written. Call again in {max(wait_seconds, 1):.0f} seconds.",
        retry_after_seconds=wait_seconds,
    )
