"""J13: any process takes over what nobody owns and finishes it; it never makes a step."""

import asyncio
from itertools import pairwise

import pytest

from service.application.journal_port import LEASE_SECONDS
from service.application.recovery import SWEEP_SECONDS
from service.domain.operation import OperationState
from tests.application import plans
from tests.application.plans import PlanKind
from tests.application.scripted_http import answer
from tests.application.virtual_time import on_virtual_time
from tests.rules.stage import Stage
from tests.simulation.fate import Exchange

STEP = "POST /sequenceSteps"
HOUR_SECONDS = 3_600.0
LOST_DONE = Exchange(answer=plans.LOST)
LOST_UNDONE = Exchange(applied_after_seconds=None, answer=plans.LOST)
WITH_PARTS = [plans.OUTREACH_LINK, plans.OUTREACH_CONTENT, plans.APOLLO_MESSAGE]


@pytest.mark.parametrize("plan", plans.ALL, ids=lambda plan: plan.name)
@on_virtual_time
async def test_j13_a_step_whose_process_died_is_finished_by_another(plan: PlanKind) -> None:
    async with Stage(plan) as stage:
        stage.script.at_answer = (plan.writes["step"], lambda replica: replica.crash())
        await stage.ask_in_vain()
        await asyncio.sleep(LEASE_SECONDS + SWEEP_SECONDS + 1)
        row = stage.row()
        assert row is not None
        assert (OperationState.SUCCEEDED, {row.step_id}) == (row.state, set(stage.vendor.steps))
        assert plan.messages == stage.vendor.messages(str(row.step_id))
        assert list(plan.writes.values()) == stage.writes


@pytest.mark.parametrize("plan", plans.ALL, ids=lambda plan: plan.name)
@on_virtual_time
async def test_j13_a_step_that_was_not_made_is_not_made_without_a_caller(plan: PlanKind) -> None:
    step = plan.writes["step"]
    async with Stage(plan) as stage:
        stage.script.exchanges[step] = [LOST_UNDONE]
        stage.script.at_answer = (step, lambda replica: replica.crash())
        await stage.ask_in_vain()
        await asyncio.sleep(10 * HOUR_SECONDS)
        assert (stage.state(), stage.vendor.steps) == (OperationState.NO_EFFECT, {})
        assert stage.writes.count(step) == 1


@on_virtual_time
async def test_j13_a_first_step_is_not_made_either() -> None:
    """Its process died when the template was made: the plan's step was never sent."""
    async with Stage(plans.OUTREACH_CONTENT) as stage:
        stage.script.at_answer = ("POST /templates", lambda replica: replica.crash())
        await stage.ask_in_vain()
        await asyncio.sleep(HOUR_SECONDS)
        assert (stage.state(), stage.writes) == (OperationState.NO_EFFECT, ["POST /templates"])


@on_virtual_time
async def test_j13_what_wrote_nothing_leaves_no_trace() -> None:
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.at_read = lambda replica: replica.crash()
        await stage.ask_in_vain()
        assert OperationState.RUNNING is stage.state()
        await asyncio.sleep(LEASE_SECONDS + SWEEP_SECONDS + 1)
        assert (stage.row(), stage.writes) == (None, [])


@on_virtual_time
async def test_j13_a_doubt_is_looked_at_again_with_growing_pauses() -> None:
    """The list cannot be read for two days; then it can, and the step is there."""
    looks_at_seconds = []
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.exchanges[STEP] = [LOST_DONE]
        stage.script.at_answer = (STEP, lambda replica: replica.crash())
        await stage.ask_in_vain()
        unreadable = Exchange(answer=answer(422))
        stage.script.always["GET /sequenceSteps"] = unreadable
        stage.script.at_read = lambda _: looks_at_seconds.append(stage.now_seconds)
        await asyncio.sleep(48 * HOUR_SECONDS)
        assert OperationState.IN_DOUBT is stage.state()
        pauses_seconds = [later - earlier for earlier, later in pairwise(looks_at_seconds)]
        settled = pauses_seconds[1:]  # The first looks come when the lease and the time are over.
        assert all(later > earlier - SWEEP_SECONDS for earlier, later in pairwise(settled))
        assert pytest.approx(HOUR_SECONDS, rel=0.1) == settled[-1]
        stage.script.always.clear()
        await asyncio.sleep(2 * HOUR_SECONDS)
        assert OperationState.SUCCEEDED is stage.state()


@pytest.mark.parametrize("plan", WITH_PARTS, ids=lambda plan: plan.name)
@on_virtual_time
async def test_j13_several_replicas_finish_it_once(plan: PlanKind) -> None:
    """Both find it due at the same instant."""
    async with Stage(plan) as stage:
        stage.script.at_answer = (plan.writes["step"], lambda replica: replica.crash())
        await stage.ask_in_vain()
        stage.two.crash()
        await asyncio.sleep(LEASE_SECONDS)
        stage.one.start()
        stage.two.start()
        await asyncio.sleep(10)
        assert OperationState.SUCCEEDED is stage.state()
        assert list(plan.writes.values()) == stage.writes
