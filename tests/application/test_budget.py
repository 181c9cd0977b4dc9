"""How long an operation may take, on virtual time."""

import asyncio
from math import inf

import pytest

from service.application.budget import Budget
from service.domain.errors import Reason, ServiceError
from tests.application import plans
from tests.application.scripted_http import Happening
from tests.application.virtual_time import VirtualClock, on_virtual_time
from tests.application.world import World

WORKS_SLOWLY = Happening(applied_after_seconds=0, takes_seconds=29.9)


@pytest.mark.parametrize(
    ("caller_seconds", "left_seconds"),
    [(None, 60), (0.5, 0.5), (60, 60), (300, 300), (301, 300), (86_400, 300), (inf, 300), (-3, -3)],
)
@on_virtual_time
async def test_a_caller_has_its_own_time_within_limits(
    caller_seconds: float | None, left_seconds: float
) -> None:
    assert left_seconds == Budget(VirtualClock(), caller_seconds).left_seconds


@on_virtual_time
async def test_the_first_write_needs_two_seconds() -> None:
    budget = Budget(VirtualClock(), 10)
    await asyncio.sleep(8)
    assert budget.start_write()
    assert (budget.has_written, budget.left_seconds) == (True, 90)


@on_virtual_time
async def test_just_under_two_seconds_are_too_little() -> None:
    budget = Budget(VirtualClock(), 10)
    await asyncio.sleep(8.001)
    with pytest.raises(ServiceError) as error:
        budget.start_write()
    assert (error.value.reason, budget.has_written) == (Reason.DEADLINE_TOO_SHORT, False)


@on_virtual_time
async def test_after_the_first_write_the_callers_time_does_not_matter() -> None:
    budget = Budget(VirtualClock(), 2)
    budget.start_write()
    await asyncio.sleep(100)
    budget.require(1_000)
    assert not budget.start_write()
    assert budget.left_seconds == -10


@on_virtual_time
async def test_a_first_write_without_effect_gives_the_caller_its_time_back() -> None:
    budget = Budget(VirtualClock(), 10)
    budget.start_write()
    await asyncio.sleep(3)
    budget.take_back_first_write()
    assert (budget.has_written, budget.left_seconds) == (False, 7)
    assert budget.start_write()
    assert budget.left_seconds == 90


@pytest.mark.parametrize("deadline_seconds", [-1.0, 0.0, 0.3, 1.0, 2.0, 2.1])
@on_virtual_time
async def test_too_little_time_writes_nothing(deadline_seconds: float) -> None:
    """The reads take a moment: of 2.1 s less than 2 are left for the first write."""
    world = World(plans.OUTREACH)
    world.http.always["GET /sequences"] = Happening(applied_after_seconds=0, takes_seconds=0.2)
    outcome = await world.create(plans.CALL, deadline_seconds=deadline_seconds)
    assert (outcome.says, world.http.writes) == ("DEADLINE_TOO_SHORT", [])


@on_virtual_time
async def test_a_caller_without_a_deadline_is_waited_for_a_minute() -> None:
    """Reads that hang use it up; each got 20 s at most, and the last what was left."""
    world = World(plans.OUTREACH)
    world.http.always["GET /sequences"] = Happening(takes_seconds=None, outcome=plans.LOST)
    outcome = await world.create(plans.CALL)
    timeouts = [
        sent.timeout_seconds for sent in world.http.sent if sent.resource == "GET /sequences"
    ]
    assert world.clock.monotonic_seconds() == pytest.approx(60, abs=1)
    assert timeouts[:2] == [20, 20]
    assert 0 < timeouts[-1] < 20
    assert outcome.says in {"PROVIDER_UNAVAILABLE", "DEADLINE_TOO_SHORT"}


@pytest.mark.parametrize("plan", plans.ALL, ids=lambda plan: plan.name)
@on_virtual_time
async def test_reads_and_writes_get_their_time(plan: plans.PlanKind) -> None:
    """A write always gets 30 s and 2 s to start in; a read 20 s, or what the caller has left."""
    world = World(plan.provider)
    outcome = await world.create(plan.step, deadline_seconds=15)
    assert outcome.says == "OK"
    writes = [sent for sent in world.http.sent if sent.is_write]
    reads = [sent for sent in world.http.sent if not sent.is_write]
    assert {(30, 2)} == {(sent.timeout_seconds, sent.start_within_seconds) for sent in writes}
    assert {None} == {sent.start_within_seconds for sent in reads}
    before_write = [sent for sent in reads if sent.at_seconds < writes[0].at_seconds]
    assert all(sent.timeout_seconds == pytest.approx(15 - sent.at_seconds) for sent in before_write)
    assert all(sent.timeout_seconds == 20 for sent in reads if sent not in before_write)


@on_virtual_time
async def test_a_slow_write_is_not_cut_by_the_callers_deadline() -> None:
    world = World(plans.OUTREACH)
    world.http.script = {
        "POST /sequenceSteps": [WORKS_SLOWLY],
        "POST /sequenceTemplates": [WORKS_SLOWLY],
    }
    outcome = await world.create(plans.OUTREACH_LINK.step, deadline_seconds=3)
    assert outcome.says == "OK"
    assert world.clock.monotonic_seconds() > 59


@on_virtual_time
async def test_looking_stops_when_the_operations_time_is_over() -> None:
    """The template uses up the time of the step: what is left is spent on looking, no more."""
    world = World(plans.OUTREACH)
    hang = Happening(takes_seconds=None, outcome=plans.LOST)
    world.http.script = {
        "POST /templates": [hang, WORKS_SLOWLY],
        "POST /sequenceSteps": [Happening(takes_seconds=None, outcome=plans.LOST)],
    }
    outcome = await world.create(plans.OUTREACH_CONTENT.step)
    assert outcome.says == "OUTCOME_UNKNOWN"
    assert world.clock.monotonic_seconds() < 95


@on_virtual_time
async def test_the_link_is_still_made_when_the_operations_time_is_over() -> None:
    """The template took 70 s and the step 30: to give up now would leave the step incomplete."""
    world = World(plans.OUTREACH)
    hang = Happening(takes_seconds=None, outcome=plans.LOST)
    unreachable = Happening(takes_seconds=10, outcome=plans.NOT_SENT)
    world.http.script = {
        "POST /templates": [hang, unreachable, WORKS_SLOWLY],
        "POST /sequenceSteps": [WORKS_SLOWLY],
    }
    outcome = await world.create(plans.OUTREACH_CONTENT.step)
    assert outcome.says == "OK", str(outcome.end)
    assert world.vendor.messages(outcome.step_id) == 1


@on_virtual_time
async def test_validate_only_needs_no_time_for_a_write() -> None:
    world = World(plans.OUTREACH)
    request = world.request(plans.CALL, validate_only=True)
    outcome = await world.create(request, deadline_seconds=1)
    assert (outcome.says, outcome.step_id, world.http.writes) == ("OK", "", [])
    assert [write.path for write in outcome.answer.planned] == ["/sequenceSteps"]
