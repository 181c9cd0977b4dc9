"""How long an operation may take: the caller's time until its first write, its own after that."""

from typing import Self

from service.application.ports import Clock
from service.domain.errors import Reason, ServiceError

CALLER_SECONDS_DEFAULT = 60.0
"""For a caller without a deadline."""

CALLER_SECONDS_MAX = 300.0
"""However long a caller would wait."""

FIRST_WRITE_SECONDS_MIN = 2.0
"""The first write is not sent with less than this left: its answer could not be read."""

OPERATION_SECONDS = 90.0
"""From the first write on, whoever still listens."""


class Budget:
    """The time that is left to one operation."""

    def __init__(self, clock: Clock, caller_seconds: float | None) -> None:
        self._clock = clock
        self._caller_until_seconds = _until_seconds(clock, caller_seconds)
        self._operation_until_seconds: float | None = None

    @classmethod
    def without_caller(cls, clock: Clock) -> Self:
        """Return the budget of an operation that nobody waits for, and that has written before."""
        budget = cls(clock, 0.0)
        budget.start_operation()
        return budget

    def wait_longer(self, caller_seconds: float | None) -> None:
        """Take in another caller of the same operation; the most patient one counts."""
        self._caller_until_seconds = max(
            self._caller_until_seconds, _until_seconds(self._clock, caller_seconds)
        )

    def start_operation(self) -> None:
        """Go over to the operation's own time, since it has written before."""
        self._operation_until_seconds = self._clock.monotonic_seconds() + OPERATION_SECONDS

    @property
    def has_written(self) -> bool:
        """Whether a write may have had an effect: then the caller's leaving stops nothing."""
        return self._operation_until_seconds is not None

    @property
    def left_seconds(self) -> float:
        """Seconds until the operation must end; negative when it should have ended."""
        until_seconds = self._operation_until_seconds or self._caller_until_seconds
        return until_seconds - self._clock.monotonic_seconds()

    def start_write(self) -> bool:
        """Go over from the caller's time to the operation's own; say whether this did it.

        Raises:
            ServiceError: DEADLINE_TOO_SHORT, and nothing was written.
        """
        if self.has_written:
            return False
        self.require(FIRST_WRITE_SECONDS_MIN)
        self.start_operation()
        return True

    def take_back_first_write(self) -> None:
        """Go back to the caller's time: the first write is proven to have had no effect."""
        self._operation_until_seconds = None

    async def pause(self, seconds: float) -> bool:
        """Wait, unless the time that is left is shorter; say whether that was done."""
        if seconds >= self.left_seconds:
            return False
        await self._clock.sleep(seconds)
        return True

    def require(self, seconds: float) -> None:
        """Refuse to go on with less than this left before the first write.

        Raises:
            ServiceError: DEADLINE_TOO_SHORT, and nothing was written.
        """
        if not self.has_written and self.left_seconds < seconds:
            raise ServiceError(
                Reason.DEADLINE_TOO_SHORT,
                "Too little time was left before the first write, so nothing was written. "
                "Call again with a longer deadline; 60 seconds suit every provider.",
            )


def _until_seconds(clock: Clock, caller_seconds: float | None) -> float:
    seconds = CALLER_SECONDS_DEFAULT if caller_seconds is None else caller_seconds
    return clock.monotonic_seconds() + min(seconds, CALLER_SECONDS_MAX)
