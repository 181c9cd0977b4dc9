"""A caller that leaves: nothing is left half done, and what became of it is logged once."""

import asyncio
from collections.abc import MutableMapping
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from tests.application import plans
from tests.application.plans import PlanKind
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import VirtualTimeLoop, on_virtual_time
from tests.application.world import World

Event = MutableMapping[str, Any]

LOST_DONE = Happening(plans.LOST, applied_after_seconds=0)
UNAUTHENTICATED = Happening(answer(401))
SHORT_WAIT = Happening(answer(429, headers={"retry-after": "2"}))
HANG = Happening(plans.LOST, takes_seconds=None)

TROUBLES: dict[str, list[Happening]] = {
    "nothing goes wrong": [],
    "the answer is lost": [LOST_DONE],
    "the token is refused": [UNAUTHENTICATED],
    "not sent at first": [Happening(plans.NOT_SENT)],
    "turned away at first": [SHORT_WAIT],
}


def _unheard(logs: list[Event]) -> list[Event]:
    return [event for event in logs if event["event"] == "operation_without_caller"]


def _perhaps_done(world: World) -> list[str]:
    """The writes that the vendor may have carried out."""
    return [
        sent.resource
        for sent in world.http.sent
        if sent.request.method != "GET" and not sent.is_provably_not_done
    ]


async def _leave_at(world: World, plan: PlanKind, turn: int) -> tuple[bool | None, list[Event]]:
    """Run an operation whose caller leaves at a turn of the loop.

    Return whether a write had been sent when the caller was gone, and what was logged; None when
    it had its answer before.
    """
    loop = cast("VirtualTimeLoop", asyncio.get_running_loop())
    with capture_logs() as logs:
        caller = world.start(plan.step)
        loop.call_at_turn(loop.turns + turn, caller.cancel)
        await asyncio.wait([caller])
        has_written = bool(world.http.writes) if caller.cancelled() else None
        await world.tasks.drain(200)
        await asyncio.sleep(0)  # Callbacks of the last task run.
    return has_written, logs


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize(
    ("plan", "kind"),
    [(plan, kind) for plan in plans.ALL for kind in ("survey", *plan.writes)],
    ids=lambda value: value.name if isinstance(value, PlanKind) else value,
)
@on_virtual_time
async def test_a_caller_may_leave_at_any_moment(plan: PlanKind, kind: str, trouble: str) -> None:
    """Before the first write with an effect the operation ends; after it the step is made whole."""
    resource = plan.writes.get(kind, plans.LIST_OF_STEPS[plan.provider])
    before = after = 0
    turn = 1  # The caller runs first; from the second turn on there is an operation.
    while True:
        turn += 1
        world = World(plan.provider)
        world.http.script[resource] = list(TROUBLES[trouble])
        has_written, logs = await _leave_at(world, plan, turn)
        if has_written is None:
            break
        (event,) = _unheard(logs)
        steps = world.vendor.step_ids(world.vendor.sequence_id)
        facts = {key: event[key] for key in ("customer", "provider", "sequence")}
        assert facts == {
            "customer": "acme",
            "provider": plan.provider,
            "sequence": world.vendor.sequence_id,
        }
        if event["outcome"] == "CANCELLED":
            before += 1
            assert (steps, _perhaps_done(world)) == (set(), []), turn
        else:
            after += 1
            assert has_written
            assert (event["outcome"], {event["step_id"]}) == ("OK", steps), turn
            assert world.vendor.messages(event["step_id"]) == plan.messages
    print(f"left at {before} moments before and {after} after it")  # noqa: T201 - for the reader
    assert before > 3
    assert after > 1


@on_virtual_time
async def test_what_became_of_a_failed_operation_is_logged_too() -> None:
    world = World(plans.OUTREACH)
    world.http.script["POST /sequenceTemplates"] = [Happening(answer(422))]
    with capture_logs() as logs:
        caller = world.start(plans.OUTREACH_LINK.step)
        await asyncio.sleep(0.08)
        caller.cancel()
        await world.tasks.drain(60)
        await asyncio.sleep(0)
    (event,) = _unheard(logs)
    (step_id,) = world.vendor.steps
    assert (event["outcome"], event["step_id"]) == ("STEP_INCOMPLETE", step_id)


@on_virtual_time
async def test_a_caller_that_leaves_while_the_first_write_waits_stops_it() -> None:
    """The connection was turned away just before: nothing was sent, and nothing needs to be."""
    world = World(plans.OUTREACH)
    last_read = Happening(
        applied_after_seconds=0,
        meanwhile=lambda _: world.rate_limits.turned_away(world.key(), 4),
    )
    world.http.script["GET /sequenceSteps"] = [last_read]
    caller = world.start(plans.CALL)
    await asyncio.sleep(2)
    assert world.http.writes == []
    caller.cancel()
    await asyncio.sleep(60)
    assert (world.http.writes, world.vendor.steps) == ([], {})


@on_virtual_time
async def test_nothing_is_logged_about_a_caller_that_stays() -> None:
    world = World(plans.OUTREACH)
    world.http.script["POST /sequenceTemplates"] = [Happening(answer(422))]
    with capture_logs() as logs:
        assert (await world.create(plans.OUTREACH_LINK.step)).says == "STEP_INCOMPLETE"
    assert logs == []


@on_virtual_time
async def test_drain_waits_for_what_is_under_way() -> None:
    world = World(plans.OUTREACH)
    world.http.script["POST /sequenceSteps"] = [
        Happening(applied_after_seconds=0, takes_seconds=20)
    ]
    caller = world.start(plans.CALL)
    await asyncio.sleep(1)
    with capture_logs() as logs:
        await world.tasks.drain(35)
    assert world.clock.monotonic_seconds() < 21
    assert ((await caller).says, logs) == ("OK", [])


@on_virtual_time
async def test_drain_without_operations_ends_at_once() -> None:
    world = World(plans.OUTREACH)
    await world.tasks.drain(35)
    assert world.clock.monotonic_seconds() == 0


@on_virtual_time
async def test_drain_cuts_off_what_takes_longer_and_says_so() -> None:
    """The write is under way, so what became of it is not known: the log must not hide that."""
    world = World(plans.OUTREACH)
    world.http.script["POST /sequenceSteps"] = [HANG]
    callers = [world.start(plans.CALL), world.start(plans.CALL)]  # The second waits for its turn.
    await asyncio.sleep(1)
    with capture_logs() as logs:
        callers[0].cancel()
        await asyncio.sleep(1)
        await world.tasks.drain(5)
        await asyncio.wait(callers)
        await asyncio.sleep(0)
    assert world.clock.monotonic_seconds() == pytest.approx(7, abs=0.1)
    cut_off = [event["count"] for event in logs if event["event"] == "operations_cut_off"]
    outcomes = [event["outcome"] for event in _unheard(logs)]
    assert cut_off == [2]
    assert sorted(outcomes) == ["CANCELLED", "OUTCOME_UNKNOWN"]
