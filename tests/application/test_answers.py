"""What an answer says beside the id: warnings, planned writes, and the counts for the log."""

from dataclasses import replace

import pytest

from service.domain.plan import shown
from tests.application import plans
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import Outcome, World

LOST = Happening(plans.LOST)
UNAUTHENTICATED = Happening(answer(401))
NAMED_CALL = replace(plans.CALL, name="Intro")


def _problem_types(outcome: Outcome) -> list[str]:
    return [warning.problem_type.name for warning in outcome.answer.warnings]


@on_virtual_time
async def test_warnings_come_with_the_answer() -> None:
    world = World(plans.OUTREACH)
    outcome = await world.create(NAMED_CALL)
    assert (_problem_types(outcome), outcome.record.warnings) == (["FIELD_NOT_SUPPORTED"], 1)


@on_virtual_time
async def test_warnings_can_be_errors_before_the_first_write() -> None:
    world = World(plans.OUTREACH)
    outcome = await world.create(world.request(NAMED_CALL, fail_on_warning=True))
    assert (outcome.says, world.http.writes) == ("WARNINGS_AS_ERRORS", [])
    assert [violation.field for violation in outcome.error.violations] == ["step.name"]
    assert (await world.create(world.request(plans.CALL, fail_on_warning=True))).says == "OK"


@pytest.mark.parametrize("validate_only", [False, True])
@on_virtual_time
async def test_warnings_are_errors_with_validate_only_too(*, validate_only: bool) -> None:
    world = World(plans.OUTREACH)
    request = world.request(NAMED_CALL, fail_on_warning=True, validate_only=validate_only)
    assert (await world.create(request)).says == "WARNINGS_AS_ERRORS"


@pytest.mark.parametrize(
    "script",
    [[LOST], [Happening(plans.LOST, applied_after_seconds=0)], [Happening(answer(201, {}))]],
)
@on_virtual_time
async def test_a_template_that_may_be_left_behind_is_told(script: list[Happening]) -> None:
    """No other warning of a write's answer, and none at all when the template is made at once."""
    world = World(plans.OUTREACH)
    whole = await world.create(plans.OUTREACH_CONTENT.step)
    world.http.script["POST /templates"] = script
    doubtful = await world.create(plans.OUTREACH_CONTENT.step)
    assert (_problem_types(whole), _problem_types(doubtful)) == ([], ["TEMPLATE_LEFT_BEHIND"])


@on_virtual_time
async def test_a_template_that_is_lost_twice_leaves_nothing_in_the_sequence() -> None:
    world = World(plans.OUTREACH)
    world.http.script["POST /templates"] = [LOST, LOST]
    outcome = await world.create(plans.OUTREACH_CONTENT.step)
    assert (outcome.says, world.http.writes) == ("PROVIDER_UNAVAILABLE", ["POST /templates"] * 2)


@on_virtual_time
async def test_a_link_that_is_switched_off_is_told() -> None:
    world = World(plans.OUTREACH)
    off = answer(201, {"data": {"id": 31337, "attributes": {"enabled": False}}})
    world.http.script["POST /sequenceTemplates"] = [Happening(off, applied_after_seconds=0)]
    outcome = await world.create(plans.OUTREACH_LINK.step)
    assert _problem_types(outcome) == ["TEMPLATE_NOT_ENABLED"]


@on_virtual_time
async def test_planned_writes_show_ids_that_are_not_known_yet_as_names() -> None:
    world = World(plans.APOLLO)
    planned = await world.create(world.request(plans.APOLLO_MESSAGE.step, validate_only=True))
    step, message = planned.answer.planned
    body = shown(message)
    assert (step.path, message.path) == ("/emailer_steps", "/emailer_touches/{touch_id}")
    assert body is not None
    assert (body["id"], body["emailer_step_id"]) == ("{touch_id}", "{step_id}")


@on_virtual_time
async def test_requests_are_counted_for_the_log() -> None:
    """Two reads, two writes; one read and one write were repeated."""
    world = World(plans.OUTREACH)
    world.http.script = {
        "GET /sequences": [Happening(plans.NOT_SENT)],
        "POST /sequenceTemplates": [UNAUTHENTICATED],
    }
    record = (await world.create(plans.OUTREACH_LINK.step)).record
    assert (record.provider_reads, record.provider_writes, record.provider_requests) == (3, 2, 7)


@on_virtual_time
async def test_a_template_that_is_made_again_is_counted_again() -> None:
    """Template, template, step and link."""
    world = World(plans.OUTREACH)
    world.http.script["POST /templates"] = [LOST]
    record = (await world.create(plans.OUTREACH_CONTENT.step)).record
    assert (record.provider_writes, record.provider_requests) == (4, 6)
