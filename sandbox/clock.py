"""Time as the vendors write it: timestamps of objects and the many forms of Retry-After."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from email.utils import formatdate
from typing import Literal

Clock = Callable[[], float]
"""Says what time it is, in seconds since the epoch."""

RetryAfterForm = Literal["seconds", "epoch", "http_date", "iso8601", "none"]

_SALESLOFT_ZONE = timezone(timedelta(hours=-5))


def utc_milliseconds(epoch_seconds: float) -> str:
    """Writes a time as Outreach and Apollo do: `2026-11-24T10:00:00.000Z`."""
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def offset_microseconds(epoch_seconds: float) -> str:
    """Writes a time as Salesloft does: `2026-11-24T10:00:00.000000-05:00`."""
    return datetime.fromtimestamp(epoch_seconds, _SALESLOFT_ZONE).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """A wish to be left alone for `seconds`, in one of the forms seen, or not told at all.

    Whole seconds are rounded up, so that a client that obeys never comes too early.
    """

    form: RetryAfterForm
    now: float
    seconds: float

    @property
    def value(self) -> str | None:
        """What stands in the header; None when the form is `none`."""
        not_before = math.ceil(self.now + self.seconds)
        match self.form:
            case "seconds":
                return str(math.ceil(self.seconds))
            case "epoch":
                return str(not_before)
            case "http_date":
                return formatdate(not_before, usegmt=True)
            case "iso8601":
                return datetime.fromtimestamp(not_before, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            case "none":
                return None

    @property
    def headers(self) -> dict[str, str]:
        """The header, or nothing."""
        return {} if self.value is None else {"retry-after": self.value}
