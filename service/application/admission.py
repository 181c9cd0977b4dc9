"""Who may start: bounds on requests in flight, and turns at a sequence in order of arrival.

A request counts from its arrival to its end: in all, for its provider, and for its connection,
which is one customer at one provider. It is worked on once it holds a *place* of its connection and
then one of its provider. Others wait for theirs, in order of arrival and as long as their callers'
time allows: so bursts are taken in, and nobody who waits is overtaken by one who comes anew.

Who waits holds memory, so as many may wait as there are places, and no more; who comes then is
turned away at once, as is everybody beyond the total. Who waits for the connection's place or for
the sequence's turn holds no place of the provider: a customer's queue is in nobody else's way.

The defaults: 50 places for a connection are several times what the providers' rate limits let one
account use, and a quarter of its provider's, so that a customer whose requests all hang leaves the
others three quarters. 200 places for a provider are a fifth of the total of 1000, so that two
providers that hang, 400 requests each, still leave the third all of its places.

At a sequence one request at a time, since what a lost write made is recognised by what was not in
the sequence before it: two writers at once would take each other's step for their own. The journal
sees to it, in whichever process they run; the turn here makes the requests of one process come to
it in order.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from service.domain.errors import Reason, ServiceError
from service.domain.step import ConnectionKey, ProviderName

OVERLOAD_RETRY_SECONDS = 1.0
BUSY_RETRY_SECONDS = 1.0

_Sequence: TypeAlias = tuple[ConnectionKey, str]


@dataclass(slots=True)
class _Turn:
    """The turn at one sequence; asyncio's semaphore serves in order of arrival."""

    lock: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    users: int = 0


class _Share:
    """What the requests of one provider, or of one connection, take up."""

    def __init__(self, whose: str, places_max: int) -> None:
        self.whose = whose
        self.requests = 0
        self.requests_max = 2 * places_max
        """As many wait as are worked on."""
        self.places = asyncio.Semaphore(places_max)


class Admission:
    """Admits requests within the service's limits."""

    def __init__(self, requests_max: int, per_provider_max: int, per_connection_max: int) -> None:
        self._requests_max = requests_max
        self._per_provider_max = per_provider_max
        self._per_connection_max = per_connection_max
        self._requests = 0
        self._providers: dict[ProviderName, _Share] = {}
        self._connections: dict[ConnectionKey, _Share] = {}
        self._turns: dict[_Sequence, _Turn] = {}

    @contextmanager
    def request(self, key: ConnectionKey) -> Iterator[None]:
        """Count one request, from its arrival to its end.

        Raises:
            ServiceError: SERVICE_OVERLOADED, and nothing was written.
        """
        connection = self._connections.get(key) or self._new_share(key)
        provider = self._providers.get(key.provider) or self._new_provider_share(key.provider)
        shares = (connection, provider)
        for share in shares:
            if share.requests >= share.requests_max:
                raise _too_many(share.whose)
        if self._requests >= self._requests_max:
            raise _too_many(whose="")
        self._connections[key] = connection
        self._requests += 1
        for share in shares:
            share.requests += 1
        try:
            yield
        finally:
            self._requests -= 1
            for share in shares:
                share.requests -= 1
            if connection.requests == 0:
                del self._connections[key]

    def _new_provider_share(self, name: ProviderName) -> _Share:
        """Make the share of a provider for good: there are few."""
        share = self._providers[name] = _Share(f" at {name.capitalize()}", self._per_provider_max)
        return share

    def _new_share(self, key: ConnectionKey) -> _Share:
        whose = f" of this customer at {key.provider.capitalize()}"
        return _Share(whose, self._per_connection_max)

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
            await _acquired(turn.lock, _until(wait_seconds), _sequence_busy)
            try:
                yield
            finally:
                turn.lock.release()
        finally:
            turn.users -= 1
            if turn.users == 0:
                del self._turns[sequence]

    @asynccontextmanager
    async def place(self, key: ConnectionKey, wait_seconds: float) -> AsyncIterator[None]:
        """Let a request that was counted be worked on; wait for that for so long at most.

        Raises:
            ServiceError: SERVICE_OVERLOADED, and nothing was written.
        """
        until_seconds = _until(wait_seconds)
        connection, provider = self._connections[key], self._providers[key.provider]
        await _acquired(connection.places, until_seconds, partial(_no_place, connection.whose))
        try:
            await _acquired(provider.places, until_seconds, partial(_no_place, provider.whose))
            try:
                yield
            finally:
                provider.places.release()
        finally:
            connection.places.release()

    def would_wait(self, key: ConnectionKey, sequence_id: str) -> bool:
        """Whether a request that was counted would have to wait for its turn or its place."""
        return (
            (key, sequence_id) in self._turns
            or self._connections[key].places.locked()
            or self._providers[key.provider].places.locked()
        )


def _until(wait_seconds: float) -> float:
    return asyncio.get_running_loop().time() + wait_seconds


async def _acquired(
    lock: asyncio.Semaphore, until_seconds: float, not_in_time: Callable[[], ServiceError]
) -> None:
    """Take one of a semaphore's places; whoever called releases it."""
    if not lock.locked():  # There is nothing to wait for, and no need of a timer.
        await lock.acquire()
        return
    try:
        async with asyncio.timeout_at(until_seconds):
            await lock.acquire()
    except TimeoutError:
        raise not_in_time() from None


def _too_many(whose: str) -> ServiceError:
    return ServiceError(
        Reason.SERVICE_OVERLOADED,
        f"The service has as many requests{whose} in flight as it takes; nothing was written. "
        "Call again in a moment.",
        retry_after_seconds=OVERLOAD_RETRY_SECONDS,
    )


def _no_place(whose: str) -> ServiceError:
    return ServiceError(
        Reason.SERVICE_OVERLOADED,
        f"The service works on as many requests{whose} as it does at once, and this one's turn "
        "did not come in time; nothing was written. Call again in a moment.",
        retry_after_seconds=OVERLOAD_RETRY_SECONDS,
    )


def _sequence_busy() -> ServiceError:
    return busy("Another request is adding a step to this sequence", BUSY_RETRY_SECONDS)


def busy(why: str, wait_seconds: float) -> ServiceError:
    """Return the error for a sequence that somebody else writes to."""
    return ServiceError(
        Reason.SEQUENCE_BUSY,
        f"{why}; nothing was written. Call again in {max(wait_seconds, 1):.0f} seconds.",
        retry_after_seconds=wait_seconds,
    )
