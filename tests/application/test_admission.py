"""Who may start: the bound on requests in flight, and the turns at one sequence."""

import asyncio
from typing import cast

import pytest

from service.domain.provider_call import AnswerLost, ProviderAnswer
from tests.application import plans
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import VirtualTimeLoop, on_virtual_time
from tests.application.world import SETTLE_SECONDS, World

SLOW = Happening(applied_after_seconds=0, takes_seconds=20)
STEP = "POST /sequenceSteps"


def _is_idle(world: World) -> bool:
    """Whether nothing is counted or kept for requests that have ended."""
    admission = world.admission
    return not (admission._turns or admission._requests_in_flight or world.tasks._tasks)


@on_virtual_time
async def test_requests_beyond_the_bound_are_turned_away_at_once() -> None:
    world = World(plans.OUTREACH, requests_in_flight_max=3)
    requests = [world.request(plans.CALL, sequence_id=str(number)) for number in (1, 2, 3, 4)]
    outcomes = await asyncio.gather(*(world.create(request) for request in requests))
    assert [outcome.says for outcome in outcomes] == ["OK", "OK", "OK", "SERVICE_OVERLOADED"]
    assert outcomes[3].error.retry_after_seconds == 1
    assert (await world.create(requests[3])).says == "OK"
    assert _is_idle(world)


@on_virtual_time
async def test_an_operation_whose_caller_left_still_counts() -> None:
    world = World(plans.OUTREACH, requests_in_flight_max=1)
    world.http.script[STEP] = [SLOW]
    caller = world.start(plans.CALL)
    await asyncio.sleep(1)
    caller.cancel()
    await asyncio.wait([caller])
    other = world.request(plans.CALL, sequence_id="4712")
    assert (await world.create(other)).says == "SERVICE_OVERLOADED"
    await world.tasks.drain(60)
    assert (await world.create(other)).says == "OK"
    assert _is_idle(world)


@on_virtual_time
async def test_one_sequence_is_served_in_order_of_arrival() -> None:
    world = World(plans.OUTREACH)
    tasks = []
    for number in range(6):
        tasks.append(world.start(plans.OUTREACH_LINK.step, caller=f"caller {number}"))
        await asyncio.sleep(0.01)
    outcomes = await asyncio.gather(*tasks)
    assert {outcome.says for outcome in outcomes} == {"OK"}
    writers = [sent.caller for sent in world.http.sent if sent.is_write]
    assert writers == [f"caller {number}" for number in range(6) for _ in ("step", "link")]
    orders = [world.vendor.steps[outcome.step_id]["attributes"]["order"] for outcome in outcomes]
    assert orders == [1, 2, 3, 4, 5, 6]
    assert _is_idle(world)


@pytest.mark.parametrize(("deadline_seconds", "busy_after_seconds"), [(10, 8), (2.5, 0.5)])
@on_virtual_time
async def test_a_busy_sequence_is_waited_for_within_the_deadline(
    deadline_seconds: float, busy_after_seconds: float
) -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [SLOW]
    first = world.start(plans.CALL)
    await asyncio.sleep(1)
    sent = len(world.http.sent)
    second = await world.create(plans.CALL, deadline_seconds=deadline_seconds)
    waited_seconds = world.clock.monotonic_seconds() - 1
    assert (second.says, len(world.http.sent)) == ("SEQUENCE_BUSY", sent)
    assert waited_seconds == pytest.approx(busy_after_seconds, abs=0.01)
    assert second.error.retry_after_seconds == 1
    assert (await first).says == "OK"
    assert _is_idle(world)


@on_virtual_time
async def test_a_free_sequence_needs_no_time_to_wait() -> None:
    """With 2 s left there is nothing to wait with, and still the turn is there to be had."""
    world = World(plans.OUTREACH)
    outcome = await world.create(plans.CALL, deadline_seconds=1.5)
    assert outcome.says == "DEADLINE_TOO_SHORT"
    assert _is_idle(world)


@on_virtual_time
async def test_validate_only_takes_no_turn() -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [SLOW]
    first = world.start(plans.CALL)
    await asyncio.sleep(1)
    planned = await world.create(world.request(plans.CALL, validate_only=True))
    assert planned.says == "OK"
    assert world.clock.monotonic_seconds() < 2
    assert (await first).says == "OK"


@on_virtual_time
async def test_other_sequences_and_customers_do_not_wait() -> None:
    world = World(plans.OUTREACH)
    world.http.always[STEP] = SLOW
    sequences = (world.create(world.request(plans.CALL, sequence_id=str(n))) for n in range(1, 9))
    customers = (world.create(plans.CALL, customer=f"customer-{n}") for n in range(8))
    outcomes = await asyncio.gather(*sequences, *customers)
    assert {outcome.says for outcome in outcomes} == {"OK"}
    assert world.clock.monotonic_seconds() < 21
    assert len(world.vendor.steps) == 16


@on_virtual_time
async def test_two_callers_of_one_sequence_get_two_steps() -> None:
    world = World(plans.OUTREACH)
    first, second = await asyncio.gather(world.create(plans.CALL), world.create(plans.CALL))
    assert (first.says, second.says) == ("OK", "OK")
    assert world.vendor.step_ids(world.vendor.sequence_id) == {first.step_id, second.step_id}


