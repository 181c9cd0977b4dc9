"""J12: a template of our own is made once more when it is lost, and casts no doubt on the step."""

import asyncio

import pytest

from service.domain.operation import OperationState
from tests.application import plans
from tests.application.outreach_model import OutreachModel
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import World
from tests.rules.stage import REQUEST, Stage

TEMPLATE, STEP, LINK = "POST /templates", "POST /sequenceSteps", "POST /sequenceTemplates"
DELETE = "DELETE /templates"
PLAN = plans.OUTREACH_CONTENT
LOST = Happening(plans.LOST)


@pytest.mark.parametrize("applied_after_seconds", [None, 0.0])
@on_virtual_time
async def test_j12_a_lost_template_is_made_once_more_and_told(
    applied_after_seconds: float | None,
) -> None:
    world = World(plans.OUTREACH)
    world.http.script[TEMPLATE] = [Happening(plans.LOST, applied_after_seconds)]
    outcome = await world.create(PLAN.step)
    assert world.http.writes == [TEMPLATE, TEMPLATE, STEP, LINK]
    (warning,) = outcome.answer.warnings
    assert warning.problem_type.name == "TEMPLATE_LEFT_BEHIND"


@on_virtual_time
async def test_j12_a_template_that_is_lost_twice_had_no_effect_on_the_sequence() -> None:
    world = World(plans.OUTREACH)
    world.http.script[TEMPLATE] = [LOST, LOST]
    outcome = await world.create(PLAN.step, request_id=REQUEST)
    row = await world.row(REQUEST)
    assert row is not None
    assert (outcome.says, world.http.writes) == ("PROVIDER_UNAVAILABLE", [TEMPLATE] * 2)
    assert (row.state, row.is_open) == (OperationState.NO_EFFECT, False)
    assert (await world.create(plans.CALL)).says == "OK"
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OK"


@on_virtual_time
async def test_j12_a_template_that_outlived_its_process_keeps_nobody_away() -> None:
    """Its process died while it was made: nothing of it can turn up in the sequence."""
    async with Stage(PLAN) as stage:
        stage.script.at_answer = (TEMPLATE, lambda replica: replica.crash())
        await stage.ask_in_vain()
        await asyncio.sleep(60)
        assert OperationState.NO_EFFECT is stage.state()
        assert (await stage.ask("another request", at=stage.two)).says == "OK"
        stage.one.start()
        outcome = await stage.ask()
        assert (outcome.says, stage.vendor.messages(outcome.step_id)) == ("OK", 1)


@on_virtual_time
async def test_j12_a_template_whose_step_is_refused_is_removed() -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [Happening(answer(422))]
    assert isinstance(world.vendor, OutreachModel)
    templates = set(world.vendor.templates)
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "PROVIDER_REJECTED"
    assert world.http.writes == [TEMPLATE, STEP, DELETE]
    assert templates == set(world.vendor.templates)
    outcome = await world.create(PLAN.step, request_id=REQUEST)
    assert (outcome.says, world.vendor.messages(outcome.step_id)) == ("OK", 1)


@on_virtual_time
async def test_j12_a_template_whose_removal_is_lost_makes_no_doubt() -> None:
    world = World(plans.OUTREACH)
    world.http.script = {STEP: [Happening(answer(422))], DELETE: [LOST] * 4}
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "PROVIDER_REJECTED"
    outcome = await world.create(PLAN.step, request_id=REQUEST)
    assert (outcome.says, world.vendor.messages(outcome.step_id)) == ("OK", 1)
