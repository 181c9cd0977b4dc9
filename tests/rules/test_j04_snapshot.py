"""J4: what was in the sequence before the first write, or is another request's, is never ours."""

import asyncio

import pytest

from service.domain.operation import OperationState
from tests.application import plans
from tests.application.plans import PlanKind
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import SETTLE_SECONDS, World
from tests.rules.stage import REQUEST, Stage
from tests.simulation.fate import Exchange

STEP = "POST /sequenceSteps"
LOST = Exchange(applied_after_seconds=None, answer=plans.LOST)


@pytest.mark.parametrize(
    "plan", [plans.OUTREACH_CALL, plans.APOLLO_CALL], ids=lambda plan: plan.name
)
@on_virtual_time
async def test_j4_an_equal_step_of_before_is_not_taken(plan: PlanKind) -> None:
    """It is another customer's, on the same account: no row of this one's knows of it."""
    world = World(plan.provider)
    old = await world.create(plan.step, customer="bolt")
    world.http.script[plan.writes["step"]] = [Happening(plans.LOST)]
    assert (await world.create(plan.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    await asyncio.sleep(SETTLE_SECONDS)
    outcome = await world.create(plan.step, request_id=REQUEST)
    assert (outcome.says, outcome.step_id != old.step_id) == ("OK", True)
    assert {old.step_id, outcome.step_id} == set(world.vendor.steps)


@on_virtual_time
async def test_j4_the_steps_of_all_pages_are_kept() -> None:
    world = World(plans.OUTREACH)
    for _ in range(60):
        await world.create(plans.CALL, customer="bolt")
    world.http.script[STEP] = [Happening(plans.LOST)]
    await world.create(plans.CALL, request_id=REQUEST)
    row = await world.row(REQUEST)
    assert row is not None
    assert set(world.vendor.steps) == row.snapshot


@on_virtual_time
async def test_j4_the_snapshot_outlives_its_process() -> None:
    """Nothing was sent; what was there before is all that is there."""
    async with Stage(plans.OUTREACH_CALL) as stage:
        await stage.ask("an earlier request")
        await stage.cluster.journal.forget(finished_before_seconds=-1, open_before_seconds=0)
        stage.script.at_sent = lambda replica: replica.crash()
        await stage.ask_in_vain()
        await asyncio.sleep(2 * SETTLE_SECONDS)
        row = stage.row()
        assert row is not None
        assert (row.state, row.step_id) == (OperationState.NO_EFFECT, None)


@on_virtual_time
async def test_j4_a_step_of_another_request_that_shows_late_is_not_taken() -> None:
    """The survey does not show it, so only the journal knows whose it is."""
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.exchanges[STEP] = [Exchange(shown_after_seconds=100), LOST]
        first = await stage.ask("the first")
        assert (await stage.ask("the second")).says == "OUTCOME_UNKNOWN"
        await asyncio.sleep(2 * SETTLE_SECONDS)
        second = await stage.ask("the second")
        assert (first.says, second.says) == ("OK", "OK")
        assert {first.step_id, second.step_id} == set(stage.vendor.steps)
        assert first.step_id != second.step_id


@pytest.mark.parametrize("is_ours", [True, False], ids=["ours", "somebody else's"])
@on_virtual_time
async def test_j4_a_step_that_comes_back_is_not_taken(*, is_ours: bool) -> None:
    """It was known before, and removed; while the next one is made, a person restores it."""
    world = World(plans.OUTREACH)
    old = await world.create(plans.CALL, customer="bolt")
    world.http.script["POST /sequenceTemplates"] = [Happening(answer(422))]
    step = plans.OUTREACH_LINK.step
    ours = await world.create(step, request_id=REQUEST)
    await asyncio.sleep(SETTLE_SECONDS)
    removed = {ours.step_id: world.vendor.steps.pop(ours.step_id)}
    assert (await world.create(step, request_id=REQUEST)).says == "STEP_REMOVED"
    removed |= {old.step_id: world.vendor.steps.pop(old.step_id)}
    back = ours.step_id if is_ours else old.step_id
    equal = removed[ours.step_id]

    def restore(_: object) -> None:
        world.vendor.steps[back] = {**equal, "id": int(back)}

    world.http.script[STEP] = [Happening(plans.LOST, meanwhile=restore)]
    assert (await world.create(step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    await asyncio.sleep(SETTLE_SECONDS)
    outcome = await world.create(step, request_id=REQUEST)
    assert (outcome.says, outcome.step_id in removed) == ("OK", False)


@on_virtual_time
async def test_j4_an_answer_that_names_a_step_that_was_there_before_is_not_believed() -> None:
    world = World(plans.OUTREACH)
    old = await world.create(plans.CALL, customer="bolt")
    says_old = answer(201, {"data": {"id": int(old.step_id)}})
    world.http.script[STEP] = [Happening(says_old, applied_after_seconds=0)]
    outcome = await world.create(plans.CALL, request_id=REQUEST)
    assert outcome.says == "OK"
    assert {old.step_id, outcome.step_id} == set(world.vendor.steps)
    assert outcome.step_id != old.step_id