@on_virtual_time
async def test_the_second_caller_of_a_salesloft_cadence_finds_it_taken() -> None:
    world = World(plans.SALESLOFT)
    first, second = await asyncio.gather(world.create(plans.CALL), world.create(plans.CALL))
    assert (first.says, second.says) == ("OK", "SEQUENCE_NOT_EMPTY")
    assert world.vendor.step_ids(world.vendor.sequence_id) == {first.step_id}


@pytest.mark.parametrize("leaver", [0, 1, 2])
@on_virtual_time
async def test_a_caller_that_leaves_at_any_moment_leaks_nothing(leaver: int) -> None:
    """Three callers of one sequence, one of which leaves at each turn of the loop in turn."""
    loop = cast("VirtualTimeLoop", asyncio.get_running_loop())
    turns = 0
    while True:
        turns += 1
        world = World(plans.OUTREACH, requests_in_flight_max=3)
        callers = [world.start(plans.CALL, caller=f"caller {number}") for number in range(3)]
        loop.call_at_turn(loop.turns + turns, callers[leaver].cancel)
        ends = await asyncio.gather(*callers, return_exceptions=True)
        await world.tasks.drain(60)
        stayed = [end for number, end in enumerate(ends) if number != leaver]
        assert all(not isinstance(end, BaseException) and end.says == "OK" for end in stayed)
        made = list(world.http.made_by.values())
        assert len(made) == len(set(made)) >= 2
        assert _is_idle(world)
        if not isinstance(ends[leaver], asyncio.CancelledError):
            break
    print(f"caller {leaver} left at each of {turns - 1} moments")  # noqa: T201 - for the reader
    assert turns > 10


@on_virtual_time
async def test_a_waiter_whose_time_is_over_as_its_turn_comes_leaks_nothing() -> None:
    """The turn comes at the very moment at which the wait ends, or just before or after it."""
    for offset_seconds in (-0.001, 0.0, 0.001):
        world = World(plans.OUTREACH)
        world.http.script[STEP] = [SLOW]
        first = world.start(plans.CALL)
        second = asyncio.create_task(
            world.create(plans.CALL, deadline_seconds=20.051 + 2 + offset_seconds)
        )
        assert (await first).says == "OK"
        assert (await second).says in {"SEQUENCE_BUSY", "DEADLINE_TOO_SHORT"}
        assert (await world.create(plans.CALL)).says == "OK"
        assert _is_idle(world)


@pytest.mark.parametrize(
    ("outcome", "arrives_after_seconds"),
    [(plans.LOST, 16.5), (answer(500), 16.5), (answer(200, {}), 5)],
    ids=["lost", "500", "accepted without an id"],
)
@on_virtual_time
async def test_a_late_step_is_not_taken_for_that_of_the_next_caller(
    outcome: ProviderAnswer | AnswerLost, arrives_after_seconds: float
) -> None:
    """The first caller was told "not known"; then its step comes, while the second is at work."""
    world = World(plans.OUTREACH)
    late = Happening(outcome, applied_after_seconds=arrives_after_seconds)
    world.http.script[STEP] = [late, Happening(plans.LOST)]
    first = await world.start(plans.CALL, caller="first")
    second = await world.start(plans.CALL, caller="second")
    await asyncio.sleep(120)
    assert first.says == "OUTCOME_UNKNOWN"
    assert world.http.made_by == {next(iter(world.vendor.steps)): "first"}
    assert second.says != "OK"


@on_virtual_time
async def test_a_sequence_is_quiet_until_a_lost_write_has_settled() -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [Happening(plans.LOST)]
    assert (await world.create(plans.CALL)).says == "OUTCOME_UNKNOWN"
    (lost,) = (sent for sent in world.http.sent if sent.is_write)
    quiet_until_seconds = lost.at_seconds + SETTLE_SECONDS
    sent = len(world.http.sent)
    await asyncio.sleep(20)
    busy = await world.create(plans.CALL)
    assert (busy.says, len(world.http.sent)) == ("SEQUENCE_BUSY", sent)
    wait_seconds = quiet_until_seconds - world.clock.monotonic_seconds()
    assert busy.error.retry_after_seconds == pytest.approx(wait_seconds, abs=0.01)
    others = [
        await world.create(world.request(plans.CALL, sequence_id="4712")),
        await world.create(plans.CALL, customer="bolt"),
        await world.create(world.request(plans.CALL, validate_only=True)),
    ]
    assert [other.says for other in others] == ["OK", "OK", "OK"]
    await asyncio.sleep(wait_seconds)
    assert (await world.create(plans.CALL)).says == "OK"


@pytest.mark.parametrize(
    "script",
    [
        [],
        [Happening(answer(422))],
        [Happening(plans.NOT_SENT)] * 3,
        [Happening(answer(429, headers={"retry-after": "1"}))],
    ],
    ids=["done", "refused", "never sent", "turned away at first"],
)
@on_virtual_time
async def test_a_write_that_is_settled_keeps_nobody_away(script: list[Happening]) -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = list(script)
    await world.create(plans.CALL)
    assert (await world.create(plans.CALL)).says == "OK"
