"""How long an operation may take: the caller's time until its first write, its own after that."""

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
        seconds = CALLER_SECONDS_DEFAULT if caller_seconds is None else caller_seconds
        self._caller_until_seconds = clock.monotonic_seconds() + min(seconds, CALLER_SECONDS_MAX)
        self._operation_until_seconds: float | None = None

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
        self._operation_until_seconds = self._clock.monotonic_seconds() + OPERATION_SECONDS
        return True

    def take_back_first_write(self) -> None:
        """Go back to the caller's time: the first write is proven to have had no effect."""
        self._operation_until_seconds = None

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
