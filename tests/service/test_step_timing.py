"""Waits, dates and positions: what they become depends on their value and on the sequence."""

from typing import Any

import pytest

from engagement.v1 import sequence_step_pb2 as step_pb2
from tests.service.arrived_step import arrived
from tests.service.conftest import Client, NewAccount
from tests.service.step_messages import (
    AUTO_EMAIL,
    CALL,
    MANUAL_EMAIL,
    TASK,
    step,
    warnings_of,
)
from tests.service.vendor_account import SEQUENCES

DAY = 86_400
FIVE_YEARS = 1825 * DAY
CONTENT = step_pb2.Template(
    content=step_pb2.TemplateContent(subject="Hello", body_html="<p>Hi</p>")
)
DATE_SEQUENCES = {"outreach": "4712", "apollo": "65334c9c2722cd008bde87c4"}
ROUNDED = ("INTERVAL_ROUNDED", "step.interval_seconds")


@pytest.mark.parametrize("seconds", [0, 1, 59, 90_061, FIVE_YEARS])
async def test_outreach_waits_exactly(
    seconds: int, client: Client, new_account: NewAccount
) -> None:
    account = await new_account("outreach")
    answer = await client.create(account, step(CALL, interval_seconds=seconds))
    assert (await arrived(account, answer.id))["interval"] == seconds
    assert warnings_of(answer) == []


@pytest.mark.parametrize(
    ("seconds", "wait", "is_rounded"),
    [
        (0, (0, "minute"), False),
        (1, (1, "minute"), True),
        (59, (1, "minute"), True),
        (60, (1, "minute"), False),
        (61, (2, "minute"), True),
        (3540, (59, "minute"), False),
        (3599, (1, "hour"), True),
        (3600, (1, "hour"), False),
        (3660, (61, "minute"), False),
        (DAY - 1, (1, "day"), True),
        (DAY, (1, "day"), False),
        (DAY + 3600, (25, "hour"), False),
        (FIVE_YEARS - 60, (1825 * 24 * 60 - 1, "minute"), False),
        (FIVE_YEARS, (1825, "day"), False),
    ],
)
async def test_apollo_waits_in_the_largest_whole_unit(
    *,
    seconds: int,
    wait: tuple[int, str],
    is_rounded: bool,
    client: Client,
    new_account: NewAccount,
) -> None:
    account = await new_account("apollo")
    answer = await client.create(account, step(CALL, interval_seconds=seconds))
    at_vendor = await arrived(account, answer.id)
    assert (at_vendor["wait_time"], at_vendor["wait_mode"]) == wait
    assert warnings_of(answer) == [ROUNDED] * is_rounded


