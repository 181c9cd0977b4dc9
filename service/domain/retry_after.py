"""Reads how long a provider asks us to wait, in every form in which providers write it.

Outreach describes `Retry-After` as an alias of its reset header without saying whether that is a
number of seconds or a point in time [unknown], and sends an ISO 8601 time during maintenance
[doc]. Apollo sends seconds until the window resets [spec, doc]. HTTP itself knows seconds and an
HTTP date (RFC 9110, section 10.2.3).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

RETRY_AFTER_SECONDS_MIN: Final = 0.0
RETRY_AFTER_SECONDS_MAX: Final = 86_400.0
"""A longer wait is of no use to a caller, who may ask again after a day."""

EPOCH_SECONDS_MIN: Final = 1_000_000_000.0
"""A number from here on (September 2001; 31 years as a wait) is a point in time."""

_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")


def retry_after_seconds(headers: Mapping[str, str], now_epoch_seconds: float) -> float | None:
    """Return the wait that `retry-after` asks for, in seconds, or None without a readable one.

    `headers` have lower-case names. A time without an offset is taken as UTC, a time that has
    passed is no wait, and a long wait is cut to `RETRY_AFTER_SECONDS_MAX`.
    """
    text = headers.get("retry-after", "").strip()
    if _NUMBER.fullmatch(text):
        number = float(text)
        wait_seconds = number - now_epoch_seconds if number >= EPOCH_SECONDS_MIN else number
    else:
        moment = _moment(text)
        if moment is None:
            return None
        wait_seconds = moment.timestamp() - now_epoch_seconds
    return min(max(wait_seconds, RETRY_AFTER_SECONDS_MIN), RETRY_AFTER_SECONDS_MAX)


def _moment(text: str) -> datetime | None:
    """Read an ISO 8601 time or an HTTP date."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
        except (ValueError, OverflowError):  # the latter for a year of twenty digits
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
