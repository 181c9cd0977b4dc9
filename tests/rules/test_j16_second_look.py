"""J16: a step found early is looked at once more, and one that is resumed is read first."""

import asyncio

import pytest
from structlog.testing import capture_logs

from service.domain.operation import OperationState
from service.domain.provider_call import AnswerLost, ProviderAnswer, ProviderRequest
from tests.application import plans
from tests.application.plans import PlanKind
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import SETTLE_SECONDS, World
from tests.rules.stage import REQUEST

STEP, LINK = "POST /sequenceSteps", "POST /sequenceTemplates"
LOST_DONE = Happening(plans.LOST, applied_after_seconds=0)
REFUSED = Happening(answer(422))


def _with_twin(world: World, outcome: ProviderAnswer | AnswerLost) -> Happening:
    """Return a write that is applied late, while somebody adds an equal step at once."""

    def add(request: ProviderRequest) -> None:
        world.vendor.handle(request)

    return Happening(outcome, applied_after_seconds=60, meanwhile=add)


@pytest.mark.parametrize(
    "outcome", [plans.LOST, answer(201, {"data": {"id": None}})], ids=["lost", "accepted"]
)
@pytest.mark.parametrize(
    "plan", [plans.OUTREACH_CALL, plans.APOLLO_CALL], ids=lambda plan: plan.name
)
@on_virtual_time
async def test_j16_a_second_step_that_fits_is_recorded_and_logged(
    plan: PlanKind, outcome: ProviderAnswer | AnswerLost
) -> None:
    world = World(plan.provider)
    world.http.script[plan.writes["step"]] = [_with_twin(world, outcome)]
    first = await world.create(plan.step, request_id=REQUEST)
    assert first.says == "OK"
    await asyncio.sleep(SETTLE_SECONDS)
    with capture_logs() as logs:
        await world.recovery.sweep()
    row = await world.row(REQUEST)
    assert row is not None
    assert {first.step_id, *row.duplicates} == set(world.vendor.steps)
    assert len(row.duplicates) == 1
    assert [event["event"] for event in logs].count("duplicate_suspected") == 1
    assert (row.state, row.is_open) == (OperationState.SUCCEEDED, False)
    again = await world.create(plan.step, request_id=REQUEST)
    assert ("OK", first.step_id) == (again.says, again.step_id)


@on_virtual_time
async def test_j16_nothing_is_recorded_when_there_is_no_second_one() -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [LOST_DONE]
    await world.create(plans.CALL, request_id=REQUEST)
    await asyncio.sleep(SETTLE_SECONDS)
    with capture_logs() as logs:
        await world.recovery.sweep()
    row = await world.row(REQUEST)
    assert row is not None
    assert (frozenset(), False) == (row.duplicates, row.is_open)
    assert "duplicate_suspected" not in {event["event"] for event in logs}


@on_virtual_time
async def test_j16_the_look_is_made_again_when_it_fails() -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [_with_twin(world, plans.LOST)]
    await world.create(plans.CALL, request_id=REQUEST)
    await asyncio.sleep(SETTLE_SECONDS)
    world.http.always["GET /sequenceSteps"] = Happening(answer(500))
    await world.recovery.sweep()
    world.http.always.clear()
    await asyncio.sleep(3_600)
    await world.recovery.sweep()
    row = await world.row(REQUEST)
    assert row is not None
    assert (row.state, len(row.duplicates)) == (OperationState.SUCCEEDED, 1)


@on_virtual_time
async def test_j16_a_step_that_a_person_removed_is_not_finished() -> None:
    world = World(plans.OUTREACH)
    world.http.script[LINK] = [REFUSED]
    first = await world.create(plans.OUTREACH_LINK.step, request_id=REQUEST)
    assert first.says == "STEP_INCOMPLETE"
    await asyncio.sleep(SETTLE_SECONDS)
    del world.vendor.steps[first.step_id]
    second = await world.create(plans.OUTREACH_LINK.step, request_id=REQUEST)
    row = await world.row(REQUEST)
    assert row is not None
    assert ("STEP_REMOVED", first.step_id) == (second.says, second.step_id)
    assert (row.state, world.http.writes.count(LINK)) == (OperationState.NO_EFFECT, 1)
    third = await world.create(plans.OUTREACH_LINK.step, request_id=REQUEST)
    assert ("OK", {third.step_id}) == (third.says, set(world.vendor.steps))


@on_virtual_time
async def test_j16_a_step_that_is_not_shown_yet_was_not_removed() -> None:
    """It was made a minute ago: the list may lag."""
    world = World(plans.OUTREACH)
    world.http.script[LINK] = [REFUSED]
    first = await world.create(plans.OUTREACH_LINK.step, request_id=REQUEST)
    await asyncio.sleep(60)
    world.http.script["GET /sequenceSteps"] = [Happening(answer(200, {"data": []}))]
    second = await world.create(plans.OUTREACH_LINK.step, request_id=REQUEST)
    assert ("OK", first.step_id) == (second.says, second.step_id)
