"""J9: once the step may be there, no answer promises that nothing was written."""

import asyncio

import pytest

from service.domain.operation import OperationState
from tests.application import plans
from tests.application.faults import all_faults
from tests.application.plans import PlanKind
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import SETTLE_SECONDS, World
from tests.rules.stage import REQUEST, Stage
from tests.simulation.fate import StoreHappening

LINK = "POST /sequenceTemplates"
DONE = StoreHappening()
FAILS_UNDONE = StoreHappening(is_done=False, fails=True)
FAILS_DONE = StoreHappening(fails=True)
REFUSED = Happening(answer(422))
TURNED_AWAY = Happening(answer(429, headers={"retry-after": "60"}))


@on_virtual_time
async def test_j9_no_fault_of_a_later_write_says_that_nothing_was_written() -> None:
    for fault in all_faults():
        world = World(plans.OUTREACH)
        world.http.script[LINK] = list(fault.script)
        outcome = await world.create(plans.OUTREACH_LINK.step)
        assert outcome.says in {"OK", "STEP_INCOMPLETE", "OUTCOME_UNKNOWN"}, fault.name
        assert {outcome.step_id} == set(world.vendor.steps), fault.name


@on_virtual_time
async def test_j9_a_step_that_cannot_be_finished_waits_for_its_caller() -> None:
    """Time alone changes nothing about a refusal, so nobody tries again by himself."""
    world = World(plans.OUTREACH)
    world.http.script[LINK] = [REFUSED]
    first = await world.create(plans.OUTREACH_LINK.step, request_id=REQUEST)
    assert (first.says, first.error.retry_after_seconds) == ("STEP_INCOMPLETE", None)
    await asyncio.sleep(3_600)
    await world.recovery.sweep()
    row = await world.row(REQUEST)
    assert row is not None
    assert (row.state, world.http.writes.count(LINK)) == (OperationState.INCOMPLETE, 1)
    second = await world.create(plans.OUTREACH_LINK.step, request_id=REQUEST)
    assert ("OK", first.step_id) == (second.says, second.step_id)
    assert world.vendor.messages(second.step_id) == 1


@on_virtual_time
async def test_j9_a_step_is_finished_in_its_own_time_and_not_in_its_callers() -> None:
    """Who repeats the request has 5 s; the provider is reached after 6."""
    world = World(plans.OUTREACH)
    world.http.script[LINK] = [REFUSED, Happening(plans.NOT_SENT, takes_seconds=6)]
    first = await world.create(plans.OUTREACH_LINK.step, request_id=REQUEST)
    assert first.says == "STEP_INCOMPLETE"
    second = await world.create(plans.OUTREACH_LINK.step, request_id=REQUEST, deadline_seconds=5)
    assert (second.says, second.step_id) == ("OK", first.step_id)


@on_virtual_time
async def test_j9_a_step_that_time_can_finish_is_finished_without_its_caller() -> None:
    world = World(plans.OUTREACH)
    world.http.script[LINK] = [TURNED_AWAY]
    first = await world.create(plans.OUTREACH_LINK.step, request_id=REQUEST)
    assert (first.says, first.error.retry_after_seconds) == ("STEP_INCOMPLETE", 60)
    await asyncio.sleep(120)
    await world.recovery.sweep()
    second = await world.create(plans.OUTREACH_LINK.step, request_id=REQUEST)
    assert ("OK", first.step_id) == (second.says, second.step_id)
    assert second.answer.is_replay
    assert world.vendor.messages(second.step_id) == 1


@pytest.mark.parametrize("commit", [FAILS_UNDONE, FAILS_DONE], ids=["not done", "done"])
@pytest.mark.parametrize("number", [0, 1], ids=["step", "second write"])
@pytest.mark.parametrize(
    "plan", [plans.OUTREACH_LINK, plans.APOLLO_MESSAGE], ids=lambda plan: plan.name
)
@on_virtual_time
async def test_j9_a_store_that_fails_at_a_write_leaves_it_unknown(
    plan: PlanKind, number: int, commit: StoreHappening
) -> None:
    async with Stage(plan) as stage:
        stage.script.sent_commits = [DONE] * number + [commit]
        first = await stage.ask()
        assert ("OUTCOME_UNKNOWN", number) == (first.says, len(stage.writes))
        await asyncio.sleep(2 * SETTLE_SECONDS)
        second = await stage.ask()
        assert ("OK", {second.step_id}) == (second.says, set(stage.vendor.steps))
        assert stage.vendor.messages(second.step_id) == 1


@pytest.mark.parametrize("commit", [FAILS_UNDONE, FAILS_DONE], ids=["not done", "done"])
@on_virtual_time
async def test_j9_a_store_that_fails_at_the_end_leaves_it_unknown(commit: StoreHappening) -> None:
    """The end is tried four times; then its row runs on until its lease is over."""
    async with Stage(plans.OUTREACH_LINK) as stage:
        stage.script.end_commits = [FAILS_UNDONE] * 3 + [commit]
        first = await stage.ask()
        assert (first.says, len(stage.writes)) == ("OUTCOME_UNKNOWN", 2)
        await asyncio.sleep(2 * SETTLE_SECONDS)
        second = await stage.ask()
        assert ("OK", {second.step_id}) == (second.says, set(stage.vendor.steps))
        assert (stage.vendor.messages(second.step_id), second.answer.is_replay) == (1, True)


@on_virtual_time
async def test_j9_an_end_whose_commit_fails_at_first_is_told() -> None:
    async with Stage(plans.OUTREACH_LINK) as stage:
        stage.script.end_commits = [FAILS_UNDONE, FAILS_DONE]
        assert (await stage.ask()).says == "OK"
        assert OperationState.SUCCEEDED is stage.state()


@on_virtual_time
async def test_j9_a_store_that_fails_before_any_write_wrote_nothing() -> None:
    async with Stage(plans.OUTREACH_CALL) as stage:
        await stage.cluster.journal._database.aclose()
        outcome = await stage.ask()
        assert (outcome.says, stage.writes) == ("STORE_UNAVAILABLE", [])
