"""J15: a caller's leaving counts when it is the last one, and before the first write."""

import asyncio
from functools import partial
from typing import cast

import pytest

from service.application.journal_port import LEASE_SECONDS
from service.domain.operation import OperationState
from tests.application import plans
from tests.application.scripted_http import Happening
from tests.application.virtual_time import VirtualTimeLoop, on_virtual_time
from tests.application.world import Outcome, World
from tests.rules.stage import REQUEST

STEP = "POST /sequenceSteps"
SLOW = Happening(applied_after_seconds=0, takes_seconds=10)


def _call(world: World) -> asyncio.Task[Outcome]:
    return world.start(plans.CALL, caller=REQUEST)


async def _leave(*callers: asyncio.Task[Outcome]) -> None:
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)


@on_virtual_time
async def test_j15_who_leaves_before_the_first_write_leaves_no_trace() -> None:
    """At each moment up to it; and nobody has to wait for a lease."""
    loop = cast("VirtualTimeLoop", asyncio.get_running_loop())
    moments = 0
    while True:
        world = World(plans.OUTREACH)
        caller = _call(world)
        loop.call_at_turn(loop.turns + moments + 1, caller.cancel)
        await asyncio.wait([caller])
        await world.tasks.drain(60)
        if world.http.writes:
            break
        moments += 1
        started_at_seconds = world.clock.monotonic_seconds()
        assert await world.row(REQUEST) is None, f"left at moment {moments}"
        assert (await world.create(plans.CALL, request_id=REQUEST)).says == "OK"
        assert world.clock.monotonic_seconds() < started_at_seconds + LEASE_SECONDS / 10
    print(f"left at {moments} moments")  # noqa: T201 - for the reader
    assert moments > 10


@on_virtual_time
async def test_j15_who_leaves_after_the_first_write_stops_nothing() -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [SLOW]
    caller = world.start(plans.OUTREACH_LINK.step, caller=REQUEST)
    await asyncio.sleep(1)
    assert world.http.writes == [STEP]
    await _leave(caller)
    await world.tasks.drain(60)
    row = await world.row(REQUEST)
    assert row is not None
    assert (OperationState.SUCCEEDED, {row.step_id}) == (row.state, set(world.vendor.steps))
    again = await world.create(plans.OUTREACH_LINK.step, request_id=REQUEST)
    assert (row.step_id, True) == (again.step_id, again.answer.is_replay)


@on_virtual_time
async def test_j15_one_of_two_callers_may_leave() -> None:
    world = World(plans.OUTREACH)
    world.http.script["GET /sequences"] = [SLOW]
    callers = [_call(world), _call(world)]
    await asyncio.sleep(1)
    await _leave(callers[0])
    outcome = await callers[1]
    assert (outcome.says, world.http.writes) == ("OK", [STEP])


@pytest.mark.parametrize("at_once", [False, True])
@on_virtual_time
async def test_j15_when_all_have_left_it_stops(*, at_once: bool) -> None:
    world = World(plans.OUTREACH)
    world.http.script["GET /sequences"] = [SLOW]
    callers = [_call(world), _call(world)]
    await asyncio.sleep(1)
    if at_once:
        await _leave(*callers)
    else:
        await _leave(callers[0])
        await _leave(callers[1])
    await asyncio.sleep(60)
    assert (world.http.writes, await world.row(REQUEST)) == ([], None)


@on_virtual_time
async def test_j15_who_comes_while_it_stops_begins_anew() -> None:
    world = World(plans.OUTREACH)
    world.http.script["GET /sequences"] = [SLOW]
    first = _call(world)
    await asyncio.sleep(1)
    first.cancel()
    await asyncio.sleep(0)
    second = await world.create(plans.CALL, request_id=REQUEST)
    assert first.cancelled()
    assert (second.says, world.http.writes) == ("OK", [STEP])
    assert world.clock.monotonic_seconds() < 1 + LEASE_SECONDS / 10


@on_virtual_time
async def test_j15_who_joins_is_told_when_something_may_be_written() -> None:
    """Also when it joins after the first write."""
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [SLOW]
    told: list[str] = []
    calls = []
    for name in ("first", "second"):
        tell = partial(told.append, name)
        call = world.create(plans.CALL, request_id=REQUEST, before_first_write=tell)
        calls.append(asyncio.create_task(call))
        await asyncio.sleep(1)
    outcomes = await asyncio.gather(*calls)
    assert told == ["first", "second"]
    assert outcomes[0].step_id == outcomes[1].step_id
