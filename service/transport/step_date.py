"""A step's date as callers write it: `YYYY-MM-DD`, or an RFC 3339 date-time with its offset."""

import datetime as dt
import re

from service.domain.step import StepDate

DATE_CHARACTERS_MAX = 64
MINUTES_IN_HOUR = 60

FORM = "Must be YYYY-MM-DD, or an RFC 3339 date-time with an offset such as 2027-01-15T09:30:00Z."

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?([Zz]|[+-]\d{2}:\d{2})?", re.ASCII
)


def read_step_date(text: str) -> StepDate:
    """Return the moment that a caller wrote.

    Fractions of a second are kept to the microsecond, which is more than any provider takes.

    Raises:
        ValueError: it is in no known form, or no moment of the calendar; the sentence says why.
    """
    if _DAY.fullmatch(text):
        return StepDate(_day(text))
    match = _MOMENT.fullmatch(text) if len(text) <= DATE_CHARACTERS_MAX else None
    if match is None:
        raise ValueError(FORM)
    day_text, hour, minute, second, fraction, offset = match.groups()
    if offset is None:
        raise ValueError("Must say its offset from UTC, such as Z or +02:00.")
    if second == "60":
        raise ValueError("Must not be a leap second; give the second before or after it.")
    day = _day(day_text)
    try:
        time = dt.time(
            int(hour),
            int(minute),
            int(second),
            int((fraction or "0")[:6].ljust(6, "0")),
            tzinfo=_zone(offset),
        )
        moment = dt.datetime.combine(day, time)
        moment.astimezone(dt.UTC)  # At the ends of the calendar UTC may have no such day.
    except (ValueError, OverflowError):
        raise ValueError(
            "Must be a time of day that exists, with an offset below 24 hours."
        ) from None
    return StepDate(day, moment)


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ValueError("Must be a day of the calendar.") from None


def _zone(offset: str) -> dt.timezone:
    if offset in {"Z", "z"}:
        return dt.UTC
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if minutes >= MINUTES_IN_HOUR:
        raise ValueError("An hour has 60 minutes.")
    distance = dt.timedelta(hours=hours, minutes=minutes)
    return dt.timezone(-distance if offset[0] == "-" else distance)
