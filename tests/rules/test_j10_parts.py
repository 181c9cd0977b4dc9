"""J10: the link is looked for by our own step's id and made once; a full content is repeated."""

import asyncio

import pytest

from service.domain.operation import OperationState
from service.domain.provider_call import AnswerLost, ProviderAnswer
from tests.application import plans
from tests.application.outreach_model import OutreachModel
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import SETTLE_SECONDS, World
from tests.rules.stage import REQUEST, Stage
from tests.simulation.fate import Exchange

STEP, LINK = "POST /sequenceSteps", "POST /sequenceTemplates"
MESSAGE = "PUT /emailer_touches"
PLAN = plans.OUTREACH_LINK


@pytest.mark.parametrize("outcome", [plans.LOST, answer(500)], ids=["lost", "500"])
@on_virtual_time
async def test_j10_a_link_that_was_made_is_found(outcome: ProviderAnswer | AnswerLost) -> None:
    world = World(plans.OUTREACH)
    world.http.script[LINK] = [Happening(outcome, applied_after_seconds=0)]
    made = await world.create(PLAN.step)
    assert (made.says, world.http.writes) == ("OK", [STEP, LINK])
    assert world.vendor.messages(made.step_id) == 1


@pytest.mark.parametrize("applied_after_seconds", [None, 100.0])
@on_virtual_time
async def test_j10_a_link_is_made_again_only_when_it_is_proven_absent(
    applied_after_seconds: float | None,
) -> None:
    world = World(plans.OUTREACH)
    world.http.script[LINK] = [Happening(plans.LOST, applied_after_seconds)]
    first = await world.create(PLAN.step, request_id=REQUEST)
    await asyncio.sleep(60)
    second = await world.create(PLAN.step, request_id=REQUEST)
    assert world.http.writes == [STEP, LINK]
    await asyncio.sleep(60)
    third = await world.create(PLAN.step, request_id=REQUEST)
    assert [each.says for each in (first, second, third)] == [
        "OUTCOME_UNKNOWN",
        "OUTCOME_UNKNOWN",
        "OK",
    ]
    assert {first.step_id} == {second.step_id, third.step_id} == set(world.vendor.steps)
    assert world.vendor.messages(third.step_id) == 1


@on_virtual_time
async def test_j10_links_of_other_templates_do_not_count() -> None:
    """Somebody linked another template to our step while our own link was lost."""
    world = World(plans.OUTREACH)
    assert isinstance(world.vendor, OutreachModel)
    world.vendor.templates["56"] = {"name": "Other"}
    world.http.script[LINK] = [Happening(plans.LOST)]
    await world.create(PLAN.step, request_id=REQUEST)
    (step_id,) = world.vendor.steps
    data = {
        "type": "sequenceTemplate",
        "id": 5,
        "attributes": {"isReply": False},
        "relationships": {
            "sequenceStep": {"data": {"type": "sequenceStep", "id": int(step_id)}},
            "template": {"data": {"type": "template", "id": 56}},
        },
    }
    world.vendor.links["5"] = data
    await asyncio.sleep(SETTLE_SECONDS)
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OK"
    assert world.http.writes.count(LINK) == 2


@pytest.mark.parametrize("lost", [1, 2, 3])
@on_virtual_time
async def test_j10_a_message_is_written_again_until_it_is_answered(lost: int) -> None:
    world = World(plans.APOLLO)
    world.http.script[MESSAGE] = [Happening(plans.LOST)] * lost
    outcome = await world.create(plans.APOLLO_MESSAGE.step)
    assert ("OK", lost + 1) == (outcome.says, world.http.writes.count(MESSAGE))


@pytest.mark.parametrize("plan", [PLAN, plans.APOLLO_MESSAGE], ids=lambda plan: plan.name)
@on_virtual_time
async def test_j10_a_part_that_its_process_did_not_make_is_made_without_it(
    plan: plans.PlanKind,
) -> None:
    (_, part) = plan.writes.values()
    async with Stage(plan) as stage:
        lost = Exchange(applied_after_seconds=None, answer=plans.LOST)
        stage.script.exchanges[part] = [lost]
        stage.script.at_answer = (part, lambda replica: replica.crash())
        await stage.ask_in_vain()
        await asyncio.sleep(2 * SETTLE_SECONDS)
        (step_id,) = stage.vendor.steps
        assert (stage.state(), stage.vendor.messages(step_id)) == (OperationState.SUCCEEDED, 1)
