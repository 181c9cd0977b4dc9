"""Dates as callers write them, and what is refused."""

import datetime as dt

import pytest

from service.domain.step import StepDate
from tests.transport.stand_in import Api, step_request

FORM = "Must be YYYY-MM-DD, or an RFC 3339 date-time with an offset such as 2027-01-15T09:30:00Z."
NO_DAY = "Must be a day of the calendar."
NO_TIME = "Must be a time of day that exists, with an offset below 24 hours."
NO_OFFSET = "Must say its offset from UTC, such as Z or +02:00."
LEAP = "Must not be a leap second; give the second before or after it."


def utc(hour: int, minute: int, second: int = 0, microsecond: int = 0) -> dt.datetime:
    return dt.datetime(2027, 1, 15, hour, minute, second, microsecond, tzinfo=dt.UTC)


def offset(minutes: int) -> dt.timezone:
    return dt.timezone(dt.timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2027-01-15", StepDate(dt.date(2027, 1, 15))),
        ("2028-02-29", StepDate(dt.date(2028, 2, 29))),
        (
            "2027-01-15T09:30:00Z",
            StepDate(dt.date(2027, 1, 15), utc(9, 30)),
        ),
        (
            "2027-01-15t23:59:59z",
            StepDate(dt.date(2027, 1, 15), utc(23, 59, 59)),
        ),
        (
            "2027-01-15T00:15:00-00:00",
            StepDate(dt.date(2027, 1, 15), utc(0, 15)),
        ),
        (
            "2027-01-15T09:30:00.123456789Z",
            StepDate(dt.date(2027, 1, 15), utc(9, 30, 0, 123_456)),
        ),
        (
            "2027-01-15T09:30:00.5Z",
            StepDate(dt.date(2027, 1, 15), utc(9, 30, 0, 500_000)),
        ),
        (
            "2027-01-15T01:30:00+05:45",
            StepDate(dt.date(2027, 1, 15), dt.datetime(2027, 1, 15, 1, 30, tzinfo=offset(345))),
        ),
        (
            "2027-01-15T23:30:00-03:30",
            StepDate(dt.date(2027, 1, 15), dt.datetime(2027, 1, 15, 23, 30, tzinfo=offset(-210))),
        ),
    ],
)
async def test_the_day_is_as_written_and_the_moment_exact(
    api: Api, text: str, date: StepDate
) -> None:
    await api.create(step_request(date=text))

    (call,) = api.application.calls
    assert call.request.step.date == date
    assert call.request.step.date.moment == date.moment
    if date.moment is not None:
        assert call.request.step.date.moment is not None
        assert call.request.step.date.moment.utcoffset() == date.moment.utcoffset()


@pytest.mark.parametrize(
    ("text", "description"),
    [
        pytest.param("2027-02-29", NO_DAY, id="no_leap_year"),
        pytest.param("2027-04-31", NO_DAY, id="31st_of_a_short_month"),
        pytest.param("2027-13-01", NO_DAY, id="month_13"),
        pytest.param("2027-00-10", NO_DAY, id="month_0"),
        pytest.param("0000-01-01", NO_DAY, id="year_0"),
        pytest.param("2027-02-30T10:00:00Z", NO_DAY, id="no_such_day_with_a_time"),
        pytest.param("2027-01-15T24:00:00Z", NO_TIME, id="hour_24"),
        pytest.param("2027-01-15T10:60:00Z", NO_TIME, id="minute_60"),
        pytest.param("2027-01-15T10:00:61Z", NO_TIME, id="second_61"),
        pytest.param("2027-01-15T10:00:00+24:00", NO_TIME, id="offset_of_a_day"),
        pytest.param("2027-01-15T10:00:00+02:60", NO_TIME, id="offset_with_60_minutes"),
        pytest.param("0001-01-01T00:00:00+01:00", NO_TIME, id="before_the_calendar_in_utc"),
        pytest.param("9999-12-31T23:59:59-01:00", NO_TIME, id="after_the_calendar_in_utc"),
        pytest.param("2016-12-31T23:59:60Z", LEAP, id="leap_second"),
        pytest.param("2027-01-15T10:00:00", NO_OFFSET, id="no_offset"),
        pytest.param("2027-01-15T10:00", FORM, id="no_seconds"),
        pytest.param("2027-01-15 10:00:00Z", FORM, id="space_for_t"),
        pytest.param("2027-01-15T10:00:00.Z", FORM, id="point_without_fraction"),
        pytest.param("2027-01-15T10:00:00+0200", FORM, id="offset_without_colon"),
        pytest.param("20270115", FORM, id="basic_form"),
        pytest.param("2027-W03-5", FORM, id="week_date"),
        pytest.param("15.01.2027", FORM, id="other_order"),
        pytest.param("2027-1-5", FORM, id="single_digits"),
        pytest.param("tomorrow", FORM, id="words"),
        pytest.param("1800000000", FORM, id="epoch_seconds"),
        pytest.param(" 2027-01-15", FORM, id="space_before"),
        pytest.param("2027-01-15\n", FORM, id="line_break_after"),
        pytest.param(
            "\u0662\u0660\u0662\u0667-\u0660\u0661-\u0661\u0665",
            FORM,
            id="digits_of_another_script",
        ),
    ],
)
async def test_what_is_no_date_is_refused(api: Api, text: str, description: str) -> None:
    failure = await api.refused(step_request(date=text))

    assert failure.reason == "INVALID_FIELD"
    assert list(failure.violations) == ["step.date"]
    assert failure.violations["step.date"].startswith(f"{description} It is '")


async def test_a_wrong_date_is_repeated_in_part_and_cleaned(api: Api) -> None:
    failure = await api.refused(step_request(date="\x1b[31m" + "9" * 10_000))

    assert failure.violations["step.date"] == f"{FORM} It is '\ufffd[31m{'9' * 35}…'."
