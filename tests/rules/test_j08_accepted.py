"""J8: a yes that does not say what was made is believed: it is looked for, and never sent again."""

import asyncio

import pytest

from service.domain.operation import CallState, OperationState
from tests.application import plans
from tests.application.plans import PlanKind
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import SETTLE_SECONDS, World
from tests.rules.stage import REQUEST

ACCEPTED = answer(200, {"data": {"id": None}})
CALLS = [plans.OUTREACH_CALL, plans.SALESLOFT_CALL, plans.APOLLO_CALL]


@pytest.mark.parametrize("plan", CALLS, ids=lambda plan: plan.name)
@on_virtual_time
async def test_j8_it_is_never_sent_again_and_never_had_no_effect(plan: PlanKind) -> None:
    world = World(plan.provider)
    world.http.script[plan.writes["step"]] = [Happening(ACCEPTED)]
    for _ in range(30):
        outcome = await world.create(plan.step, request_id=REQUEST)
        await asyncio.sleep(SETTLE_SECONDS)
        await world.recovery.sweep()
        row = await world.row(REQUEST)
        assert row is not None
        assert (row.state, row.calls[0].state) == (OperationState.IN_DOUBT, CallState.ACCEPTED)
        assert outcome.says == "OUTCOME_UNKNOWN"
    assert outcome.error.retry_after_seconds is None
    assert [plan.writes["step"]] == world.http.writes


@pytest.mark.parametrize("applied_after_seconds", [1.0, 100.0])
@pytest.mark.parametrize("plan", CALLS, ids=lambda plan: plan.name)
@on_virtual_time
async def test_j8_it_is_found_when_it_shows(plan: PlanKind, applied_after_seconds: float) -> None:
    world = World(plan.provider)
    world.http.script[plan.writes["step"]] = [Happening(ACCEPTED, applied_after_seconds)]
    await world.create(plan.step, request_id=REQUEST)
    await asyncio.sleep(SETTLE_SECONDS)
    outcome = await world.create(plan.step, request_id=REQUEST)
    assert ("OK", {outcome.step_id}) == (outcome.says, set(world.vendor.steps))
    assert [plan.writes["step"]] == world.http.writes


@on_virtual_time
async def test_j8_a_link_that_was_accepted_is_not_made_again() -> None:
    world = World(plans.OUTREACH)
    plan = plans.OUTREACH_LINK
    world.http.script[plan.writes["link"]] = [Happening(ACCEPTED)]
    for _ in range(5):
        outcome = await world.create(plan.step, request_id=REQUEST)
        assert ("OUTCOME_UNKNOWN", {outcome.step_id}) == (outcome.says, set(world.vendor.steps))
        await asyncio.sleep(SETTLE_SECONDS)
    assert list(plan.writes.values()) == world.http.writes
