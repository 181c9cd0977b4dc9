"""J11: only what is ours for certain is removed; a removal that may be done is not taken back."""

import asyncio

import pytest

from service.domain.operation import OperationState
from service.domain.provider_call import AnswerLost, ProviderAnswer
from tests.application import plans
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import SETTLE_SECONDS, World
from tests.rules.stage import REQUEST, Stage
from tests.simulation.fate import Exchange

STEP, MESSAGE, DELETE = "POST /emailer_steps", "PUT /emailer_touches", "DELETE /emailer_steps"
PLAN = plans.APOLLO_MESSAGE
REFUSED = Happening(answer(422))
LOST = Happening(plans.LOST)
NOT_FOUND = Happening(answer(404))


def _world(*removals: Happening) -> World:
    """Return a world whose first message is refused."""
    world = World(plans.APOLLO)
    world.http.script = {MESSAGE: [REFUSED], DELETE: list(removals)}
    return world


async def _state_when_settled(world: World) -> OperationState:
    """Return what recovery makes of the request once what was sent must have appeared."""
    await asyncio.sleep(SETTLE_SECONDS)
    await world.recovery.sweep()
    row = await world.row(REQUEST)
    assert row is not None
    return row.state


@on_virtual_time
async def test_j11_a_step_whose_message_is_refused_is_removed() -> None:
    world = _world()
    outcome = await world.create(PLAN.step, request_id=REQUEST)
    row = await world.row(REQUEST)
    assert row is not None
    assert (outcome.says, world.vendor.steps) == ("PROVIDER_REJECTED", {})
    assert OperationState.NO_EFFECT is row.state
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OK"


@pytest.mark.parametrize(
    "lost", [plans.LOST, answer(500), answer(200, {})], ids=["lost", "500", "without an id"]
)
@on_virtual_time
async def test_j11_a_step_that_was_only_found_is_not_removed(
    lost: ProviderAnswer | AnswerLost,
) -> None:
    world = _world()
    world.http.script[STEP] = [Happening(lost, applied_after_seconds=0)]
    outcome = await world.create(PLAN.step)
    assert ("STEP_INCOMPLETE", {outcome.step_id}) == (outcome.says, set(world.vendor.steps))
    assert world.http.writes == [STEP, MESSAGE]


@on_virtual_time
async def test_j11_a_step_whose_message_may_be_written_is_not_removed() -> None:
    world = World(plans.APOLLO)
    world.http.script[MESSAGE] = [Happening(plans.LOST, applied_after_seconds=0), REFUSED]
    outcome = await world.create(PLAN.step)
    assert ("STEP_INCOMPLETE", {outcome.step_id}) == (outcome.says, set(world.vendor.steps))


@on_virtual_time
async def test_j11_a_step_whose_message_a_dead_process_may_have_written_is_not_removed() -> None:
    async with Stage(PLAN) as stage:
        refused = Exchange(applied_after_seconds=None, answer=answer(422))
        stage.script.exchanges[MESSAGE] = [Exchange(), refused]
        stage.script.at_answer = (MESSAGE, lambda replica: replica.crash())
        await stage.ask_in_vain()
        await asyncio.sleep(60)
        assert stage.writes == [STEP, MESSAGE, MESSAGE]
        assert (stage.state(), len(stage.vendor.steps)) == (OperationState.INCOMPLETE, 1)


@on_virtual_time
async def test_j11_a_step_that_may_be_gone_is_never_written_to_again() -> None:
    """The message would be taken now; the removal is gone on with all the same."""
    world = _world(*[LOST] * 4)
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    for _ in range(3):
        await asyncio.sleep(20)
        assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
        await world.recovery.sweep()
    assert [STEP, MESSAGE, *[DELETE] * 4] == world.http.writes


@pytest.mark.parametrize("applied_after_seconds", [0.0, 100.0])
@on_virtual_time
async def test_j11_a_step_that_is_gone_had_no_effect(applied_after_seconds: float) -> None:
    world = _world(Happening(plans.LOST, applied_after_seconds), *[LOST] * 3)
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    assert (await _state_when_settled(world), world.vendor.steps) == (OperationState.NO_EFFECT, {})
    assert world.http.writes.count(DELETE) == 4


@on_virtual_time
async def test_j11_a_step_that_is_still_there_is_removed_again() -> None:
    world = _world(*[LOST] * 4)
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    assert (await _state_when_settled(world), world.vendor.steps) == (OperationState.NO_EFFECT, {})
    assert world.http.writes.count(DELETE) == 5


