"""J7: after a lost write nobody else writes to the sequence until it must have appeared."""

import asyncio

import pytest

from service.domain.operation import OperationState
from service.domain.provider_call import ProviderRequest
from tests.application import plans
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import SETTLE_SECONDS, World
from tests.rules.stage import REQUEST, Stage

STEP = "POST /sequenceSteps"
LOST = Happening(plans.LOST)
LOST_DONE = Happening(plans.LOST, applied_after_seconds=0)


async def _settles_in_seconds(world: World) -> float:
    """Return how long what was lost still has to appear."""
    row = await world.row(REQUEST)
    assert row is not None
    assert row.sent_at_epoch_ms is not None
    passed_seconds = world.clock.epoch_seconds() - row.sent_at_epoch_ms / 1000
    return SETTLE_SECONDS - passed_seconds


@pytest.mark.parametrize(("lost", "says"), [(LOST_DONE, "OK"), (LOST, "OUTCOME_UNKNOWN")])
@on_virtual_time
async def test_j7_nobody_else_writes_even_when_the_step_was_found(
    lost: Happening, says: str
) -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [lost]
    assert says == (await world.create(plans.CALL, request_id=REQUEST)).says
    sent = len(world.http.sent)
    other = await world.create(plans.CALL)
    left_seconds = await _settles_in_seconds(world)
    assert ("SEQUENCE_BUSY", sent) == (other.says, len(world.http.sent))
    assert pytest.approx(left_seconds, abs=0.1) == other.error.retry_after_seconds
    await asyncio.sleep(left_seconds)
    assert (await world.create(plans.CALL)).says == "OK"


@on_virtual_time
async def test_j7_nobody_else_writes_when_a_new_owner_found_the_step() -> None:
    """Its process died before the answer, so it counts as lost; another one found it."""
    async with Stage(plans.OUTREACH_CALL) as stage:
        stage.script.at_answer = (STEP, lambda replica: replica.crash())
        await stage.ask_in_vain()
        await asyncio.sleep(60)
        assert stage.state() is OperationState.SUCCEEDED
        busy = await stage.ask("another request", at=stage.two, deadline_seconds=5)
        assert busy.says == "SEQUENCE_BUSY"
        assert busy.error.retry_after_seconds == pytest.approx(60, abs=1)
        await asyncio.sleep(60)
        assert (await stage.ask("another request", at=stage.two)).says == "OK"


@on_virtual_time
async def test_j7_a_late_step_is_not_taken_for_that_of_the_next_request() -> None:
    """Somebody's equal step is taken for the first one's; the true one comes a minute later."""
    world = World(plans.OUTREACH)

    def add_a_twin(request: ProviderRequest) -> None:
        world.vendor.handle(request)

    late = Happening(plans.LOST, applied_after_seconds=60, meanwhile=add_a_twin)
    world.http.script[STEP] = [late, LOST]
    first = await world.create(plans.CALL, request_id=REQUEST)
    assert first.says == "OK"
    second = await world.create(plans.CALL, request_id="another request")
    await asyncio.sleep(2 * SETTLE_SECONDS)
    again = await world.create(plans.CALL, request_id="another request")
    late_step = next(id_ for id_, maker in world.http.made_by.items() if maker == REQUEST)
    assert late_step not in {second.step_id, again.step_id}


@on_virtual_time
async def test_j7_no_other_operation_runs_again() -> None:
    """It wrote before and was refused: it has a row already, and has to wait like a new one."""
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [Happening(answer(422)), LOST]
    assert (await world.create(plans.CALL, request_id="earlier")).says == "PROVIDER_REJECTED"
    assert (await world.create(plans.CALL, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    assert (await world.create(plans.CALL, request_id="earlier")).says == "SEQUENCE_BUSY"
    assert world.http.writes == [STEP] * 2


@on_virtual_time
async def test_j7_a_new_request_makes_the_look_that_closes_it() -> None:
    """No recovery ran meanwhile; the look comes before the new request's own survey."""
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [Happening(plans.LOST, applied_after_seconds=60)]
    assert (await world.create(plans.CALL, request_id=REQUEST)).says == "OUTCOME_UNKNOWN"
    await asyncio.sleep(SETTLE_SECONDS)
    other = await world.create(plans.CALL)
    row = await world.row(REQUEST)
    assert row is not None
    assert (row.state, row.is_open) == (OperationState.SUCCEEDED, False)
    assert {row.step_id, other.step_id} == set(world.vendor.steps)
    assert other.says == "OK"


@on_virtual_time
async def test_j7_the_sequence_is_busy_while_that_look_fails() -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [LOST]
    await world.create(plans.CALL, request_id=REQUEST)
    await asyncio.sleep(SETTLE_SECONDS)
    world.http.always["GET /sequenceSteps"] = Happening(answer(500))
    assert (await world.create(plans.CALL)).says == "SEQUENCE_BUSY"
    world.http.always.clear()
    assert (await world.create(plans.CALL)).says == "OK"


@on_virtual_time
async def test_j7_a_closed_doubt_blocks_nobody() -> None:
    world = World(plans.OUTREACH)

    def add_a_twin(request: ProviderRequest) -> None:
        world.vendor.handle(request)

    world.http.script[STEP] = [Happening(plans.LOST, 0, meanwhile=add_a_twin)]
    await world.create(plans.CALL, request_id=REQUEST)
    await asyncio.sleep(SETTLE_SECONDS)
    await world.recovery.sweep()
    row = await world.row(REQUEST)
    assert row is not None
    assert (row.state, row.is_open) == (OperationState.IN_DOUBT, False)
    assert (await world.create(plans.CALL)).says == "OK"


@on_virtual_time
async def test_j7_a_write_that_was_answered_keeps_nobody_away() -> None:
    world = World(plans.OUTREACH)
    first = await world.create(plans.CALL, request_id=REQUEST)
    second = await world.create(plans.CALL)
    assert {first.step_id, second.step_id} == set(world.vendor.steps)
    assert (first.says, second.says) == ("OK", "OK")
