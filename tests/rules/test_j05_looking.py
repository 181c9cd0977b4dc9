"""J5: of what turned up since the write, the one thing that it can be is ours; else it is doubt."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from service.domain.operation import OperationState
from service.domain.provider_call import ProviderRequest
from tests.application import plans
from tests.application.outreach_model import OutreachModel
from tests.application.plans import PlanKind
from tests.application.scripted_http import Happening
from tests.application.virtual_time import on_virtual_time
from tests.application.world import SETTLE_SECONDS, World
from tests.rules.stage import REQUEST

STEP = "POST /sequenceSteps"
Change = Callable[[dict[str, Any]], object]


def _is_of_another_type(step: dict[str, Any]) -> None:
    step["attributes"]["stepType"] = "task"


def _has_another_wait(step: dict[str, Any]) -> None:
    step["attributes"]["interval"] += 60


def _has_another_note(step: dict[str, Any]) -> None:
    step["attributes"]["taskNote"] = "Ask for the price"


def _has_a_cleaned_note(step: dict[str, Any]) -> None:
    step["attributes"]["taskNote"] = " <p>Ask for&nbsp;the  budget</p>"


def _was_moved(step: dict[str, Any]) -> None:
    step["attributes"]["order"] = 9


def _somebody_adds(world: World, change: Change = lambda _: None) -> Happening:
    """Return a lost write that was not applied, beside which somebody added a step."""

    def add(request: ProviderRequest) -> None:
        before = set(world.vendor.steps)
        world.vendor.handle(request)
        (new,) = set(world.vendor.steps) - before
        change(world.vendor.steps[new])

    return Happening(plans.LOST, meanwhile=add)


@pytest.mark.parametrize(
    "plan",
    [plans.OUTREACH_CALL, plans.APOLLO_MESSAGE, plans.SALESLOFT_EMAIL],
    ids=lambda plan: plan.name,
)
@on_virtual_time
async def test_j5_the_only_one_that_fits_is_ours(plan: PlanKind) -> None:
    world = World(plan.provider)
    resource = plan.writes["step"]
    world.http.script[resource] = [Happening(plans.LOST, applied_after_seconds=0)]
    outcome = await world.create(plan.step)
    assert ("OK", {outcome.step_id}) == (outcome.says, set(world.vendor.steps))
    assert world.http.writes.count(resource) == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_has_a_cleaned_note, "OK"),
        (_was_moved, "OK"),
        (_has_another_wait, "OUTCOME_UNKNOWN"),
        (_has_another_note, "OUTCOME_UNKNOWN"),
    ],
)
@on_virtual_time
async def test_j5_other_values_are_perhaps_ours(change: Change, says: str) -> None:
    """A vendor may clean a note, and others move a step: that makes it none of theirs."""
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [_somebody_adds(world, change)]
    await world.create(plans.CALL, request_id=REQUEST)
    await asyncio.sleep(SETTLE_SECONDS)
    assert says == (await world.create(plans.CALL, request_id=REQUEST)).says
    assert world.http.writes == [STEP]


@on_virtual_time
async def test_j5_a_step_with_a_message_is_perhaps_ours() -> None:
    """Ours has none yet: somebody else may have written that one."""
    world = World(plans.OUTREACH)
    plan, vendor = plans.OUTREACH_LINK, world.vendor
    assert isinstance(vendor, OutreachModel)
    whole = await world.create(plan.step, customer="bolt")
    step, links = vendor.steps.pop(whole.step_id), dict(vendor.links)
    vendor.links.clear()

    def add(_: ProviderRequest) -> None:
        vendor.steps[whole.step_id] = step
        vendor.links.update(links)

    world.http.script[STEP] = [Happening(plans.LOST, meanwhile=add)]
    assert (await world.create(plan.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    await asyncio.sleep(SETTLE_SECONDS)
    outcome = await world.create(plan.step, request_id=REQUEST)
    assert ("OUTCOME_UNKNOWN", whole.step_id) == (
        outcome.says,
        outcome.error.metadata["candidateStepIds"],
    )


@on_virtual_time
async def test_j5_a_step_of_another_type_cannot_be_ours() -> None:
    """It neither is taken, nor casts doubt on the one that fits."""
    world = World(plans.OUTREACH)
    lost = _somebody_adds(world, _is_of_another_type)
    world.http.script[STEP] = [Happening(plans.LOST, 0, meanwhile=lost.meanwhile)]
    outcome = await world.create(plans.CALL)
    assert (outcome.says, outcome.step_id) == ("OK", "90211")


async def _with_two_candidates() -> tuple[World, set[str]]:
    """Return a world in which one of two equal steps is ours, and has had time to show."""
    world = World(plans.OUTREACH)
    twin = _somebody_adds(world)
    world.http.script[STEP] = [Happening(plans.LOST, 0, meanwhile=twin.meanwhile)]
    assert (await world.create(plans.CALL, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    await asyncio.sleep(SETTLE_SECONDS)
    outcome = await world.create(plans.CALL, request_id=REQUEST)
    candidates = set(world.vendor.steps)
    assert ", ".join(sorted(candidates)) == outcome.error.metadata["candidateStepIds"]
    return world, candidates


@on_virtual_time
async def test_j5_what_appears_when_it_is_closed_is_no_candidate() -> None:
    world, candidates = await _with_two_candidates()
    await world.create(plans.CALL, customer="bolt")
    assert (await world.create(plans.CALL, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    row = await world.row(REQUEST)
    assert row is not None
    assert (row.state, row.candidates) == (OperationState.IN_DOUBT, frozenset(candidates))


@on_virtual_time
async def test_j5_the_last_candidate_is_ours() -> None:
    world, candidates = await _with_two_candidates()
    del world.vendor.steps[min(candidates)]
    outcome = await world.create(plans.CALL, request_id=REQUEST)
    assert ("OK", max(candidates)) == (outcome.says, outcome.step_id)
    assert world.http.writes == [STEP]


@on_virtual_time
async def test_j5_when_all_candidates_are_gone_ours_was_removed() -> None:
    world, candidates = await _with_two_candidates()
    for step_id in candidates:
        del world.vendor.steps[step_id]
    outcome = await world.create(plans.CALL, request_id=REQUEST)
    assert outcome.says == "STEP_REMOVED"
    again = await world.create(plans.CALL, request_id=REQUEST)
    assert ("OK", {again.step_id}) == (again.says, set(world.vendor.steps))
