"""A request that comes again with its request id: it is answered, joined, or told apart."""

import asyncio
from dataclasses import replace

import pytest

from service.domain.step import SequenceStep, StepType
from tests.application import plans
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import World

REQUEST = "the request"
STEP = "POST /sequenceSteps"
SLOW = Happening(applied_after_seconds=0, takes_seconds=20)
NAMED_CALL = replace(plans.CALL, name="Intro")


@pytest.mark.parametrize("plan", plans.ALL, ids=lambda plan: plan.name)
@on_virtual_time
async def test_a_finished_request_is_answered_without_the_provider(plan: plans.PlanKind) -> None:
    world = World(plan.provider)
    first = await world.create(plan.step, request_id=REQUEST)
    sent = len(world.http.sent)
    second = await world.create(plan.step, request_id=REQUEST)
    assert (first.answer.is_replay, second.answer.is_replay) == (False, True)
    assert (second.step_id, len(world.http.sent)) == (first.step_id, sent)


@on_virtual_time
async def test_its_warnings_come_again() -> None:
    world = World(plans.OUTREACH)
    first = await world.create(NAMED_CALL, request_id=REQUEST)
    second = await world.create(NAMED_CALL, request_id=REQUEST)
    assert first.answer.warnings == second.answer.warnings
    assert (len(second.answer.warnings), second.record.warnings) == (1, 1)


@on_virtual_time
async def test_a_finished_request_does_not_wait_for_others_at_the_sequence() -> None:
    world = World(plans.OUTREACH)
    first = await world.create(plans.CALL, request_id=REQUEST)
    world.http.script[STEP] = [SLOW]
    other = world.start(plans.CALL)
    await asyncio.sleep(1)
    second = await world.create(plans.CALL, request_id=REQUEST, deadline_seconds=3)
    assert (second.step_id, world.clock.monotonic_seconds() < 2) == (first.step_id, True)
    assert (await other).says == "OK"


@on_virtual_time
async def test_a_finished_request_needs_no_time_for_a_write() -> None:
    world = World(plans.OUTREACH)
    first = await world.create(plans.CALL, request_id=REQUEST)
    second = await world.create(plans.CALL, request_id=REQUEST, deadline_seconds=1)
    new = await world.create(plans.CALL, request_id="another one", deadline_seconds=1)
    assert (second.step_id, new.says) == (first.step_id, "DEADLINE_TOO_SHORT")


@on_virtual_time
async def test_calls_of_a_running_request_share_it() -> None:
    world = World(plans.OUTREACH, requests_in_flight_max=1)
    outcomes = await asyncio.gather(
        *(world.create(plans.CALL, request_id=REQUEST) for _ in range(3))
    )
    assert {outcome.step_id for outcome in outcomes} == set(world.vendor.steps)
    assert ({outcome.says for outcome in outcomes}, world.http.writes) == ({"OK"}, [STEP])


@on_virtual_time
async def test_a_failure_is_told_to_all_who_share_it() -> None:
    world = World(plans.OUTREACH)
    world.http.script["GET /sequences"] = [Happening(answer(404))]
    outcomes = await asyncio.gather(
        *(world.create(plans.CALL, request_id=REQUEST) for _ in range(3))
    )
    assert [outcome.says for outcome in outcomes] == ["SEQUENCE_NOT_FOUND"] * 3


@on_virtual_time
async def test_a_request_that_failed_runs_again() -> None:
    world = World(plans.OUTREACH)
    world.http.script = {
        "GET /sequences": [Happening(answer(404))],
        STEP: [Happening(answer(422))],
    }
    says = [(await world.create(plans.CALL, request_id=REQUEST)).says for _ in range(3)]
    assert says == ["SEQUENCE_NOT_FOUND", "PROVIDER_REJECTED", "OK"]


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        (replace(plans.CALL, task_note="Another"), ["step.task_note"]),
        (replace(plans.CALL, interval_seconds=0), ["step.interval_seconds"]),
        (SequenceStep(StepType.TASK), ["step.interval_seconds", "step.task_note", "step.type"]),
    ],
)
@pytest.mark.parametrize(
    "first",
    [Happening(applied_after_seconds=0), Happening(plans.LOST), Happening(answer(422)), SLOW],
    ids=["done", "not known", "refused", "running"],
)
@on_virtual_time
async def test_another_request_with_its_id_is_refused(
    first: Happening, other: SequenceStep, fields: list[str]
) -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [first]
    call = asyncio.create_task(world.create(plans.CALL, request_id=REQUEST))
    await asyncio.wait([call], timeout=5 if first is SLOW else None)
    outcome = await world.create(other, request_id=REQUEST)
    assert outcome.says == "REQUEST_ID_REUSED"
    assert [violation.field for violation in outcome.error.violations] == fields
    assert (world.http.writes, outcome.error.retry_after_seconds) == ([STEP], None)
    await call


@on_virtual_time
async def test_the_id_of_a_request_that_wrote_nothing_is_free() -> None:
    """There is no trace of it, so nothing is there to be compared with."""
    world = World(plans.OUTREACH)
    world.http.script["GET /sequences"] = [Happening(answer(404))]
    assert (await world.create(plans.CALL, request_id=REQUEST)).says == "SEQUENCE_NOT_FOUND"
    assert await world.row(REQUEST) is None
    assert (await world.create(NAMED_CALL, request_id=REQUEST)).says == "OK"


@on_virtual_time
async def test_customers_may_use_the_same_id() -> None:
    world = World(plans.OUTREACH)
    first = await world.create(plans.CALL, request_id=REQUEST)
    second = await world.create(NAMED_CALL, request_id=REQUEST, customer="bolt")
    assert {first.step_id, second.step_id} == set(world.vendor.steps)


@on_virtual_time
async def test_validate_only_leaves_no_trace() -> None:
    world = World(plans.OUTREACH)
    request = world.request(plans.CALL, validate_only=True)
    assert (await world.create(request, request_id=REQUEST)).says == "OK"
    assert await world.row(REQUEST) is None
