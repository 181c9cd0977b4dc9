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
        self._ends_at_seconds = clock.monotonic_seconds() + min(seconds, CALLER_SECONDS_MAX)
        self.has_written = False
        """Whether a write may have been sent: then the caller's leaving stops nothing."""

    @property
    def left_seconds(self) -> float:
        """Seconds until the operation must end; negative when it should have ended."""
        return self._ends_at_seconds - self._clock.monotonic_seconds()

    def start_writing(self) -> None:
        """Go over from the caller's time to the operation's own.

        Raises:
            ServiceError: DEADLINE_TOO_SHORT, and nothing was written.
        """
        self.require(FIRST_WRITE_SECONDS_MIN)
        self.has_written = True
        self._ends_at_seconds = self._clock.monotonic_seconds() + OPERATION_SECONDS

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
