"""Every kind of plan when nothing goes wrong: the ground that the other tests stand on."""

import pytest

from tests.application import plans
from tests.application.plans import PlanKind
from tests.application.virtual_time import on_virtual_time
from tests.application.world import World


@pytest.mark.parametrize("plan", plans.ALL, ids=lambda plan: plan.name)
@on_virtual_time
async def test_a_step_is_made_whole(plan: PlanKind) -> None:
    world = World(plan.provider)
    outcome = await world.create(plan.step)
    assert outcome.says == "OK"
    assert world.http.writes == list(plan.writes.values())
    assert world.vendor.step_ids(world.vendor.sequence_id) == {outcome.step_id}
    assert world.vendor.messages(outcome.step_id) == plan.messages
