"""A wait as Salesloft has it: a day of the cadence, and for an automatic e-mail minutes into it."""

from typing import Final

from service.domain.value_class import value_class

DAY_SECONDS: Final = 86_400
MINUTE_SECONDS: Final = 60

DELAY_MINUTES_MAX: Final = 720
"""The longest `delay_time` of an automatic e-mail [code]; every other step has none."""


@value_class
class Wait:
    """The moment of a step in its cadence."""

    day: int
    """Counted from the start of the cadence, which is day 1 [doc, code]."""

    delay_minutes: int = 0

    @property
    def seconds(self) -> int:
        """The wait that it amounts to."""
        return (self.day - 1) * DAY_SECONDS + self.delay_minutes * MINUTE_SECONDS


def nearest_wait(interval_seconds: int, delay_minutes_max: int) -> Wait:
    """Return the nearest moment that can be expressed and is not earlier than asked.

    The cadence has no step before this one, so the interval counts from its start [inferred].
    """
    whole_days, rest_seconds = divmod(interval_seconds, DAY_SECONDS)
    delay_minutes = -(-rest_seconds // MINUTE_SECONDS)
    if delay_minutes > delay_minutes_max:
        return Wait(whole_days + 2)
    return Wait(whole_days + 1, delay_minutes)