@pytest.mark.parametrize(
    "again",
    [
        [Happening(plans.NOT_SENT)] * 3,
        [Happening(answer(429, headers={"retry-after": "600"}))],
        [LOST] * 4,
    ],
    ids=["not sent", "429", "lost"],
)
@on_virtual_time
async def test_j11_only_a_refusal_ends_a_removal(again: list[Happening]) -> None:
    """It was lost before; that it cannot be sent now turns nothing back."""
    world = _world(*[LOST] * 4, *again)
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    await asyncio.sleep(SETTLE_SECONDS)
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    await asyncio.sleep(SETTLE_SECONDS)
    await world.recovery.sweep()
    assert world.vendor.steps == {}
    assert world.http.writes.count(MESSAGE) == 1


@on_virtual_time
async def test_j11_a_refused_removal_leaves_the_step_incomplete() -> None:
    world = _world(Happening(answer(403)))
    outcome = await world.create(PLAN.step, request_id=REQUEST)
    assert ("STEP_INCOMPLETE", {outcome.step_id}) == (outcome.says, set(world.vendor.steps))
    again = await world.create(PLAN.step, request_id=REQUEST)
    assert ("OK", outcome.step_id) == (again.says, again.step_id)
    assert world.vendor.messages(again.step_id) == 1


@on_virtual_time
async def test_j11_a_step_that_is_not_found_yet_is_removed_when_it_is_there() -> None:
    """The step is so new that the provider does not find it for the removal."""
    world = _world(NOT_FOUND)
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    assert len(world.vendor.steps) == 1
    assert (await _state_when_settled(world), world.vendor.steps) == (OperationState.NO_EFFECT, {})
    assert world.http.writes == [STEP, MESSAGE, DELETE, DELETE]


@on_virtual_time
async def test_j11_a_step_that_is_not_found_and_shown_all_the_same_is_left() -> None:
    """Its removal is not to be had at this provider."""
    world = _world(NOT_FOUND, NOT_FOUND)
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    assert (await _state_when_settled(world), len(world.vendor.steps)) == (
        OperationState.INCOMPLETE,
        1,
    )


@on_virtual_time
async def test_j11_a_removal_that_is_refused_when_the_step_is_gone_had_its_effect() -> None:
    """The first one is applied late, just when the second is refused."""
    world = World(plans.APOLLO)
    refused = Happening(answer(403), meanwhile=lambda _: world.vendor.steps.clear())
    world.http.script = {MESSAGE: [REFUSED], DELETE: [*[LOST] * 4, refused]}
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    assert (await _state_when_settled(world), world.vendor.steps) == (OperationState.NO_EFFECT, {})
    assert world.http.writes.count(DELETE) == 5


@on_virtual_time
async def test_j11_a_refusal_says_nothing_of_a_removal_that_may_still_be_applied() -> None:
    """A removal is lost and under way when the next one is refused."""
    late = Happening(plans.LOST, applied_after_seconds=100)
    world = _world(REFUSED, late, *[LOST] * 3, REFUSED)
    world.http.script[MESSAGE] *= 2
    assert (await world.create(PLAN.step, request_id=REQUEST)).says == "STEP_INCOMPLETE"
    await asyncio.sleep(SETTLE_SECONDS)
    for _ in range(2):
        assert (await world.create(PLAN.step, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
        await asyncio.sleep(20)
    assert len(world.vendor.steps) == 1
    assert (await _state_when_settled(world), world.vendor.steps) == (OperationState.NO_EFFECT, {})
    assert world.http.writes == [STEP, MESSAGE, DELETE, MESSAGE, *[DELETE] * 5]


@on_virtual_time
async def test_j11_a_removal_outlives_its_process() -> None:
    async with Stage(PLAN) as stage:
        stage.script.exchanges = {
            MESSAGE: [Exchange(applied_after_seconds=None, answer=answer(422))],
            DELETE: [Exchange(applied_after_seconds=None, answer=plans.LOST)],
        }
        stage.script.at_answer = (DELETE, lambda replica: replica.crash())
        await stage.ask_in_vain()
        await asyncio.sleep(2 * SETTLE_SECONDS)
        assert (stage.state(), stage.vendor.steps) == (OperationState.NO_EFFECT, {})
        assert stage.writes == [STEP, MESSAGE, DELETE, DELETE]
