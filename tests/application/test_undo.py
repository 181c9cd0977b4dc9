"""What is done about an earlier write when a later one could not be made."""

import asyncio

import pytest

from service.domain.provider_call import AnswerLost, CallKind, ProviderAnswer, ProviderRequest
from tests.application import plans
from tests.application.plans import PlanKind
from tests.application.promises import broken_promises
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import Outcome, World

STEP, MESSAGE, DELETE = "POST /emailer_steps", "PUT /emailer_touches", "DELETE /emailer_steps"
REFUSED = Happening(answer(422, {"error": "no such mailbox"}))
FORBIDDEN = Happening(answer(403))
UNAUTHENTICATED = Happening(answer(401))
NOT_SENT = Happening(plans.NOT_SENT)
LOST_DONE = Happening(plans.LOST, applied_after_seconds=0)
LOST_DONE_SOON = Happening(plans.LOST, applied_after_seconds=6)
LOST_NEVER_DONE = Happening(plans.LOST)


def _turned_away(seconds: int) -> Happening:
    return Happening(answer(429, headers={"retry-after": str(seconds)}))


async def _end_of(world: World, plan: PlanKind) -> tuple[Outcome, list[str]]:
    """Run an operation; return its outcome, and the promises that it broke."""
    outcome = await world.create(plan.step)
    await asyncio.sleep(120)
    new = world.vendor.step_ids(world.vendor.sequence_id)
    return outcome, list(broken_promises(world, plan, outcome, new))


UNDO_ENDS = {
    "works": ([], "PROVIDER_REJECTED"),
    "404, done": ([Happening(answer(404), applied_after_seconds=0)], "OUTCOME_UNKNOWN"),
    "404, not done": ([Happening(answer(404))], "OUTCOME_UNKNOWN"),
    "204": ([Happening(answer(204), applied_after_seconds=0)], "PROVIDER_REJECTED"),
    "401": ([UNAUTHENTICATED], "PROVIDER_REJECTED"),
    "401 twice": ([UNAUTHENTICATED] * 2, "STEP_INCOMPLETE"),
    "403": ([FORBIDDEN], "STEP_INCOMPLETE"),
    "422": ([REFUSED], "STEP_INCOMPLETE"),
    "429 short": ([_turned_away(3)], "PROVIDER_REJECTED"),
    "429 long": ([_turned_away(600)], "STEP_INCOMPLETE"),
    "not sent twice": ([NOT_SENT] * 2, "PROVIDER_REJECTED"),
    "never sent": ([NOT_SENT] * 3, "STEP_INCOMPLETE"),
    "lost, done": ([LOST_DONE], "OUTCOME_UNKNOWN"),
    "lost, not done": ([LOST_NEVER_DONE], "PROVIDER_REJECTED"),
    "always lost, done": ([LOST_DONE] * 4, "OUTCOME_UNKNOWN"),
    "always lost, done soon": ([LOST_DONE_SOON, *[LOST_NEVER_DONE] * 3], "OUTCOME_UNKNOWN"),
    "always lost, never done": ([LOST_NEVER_DONE] * 4, "OUTCOME_UNKNOWN"),
    "lost, done, 403": ([LOST_DONE, FORBIDDEN], "OUTCOME_UNKNOWN"),
    "lost, done, 429 long": ([LOST_DONE, _turned_away(600)], "OUTCOME_UNKNOWN"),
    "lost, done, never sent": ([LOST_DONE, *[NOT_SENT] * 3], "OUTCOME_UNKNOWN"),
    "lost, done soon, 403": ([LOST_DONE_SOON, FORBIDDEN], "OUTCOME_UNKNOWN"),
    "lost, never done, 403": ([LOST_NEVER_DONE, FORBIDDEN], "OUTCOME_UNKNOWN"),
}
"""What comes of the attempts to remove the step, and what the caller is told in the end.

Where the last word about the removal is that it was lost, the caller is told so: that the step is
not shown just then proves nothing.
"""


@pytest.mark.parametrize("end", UNDO_ENDS)
@on_virtual_time
async def test_a_step_whose_message_is_refused_is_removed(end: str) -> None:
    """An attempt whose answer was lost may still remove the step, whatever a later one says."""
    script, says = UNDO_ENDS[end]
    world = World(plans.APOLLO)
    world.http.script = {MESSAGE: [REFUSED], DELETE: list(script)}
    outcome, broken = await _end_of(world, plans.APOLLO_MESSAGE)
    assert broken == []
    assert outcome.says == says


@pytest.mark.parametrize(
    "later", [REFUSED, FORBIDDEN, _turned_away(600)], ids=["422", "403", "429"]
)
@pytest.mark.parametrize("lost", [LOST_DONE, LOST_NEVER_DONE], ids=["done", "not done"])
@on_virtual_time
async def test_nothing_is_undone_once_the_message_may_be_written(
    lost: Happening, later: Happening
) -> None:
    world = World(plans.APOLLO)
    world.http.script = {MESSAGE: [lost, later]}
    outcome, broken = await _end_of(world, plans.APOLLO_MESSAGE)
    assert broken == []
    assert (outcome.says, world.http.writes) == ("STEP_INCOMPLETE", [STEP, MESSAGE, MESSAGE])


