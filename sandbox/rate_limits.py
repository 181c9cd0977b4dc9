"""Fixed windows in which a vendor counts requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RateLimit:
    """An enforced limit, set per account; without one nothing is ever refused for its rate.

    `window` names which of Apollo's three windows is meant; the others have one window only.
    """

    limit: int
    window_seconds: float | None = None
    window: Literal["minute", "hour", "day"] | None = None


class Window:
    """Opens with its first request, lasts `seconds`, then starts anew.

    Usage is counted for the headers in any case; it is refused only when `enforced`.
    """

    def __init__(self, limit: int, seconds: float, *, enforced: bool) -> None:
        self.limit = limit
        self.seconds = seconds
        self.enforced = enforced
        self._opened_at = float("-inf")
        self._used = 0

    @classmethod
    def of(cls, enforced: RateLimit | None, limit: int, seconds: float) -> Window:
        """The vendor's own window, or the one that an account has instead."""
        if enforced is None:
            return cls(limit, seconds, enforced=False)
        return cls(enforced.limit, enforced.window_seconds or seconds, enforced=True)

    def admit(self, now: float, cost: int = 1) -> bool:
        """Whether a request of this cost fits now. It is not counted yet."""
        self._roll(now)
        return not self.enforced or self._used + cost <= self.limit

    def spend(self, now: float, cost: int = 1) -> None:
        """Counts a request."""
        if self._used == 0:
            self._opened_at = now
        self._used += cost

    def used(self) -> int:
        """What was counted in this window; stops at one below a limit that is not enforced."""
        return self._used if self.enforced else min(self._used, self.limit - 1)

    def left(self) -> int:
        """What the window still holds."""
        return max(0, self.limit - self.used())

    def resets_in(self, now: float) -> float:
        """Seconds until the window starts anew; its whole length when it has not opened yet."""
        return self._opened_at + self.seconds - now if self._used else self.seconds

    def _roll(self, now: float) -> None:
        if now >= self._opened_at + self.seconds:
            self._used = 0