@pytest.mark.parametrize(
    ("seconds", "day", "delay_minutes", "is_rounded"),
    [
        (0, 1, 0, False),
        (1, 1, 1, True),
        (60, 1, 1, False),
        (DAY // 2 - 1, 1, 720, True),
        (DAY // 2, 1, 720, False),
        (DAY // 2 + 1, 2, 0, True),
        (DAY - 1, 2, 0, True),
        (DAY, 2, 0, False),
        (DAY + 1, 2, 1, True),
        (FIVE_YEARS, 1826, 0, False),
    ],
)
async def test_salesloft_sends_within_half_a_day(
    *,
    seconds: int,
    day: int,
    delay_minutes: int,
    is_rounded: bool,
    client: Client,
    new_account: NewAccount,
) -> None:
    account = await new_account("salesloft")
    email = step(AUTO_EMAIL, template=CONTENT, interval_seconds=seconds)
    answer = await client.create(account, email)
    at_vendor = await arrived(account, answer.id)
    settings = at_vendor["automated_settings"]
    assert (at_vendor["day"], settings["delay_time"]) == (day, delay_minutes)
    assert settings["send_type"] == "after_time_delay"
    assert warnings_of(answer) == [ROUNDED] * is_rounded


@pytest.mark.parametrize(
    ("kind", "seconds", "day", "is_rounded"),
    [
        (CALL, 0, 1, False),
        (CALL, 1, 2, True),
        (TASK, DAY - 1, 2, True),
        (TASK, DAY, 2, False),
        (CALL, DAY + 1, 3, True),
        (MANUAL_EMAIL, 60, 2, True),
        (MANUAL_EMAIL, DAY // 2, 2, True),
        (MANUAL_EMAIL, FIVE_YEARS, 1826, False),
    ],
)
async def test_salesloft_has_whole_days_for_what_a_person_does(
    *,
    kind: step_pb2.StepType,
    seconds: int,
    day: int,
    is_rounded: bool,
    client: Client,
    new_account: NewAccount,
) -> None:
    account = await new_account("salesloft")
    template = CONTENT if kind == MANUAL_EMAIL else None
    message = step(kind, template=template, interval_seconds=seconds)
    answer = await client.create(account, message)
    assert (await arrived(account, answer.id))["day"] == day
    assert warnings_of(answer) == [ROUNDED] * is_rounded


@pytest.mark.parametrize(
    ("vendor", "date", "at_vendor", "problem_type"),
    [
        ("outreach", "2099-01-15", "2099-01-15", None),
        ("outreach", "2099-01-15T09:30:00Z", "2099-01-15", "TIME_DROPPED"),
        ("outreach", "2099-01-15T23:30:00-05:00", "2099-01-15", "TIME_DROPPED"),
        ("outreach", "2099-01-15T00:30:00+02:00", "2099-01-15", "TIME_DROPPED"),
        ("apollo", "2099-01-15", "2099-01-15T00:00:00+00:00", "TIME_CHOSEN"),
        ("apollo", "2099-01-15T09:30:00Z", "2099-01-15T09:30:00+00:00", None),
        ("apollo", "2099-01-15T23:30:00-05:00", "2099-01-16T04:30:00+00:00", None),
    ],
)
async def test_date(
    *,
    vendor: str,
    date: str,
    at_vendor: str,
    problem_type: str | None,
    client: Client,
    new_account: NewAccount,
) -> None:
    account = await new_account(vendor)
    answer = await client.create(account, step(CALL, date=date), sequence_id=DATE_SEQUENCES[vendor])
    attribute = {"outreach": "date", "apollo": "exact_datetime"}[vendor]
    assert (await arrived(account, answer.id))[attribute] == at_vendor
    assert warnings_of(answer) == ([(problem_type, "step.date")] if problem_type else [])


async def test_a_date_that_the_vendor_does_not_like_is_its_own_business(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("apollo")
    failure = await client.fail(
        account, step(CALL, date="2001-01-15T09:30:00Z"), sequence_id=DATE_SEQUENCES["apollo"]
    )
    assert failure.reason == "PROVIDER_REJECTED"
    assert "must be in the future" in failure.message
    assert await account.steps() == []


@pytest.mark.parametrize(
    ("on_dates", "timing", "field"),
    [
        (True, {"interval_seconds": DAY}, "step.interval_seconds"),
        (True, {"interval_seconds": 0}, "step.interval_seconds"),
        (True, {}, "step.date"),
        (False, {"date": "2099-01-15"}, "step.date"),
        (False, {"date": "2099-01-15T09:30:00Z"}, "step.date"),
    ],
)
@pytest.mark.parametrize("vendor", ["outreach", "apollo"])
async def test_a_sequence_of_the_other_kind_is_refused_before_any_write(
    *,
    vendor: str,
    on_dates: bool,
    timing: dict[str, Any],
    field: str,
    client: Client,
    new_account: NewAccount,
) -> None:
    account = await new_account(vendor)
    sequence_id = (DATE_SEQUENCES if on_dates else SEQUENCES)[vendor]
    failure = await client.fail(account, step(CALL, **timing), sequence_id=sequence_id)
    assert failure.outcome == ("FAILED_PRECONDITION", "SEQUENCE_KIND_MISMATCH", (field,))
    assert await account.writes() == []


@pytest.mark.parametrize(
    ("order", "at_vendor"), [(None, 3), (1, 1), (2, 2), (3, 3), (9, 9), (1000, 1000)]
)
async def test_outreach_takes_any_order(
    order: int | None, at_vendor: int, client: Client, new_account: NewAccount
) -> None:
    account = await new_account("outreach", seed={"sequences": [{"id": 4711, "steps": 2}]})
    answer = await client.create(account, step(CALL, order=order))
    assert (await arrived(account, answer.id))["order"] == at_vendor
    assert warnings_of(answer) == []


@pytest.mark.parametrize(
    ("order", "position", "is_chosen"),
    [(None, 4, False), (2, 2, False), (4, 4, False), (5, 4, True), (1000, 4, True)],
)
async def test_apollo_takes_a_free_position(
    *,
    order: int | None,
    position: int,
    is_chosen: bool,
    client: Client,
    new_account: NewAccount,
) -> None:
    account = await new_account("apollo", seed=_apollo_steps(3))
    await account.remove_step((await account.step_ids())[1])
    answer = await client.create(account, step(CALL, order=order))
    assert (await arrived(account, answer.id))["position"] == position
    assert warnings_of(answer) == [("POSITION_CHOSEN", "step.order")] * is_chosen


@pytest.mark.parametrize("order", [1, 3])
async def test_apollo_refuses_a_taken_position(
    order: int, client: Client, new_account: NewAccount
) -> None:
    account = await new_account("apollo", seed=_apollo_steps(3))
    failure = await client.fail(account, step(CALL, order=order))
    assert failure.outcome == ("FAILED_PRECONDITION", "POSITION_TAKEN", ("step.order",))
    assert await account.writes() == []


def _apollo_steps(count: int) -> dict[str, Any]:
    return {"sequences": [{"id": SEQUENCES["apollo"], "steps": count}]}
