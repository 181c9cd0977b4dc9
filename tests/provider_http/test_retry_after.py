"""Every form of `Retry-After`, and every way to get it wrong."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.domain.retry_after import (
    RETRY_AFTER_SECONDS_MAX,
    RETRY_AFTER_SECONDS_MIN,
    retry_after_seconds,
)

NOW = datetime(2024, 1, 1, tzinfo=UTC)
NOW_EPOCH_SECONDS = NOW.timestamp()  # 1704067200


def read(text: str) -> float | None:
    return retry_after_seconds({"retry-after": text}, NOW_EPOCH_SECONDS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # seconds
        ("0", 0),
        ("30", 30),
        (" 30 ", 30),
        ("1.5", 1.5),
        ("-5", 0),
        ("1800", 1800),
        ("86400", 86_400),
        ("86401", 86_400),
        ("999999999", 86_400),
        # epoch seconds
        ("1704067230", 30),
        ("1704067230.25", 30.25),
        ("1704067199", 0),
        ("1000000000", 0),
        ("1999999999", 86_400),
        # HTTP dates: the one to write, and the two old ones to read
        ("Mon, 01 Jan 2024 00:01:00 GMT", 60),
        ("Monday, 01-Jan-24 00:01:00 GMT", 60),
        ("Mon Jan  1 00:01:00 2024", 60),
        ("Sun, 31 Dec 2023 23:59:59 GMT", 0),
        ("Mon, 01 Jan 2029 00:00:00 GMT", 86_400),
        # ISO 8601
        ("2024-01-01T00:01:00Z", 60),
        ("2024-01-01T00:01:00.500Z", 60.5),
        ("2024-01-01T00:01:00", 60),
        ("2024-01-01 00:01:00", 60),
        ("2024-01-01T02:01:00+02:00", 60),
        ("2023-12-31T19:01:00.25-05:00", 60.25),
        ("2023-12-31T23:59:59Z", 0),
        ("2024-01-03", 86_400),
        # neither
        ("", None),
        ("soon", None),
        ("60s", None),
        ("5 seconds", None),
        ("1, 2", None),
        ("1e5", None),
        ("1_000", None),
        ("inf", None),
        ("nan", None),
        ("0x10", None),
        ("٣", None),
        ("9" * 20, None),
        ("Mon, 99 Jan 2024 00:00:00 GMT", None),
        ("2024-13-01T00:00:00Z", None),
        ("10 Jan 99999999999999999999 00:00", None),
    ],
)
def test_retry_after_in_every_form(text: str, expected: float | None) -> None:
    assert read(text) == expected


def test_no_header_is_no_wait_known() -> None:
    assert retry_after_seconds({"x-other": "5"}, NOW_EPOCH_SECONDS) is None


@given(st.integers(-10_000, 200_000), st.integers(-12 * 60, 14 * 60))
def test_one_moment_is_read_alike_in_every_form(ahead_seconds: int, offset_minutes: int) -> None:
    moment = NOW + timedelta(seconds=ahead_seconds)
    local = moment.astimezone(timezone(timedelta(minutes=offset_minutes)))
    expected = min(max(ahead_seconds, 0), 86_400)
    forms = [
        str(int(moment.timestamp())),
        format_datetime(moment, usegmt=True),
        moment.isoformat(),
        moment.isoformat().replace("+00:00", "Z"),
        local.isoformat(timespec="milliseconds"),
    ]
    assert [read(form) for form in forms] == [expected] * len(forms)


@given(
    st.text()
    | st.text("0123456789 :,-+.TZ")
    | st.lists(
        st.sampled_from(["Mon", ",", " ", "Jan", "2024", "00:01", ":", "9" * 25, "GMT", "-"])
    ).map("".join)
)
@example("Mon, 01 Jan 2024 00:00:00 +99999999999999999999")
@example("0001-01-01T00:00:00+14:00")
def test_whatever_comes_the_wait_is_unknown_or_within_bounds(text: str) -> None:
    wait_seconds = read(text)
    assert (
        wait_seconds is None or RETRY_AFTER_SECONDS_MIN <= wait_seconds <= RETRY_AFTER_SECONDS_MAX
    )
