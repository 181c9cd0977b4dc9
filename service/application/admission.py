"""Who may start: a bound on requests in flight, and one operation at a time per sequence.

One at a time, since what a lost write made is recognised by what was not in the sequence before
it: two writers at once would take each other's step for their own.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from service.domain.errors import Reason, ServiceError
from service.domain.step import ConnectionKey

OVERLOAD_RETRY_SECONDS = 1.0
BUSY_RETRY_SECONDS = 1.0


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
        self._turns: dict[tuple[ConnectionKey, str], _Turn] = {}

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
        turn = self._turns.setdefault((key, sequence_id), _Turn())
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
                del self._turns[(key, sequence_id)]


async def _acquire(lock: asyncio.Lock, wait_seconds: float) -> None:
    try:
        async with asyncio.timeout(wait_seconds):
            await lock.acquire()
    except TimeoutError:
        raise ServiceError(
            Reason.SEQUENCE_BUSY,
            "Another request is adding a step to this sequence; nothing was written. "
            "Call again in a moment.",
            retry_after_seconds=BUSY_RETRY_SECONDS,
        ) from None
