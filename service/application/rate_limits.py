"""What providers asked connections to wait, so that other requests do not run into it too."""

from service.application.ports import Clock
from service.domain.step import ConnectionKey

REMEMBERED_SECONDS_MAX = 60.0
"""A longer wait is told to the caller, but asked about again after this: the hint may be wrong."""

CONNECTIONS_MAX = 10_000
"""Beyond this the oldest is forgotten; forgetting costs one more request that is turned away."""


class RateLimits:
    """Remembers, per connection, before when its provider takes no request."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._not_before_seconds: dict[ConnectionKey, float] = {}

    def turned_away(self, key: ConnectionKey, wait_seconds: float) -> None:
        """Remember that the provider turned a request away for so long."""
        self._not_before_seconds.pop(key, None)
        while len(self._not_before_seconds) >= CONNECTIONS_MAX:
            self._not_before_seconds.pop(next(iter(self._not_before_seconds)))
        wait_seconds = min(wait_seconds, REMEMBERED_SECONDS_MAX)
        self._not_before_seconds[key] = self._clock.monotonic_seconds() + wait_seconds

    def wait_seconds(self, key: ConnectionKey) -> float:
        """Return how long the connection should still wait; 0 when it need not."""
        not_before_seconds = self._not_before_seconds.get(key)
        if not_before_seconds is None:
            return 0.0
        left_seconds = not_before_seconds - self._clock.monotonic_seconds()
        if left_seconds <= 0:
            del self._not_before_seconds[key]
            return 0.0
        return left_seconds
