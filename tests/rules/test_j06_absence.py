"""J6: only a look that began when a write had its time to be applied and shown proves absence."""

import asyncio

import pytest

from service.domain.operation import OperationState
from tests.application import plans
from tests.application.plans import PlanKind
from tests.application.scripted_http import Happening
from tests.application.virtual_time import on_virtual_time
from tests.application.world import SETTLE_SECONDS, World
from tests.rules.stage import REQUEST

STEP = "POST /sequenceSteps"
LOST = Happening(plans.LOST)
LATE_SECONDS = 119.0
CALLS = [plans.OUTREACH_CALL, plans.SALESLOFT_CALL, plans.APOLLO_CALL]


async def _lose(world: World, plan: PlanKind, happening: Happening) -> float:
    """Ask for a step whose write is lost; return when that was sent."""
    world.http.script[plan.writes["step"]] = [happening]
    assert (await world.create(plan.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    (sent,) = (sent for sent in world.http.sent if sent.is_write)
    return sent.at_seconds


@pytest.mark.parametrize("plan", CALLS, ids=lambda plan: plan.name)
@on_virtual_time
async def test_j6_a_write_that_is_not_shown_yet_is_not_sent_again(plan: PlanKind) -> None:
    world = World(plan.provider)
    late = Happening(plans.LOST, applied_after_seconds=LATE_SECONDS)
    sent_at_seconds = await _lose(world, plan, late)
    for after_seconds in (30, 90, 118):
        await asyncio.sleep(sent_at_seconds + after_seconds - world.clock.monotonic_seconds())
        outcome = await world.create(plan.step, request_id=REQUEST)
        left_seconds = sent_at_seconds + SETTLE_SECONDS - world.clock.monotonic_seconds()
        assert outcome.says == "OUTCOME_UNKNOWN"
        assert pytest.approx(left_seconds, abs=0.1) == outcome.error.retry_after_seconds
    await asyncio.sleep(left_seconds)
    outcome = await world.create(plan.step, request_id=REQUEST)
    assert ("OK", {outcome.step_id}) == (outcome.says, set(world.vendor.steps))
    assert [plan.writes["step"]] == world.http.writes


@on_virtual_time
async def test_j6_a_look_that_began_too_early_proves_nothing() -> None:
    """It ends when the time is over, and saw the list as it was before."""
    world = World(plans.OUTREACH)
    sent_at_seconds = await _lose(world, plans.OUTREACH_CALL, LOST)
    await asyncio.sleep(sent_at_seconds + SETTLE_SECONDS - 1 - world.clock.monotonic_seconds())
    world.http.script["GET /sequenceSteps"] = [Happening(applied_after_seconds=0, takes_seconds=5)]
    assert (await world.create(plans.CALL, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    assert world.clock.monotonic_seconds() > sent_at_seconds + SETTLE_SECONDS
    assert world.http.writes == [STEP]


@pytest.mark.parametrize("plan", CALLS, ids=lambda plan: plan.name)
@on_virtual_time
async def test_j6_it_is_sent_again_when_a_caller_waits(plan: PlanKind) -> None:
    world = World(plan.provider)
    await _lose(world, plan, LOST)
    await asyncio.sleep(SETTLE_SECONDS)
    outcome = await world.create(plan.step, request_id=REQUEST)
    assert ("OK", {outcome.step_id}) == (outcome.says, set(world.vendor.steps))
    assert [plan.writes["step"]] * 2 == world.http.writes


@on_virtual_time
async def test_j6_it_is_sent_again_with_a_new_survey_and_a_new_plan() -> None:
    """Somebody else took its position meanwhile, with a step that cannot be ours."""
    world = World(plans.OUTREACH)
    await _lose(world, plans.OUTREACH_CALL, LOST)
    await asyncio.sleep(SETTLE_SECONDS)
    task = plans.OUTREACH_LINK.step
    other = await world.create(task, customer="bolt")
    outcome = await world.create(plans.CALL, request_id=REQUEST)
    orders = {id_: step["attributes"]["order"] for id_, step in world.vendor.steps.items()}
    row = await world.row(REQUEST)
    assert row is not None
    assert {other.step_id: 1, outcome.step_id: 2} == orders
    assert {other.step_id} == row.snapshot


@on_virtual_time
async def test_j6_without_a_caller_it_had_no_effect() -> None:
    world = World(plans.OUTREACH)
    await _lose(world, plans.OUTREACH_CALL, LOST)
    await asyncio.sleep(SETTLE_SECONDS)
    await world.recovery.sweep()
    row = await world.row(REQUEST)
    assert row is not None
    assert (row.state, row.is_open) == (OperationState.NO_EFFECT, False)
    assert world.http.writes == [STEP]


@on_virtual_time
async def test_j6_it_is_not_sent_again_when_its_caller_left_meanwhile() -> None:
    world = World(plans.OUTREACH)
    await _lose(world, plans.OUTREACH_CALL, LOST)
    await asyncio.sleep(SETTLE_SECONDS)
    world.http.script["GET /sequenceSteps"] = [Happening(applied_after_seconds=0, takes_seconds=5)]
    caller = world.start(plans.CALL, caller=REQUEST)
    await asyncio.sleep(1)
    caller.cancel()
    await world.tasks.drain(60)
    row = await world.row(REQUEST)
    assert row is not None
    assert (row.state, world.http.writes) == (OperationState.NO_EFFECT, [STEP])
    assert caller.cancelled()


@on_virtual_time
async def test_j6_a_list_that_cannot_be_read_proves_nothing() -> None:
    world = World(plans.OUTREACH)
    await _lose(world, plans.OUTREACH_CALL, LOST)
    await asyncio.sleep(SETTLE_SECONDS)
    world.http.always["GET /sequenceSteps"] = LOST
    outcome = await world.create(plans.CALL, request_id=REQUEST)
    assert (outcome.says, world.http.writes) == ("OUTCOME_UNKNOWN", [STEP])
    assert outcome.error.retry_after_seconds is not None
