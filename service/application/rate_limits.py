"""What providers asked connections to wait, so that other requests do not run into it too."""

from service.application.ports import Clock
from service.domain.step import ConnectionKey
from service.domain.value_class import value_class

REMEMBERED_SECONDS_MAX = 60.0
"""A longer wait is told to the caller, but asked about again after this: the hint may be wrong."""

CONNECTIONS_MAX = 10_000
"""Beyond this the oldest is forgotten; forgetting costs one more request that is turned away."""


@value_class
class Wait:
    """A provider that takes no request from a connection, for now."""

    seconds: float
    is_maintenance: bool


@value_class
class _TurnedAway:
    until_seconds: float
    is_maintenance: bool


class RateLimits:
    """Remembers, per connection, before when its provider takes no request."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._remembered: dict[ConnectionKey, _TurnedAway] = {}

    def turned_away(
        self, key: ConnectionKey, wait_seconds: float, *, is_maintenance: bool = False
    ) -> None:
        """Remember that the provider turned a request away for so long."""
        wait_seconds = min(wait_seconds, REMEMBERED_SECONDS_MAX)
        turned_away = _TurnedAway(self._clock.monotonic_seconds() + wait_seconds, is_maintenance)
        earlier = self._remembered.pop(key, turned_away)
        while len(self._remembered) >= CONNECTIONS_MAX:
            self._remembered.pop(next(iter(self._remembered)))
        self._remembered[key] = max(earlier, turned_away, key=lambda each: each.until_seconds)

    def wait(self, key: ConnectionKey) -> Wait | None:
        """Return how long the connection should still wait; None when it need not."""
        remembered = self._remembered.get(key)
        if remembered is None:
            return None
        left_seconds = remembered.until_seconds - self._clock.monotonic_seconds()
        if left_seconds <= 0:
            del self._remembered[key]
            return None
        return Wait(left_seconds, remembered.is_maintenance)