@on_virtual_time
async def test_a_message_whose_answer_is_always_lost_leaves_the_step() -> None:
    world = World(plans.APOLLO)
    world.http.always[MESSAGE] = LOST_NEVER_DONE
    outcome, broken = await _end_of(world, plans.APOLLO_MESSAGE)
    assert broken == []
    assert (outcome.says, world.http.writes) == ("STEP_INCOMPLETE", [STEP, *[MESSAGE] * 4])
    assert outcome.error.metadata["failedCall"].startswith("PUT /emailer_touches/")


@pytest.mark.parametrize(
    "outcome_of_step", [plans.LOST, answer(500), answer(200, {})], ids=["lost", "500", "no id"]
)
@on_virtual_time
async def test_a_step_that_was_only_found_is_not_removed(
    outcome_of_step: ProviderAnswer | AnswerLost,
) -> None:
    """An equal one of somebody else is there, ours comes later: only our own answer is proof."""
    world = World(plans.APOLLO)
    twins: set[str] = set()

    def make_a_twin(request: ProviderRequest) -> None:
        world.vendor.handle(request)
        twins.update(world.vendor.step_ids(world.vendor.sequence_id))

    world.http.script = {
        STEP: [Happening(outcome_of_step, applied_after_seconds=60, meanwhile=make_a_twin)],
        MESSAGE: [REFUSED],
    }
    outcome = await world.create(plans.APOLLO_MESSAGE.step)
    assert world.vendor.step_ids(world.vendor.sequence_id) == twins
    assert (outcome.says, {outcome.step_id}) == ("STEP_INCOMPLETE", twins)
    await asyncio.sleep(60)


@on_virtual_time
async def test_a_step_whose_touch_is_never_shown_is_removed() -> None:
    """Its answer left out the touch, and the sequence does not show it: no message can be set."""
    world = World(plans.APOLLO)
    without_touch = {"emailer_step": {"id": f"{1:024x}"}}
    world.http.script = {
        STEP: [Happening(answer(200, without_touch), applied_after_seconds=0)],
        "GET /emailer_campaigns": [Happening(applied_after_seconds=0)],
    }
    world.http.always["GET /emailer_campaigns"] = Happening(answer(500))
    outcome, broken = await _end_of(world, plans.APOLLO_MESSAGE)
    assert broken == []
    assert (outcome.says, world.http.writes) == ("PROVIDER_UNAVAILABLE", [STEP, DELETE])


@on_virtual_time
async def test_a_touch_that_the_answer_left_out_is_looked_for() -> None:
    world = World(plans.APOLLO)
    without_touch = {"emailer_step": {"id": f"{1:024x}"}}
    world.http.script = {STEP: [Happening(answer(200, without_touch), applied_after_seconds=0)]}
    outcome, broken = await _end_of(world, plans.APOLLO_MESSAGE)
    assert broken == []
    assert (outcome.says, world.http.writes) == ("OK", [STEP, MESSAGE])


@pytest.mark.parametrize(
    ("script", "is_left"),
    [
        ([], False),
        ([LOST_DONE], False),
        ([FORBIDDEN], True),
        ([_turned_away(600)], True),
        ([NOT_SENT] * 3, True),
        ([LOST_NEVER_DONE] * 4, True),
    ],
    ids=["works", "lost", "403", "429", "never sent", "always lost"],
)
@on_virtual_time
async def test_a_template_of_a_refused_step_is_removed_if_possible(
    *, script: list[Happening], is_left: bool
) -> None:
    """One that stays is in no sequence, so nothing was written all the same."""
    world = World(plans.OUTREACH)
    world.http.script = {"POST /sequenceSteps": [REFUSED], "DELETE /templates": script}
    outcome, broken = await _end_of(world, plans.OUTREACH_CONTENT)
    assert broken == []
    assert outcome.says == "PROVIDER_REJECTED"
    assert world.http.writes[:3] == ["POST /templates", "POST /sequenceSteps", "DELETE /templates"]
    still_there = world.vendor.handle(_get_template(world))
    assert (still_there.status == 200) is is_left


def _get_template(world: World) -> ProviderRequest:
    (delete, *_) = (sent for sent in world.http.sent if sent.resource == "DELETE /templates")
    return ProviderRequest("outreach", CallKind.READ, "GET", delete.request.url, {})


@on_virtual_time
async def test_a_template_is_kept_when_its_step_may_be_there() -> None:
    world = World(plans.OUTREACH)
    world.http.script = {"POST /sequenceSteps": [LOST_NEVER_DONE]}
    outcome, broken = await _end_of(world, plans.OUTREACH_CONTENT)
    assert broken == []
    assert outcome.says == "OUTCOME_UNKNOWN"
    assert world.http.writes == ["POST /templates", "POST /sequenceSteps"]
