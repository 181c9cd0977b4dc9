"""Every outcome of every write of every plan, and what the caller is told: the exhaustive table.

Each request is repeated, with its request id, once all that was unclear has had time to show.
"""

import asyncio
import enum
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from service.application.json_text import parse_json_object
from service.domain.provider_call import ProviderAnswer, ProviderRequest
from tests.application import plans
from tests.application.faults import Effect, Fault, When, all_faults
from tests.application.plans import PlanKind
from tests.application.promises import broken_promises, unsafe_repeats
from tests.application.scripted_http import WORKS, Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import SETTLE_SECONDS, Outcome, World


class Look(enum.Enum):
    """What the provider shows when an unclear write is looked for."""

    WORKS = "what is there"
    FAILS = "nothing: every read fails"
    TWIN = "an equal step too, that somebody else made just now"
    STRANGER = "another step too, that somebody else made just now"


TWIN = "OK, with the twin"
"""An equal step that is the only new one is taken for ours: nothing tells them apart."""

SAYS_AFTER_LOOK = {
    (Look.WORKS, When.AT_ONCE): "OK",
    (Look.WORKS, When.SOON): "OK",
    (Look.WORKS, When.LATE): "OUTCOME_UNKNOWN",
    (Look.WORKS, When.NEVER): "OUTCOME_UNKNOWN",
    (Look.TWIN, When.AT_ONCE): "OUTCOME_UNKNOWN",
    (Look.TWIN, When.SOON): TWIN,
    (Look.TWIN, When.LATE): TWIN,
    (Look.TWIN, When.NEVER): TWIN,
    **{(Look.FAILS, when): "OUTCOME_UNKNOWN" for when in When},
    **{(Look.STRANGER, when): "OUTCOME_UNKNOWN" for when in When},
}

REPEATED_AFTER = {
    "template": {Effect.ACCEPTED, Effect.LOST},
    "message": {Effect.LOST},
    "step": set[Effect](),
    "link": set[Effect](),
}
"""A second template or a second PUT does no harm; a second step or link would."""


def expected_answer(plan: PlanKind, kind: str, fault: Fault, look: Look) -> str:
    """Return what the caller must be told."""
    effect = fault.effect
    if effect is Effect.DONE and kind == "step" and not plan.step_with_id:
        effect = Effect.ACCEPTED
    if effect is Effect.DONE:
        return "OK"
    if effect is Effect.REFUSED:
        return "STEP_INCOMPLETE" if kind == "link" else fault.reason
    if kind in {"template", "message"}:
        return "OK"
    return SAYS_AFTER_LOOK[look, fault.when]


def expected_repeat(plan: PlanKind, kind: str, fault: Fault, look: Look) -> str:
    """Return what the caller must be told who asks again when everything has settled."""
    says = expected_answer(plan, kind, fault, look)
    if says in {"OK", TWIN}:
        return says
    has_neighbour = look in {Look.TWIN, Look.STRANGER}
    if fault.effect is Effect.REFUSED:
        takes_no_second = has_neighbour and plan.provider == plans.SALESLOFT
        return "SEQUENCE_NOT_EMPTY" if takes_no_second else "OK"
    is_accepted_and_gone = fault.effect is Effect.ACCEPTED and fault.when is When.NEVER
    return "OUTCOME_UNKNOWN" if has_neighbour or is_accepted_and_gone else "OK"


def expected_sends(kind: str, fault: Fault) -> int:
    """Return how often the write must have been sent."""
    if fault.effect is Effect.DONE or fault.effect in REPEATED_AFTER[kind]:
        return len(fault.script) + 1
    if kind == "message" and fault.effect is Effect.ACCEPTED and _is_unreadable(fault):
        return len(fault.script) + 1
    return len(fault.script)


def _is_unreadable(fault: Fault) -> bool:
    """Whether the answer is no JSON object: a write that may be repeated is, until it is one."""
    outcome = fault.script[-1].outcome
    return isinstance(outcome, ProviderAnswer) and parse_json_object(outcome.body) is None


async def problems_of(plan: PlanKind, kind: str, fault: Fault, look: Look) -> list[str]:
    """Run one case and say what is wrong with its end."""
    world = World(plan.provider)
    if plan.provider != plans.SALESLOFT:
        await world.create(plan.step)  # An equal step that was there before confuses nobody.
    before = world.vendor.step_ids(world.vendor.sequence_id)
    world.http.sent.clear()
    twins: set[str] = set()
    resource = plan.writes[kind]
    world.http.script[resource] = _with_somebody_else(world, plan, fault, look, twins)
    problems: list[str] = []
    for number, expected in enumerate((expected_answer, expected_repeat)):
        outcome = await world.create(plan.step, request_id="the request")
        sends = world.http.writes.count(resource)
        await asyncio.sleep(SETTLE_SECONDS)
        world.http.always.clear()
        new = world.vendor.step_ids(world.vendor.sequence_id) - before - twins
        problems += _wrong_words(outcome, expected(plan, kind, fault, look), twins)
        problems += broken_promises(world, plan, outcome, new, twins)
        if number == 0 and sends != expected_sends(kind, fault):
            problems.append(f"sent {sends} times instead of {expected_sends(kind, fault)}")
    return [*problems, *unsafe_repeats(world.http.sent)]


def _wrong_words(outcome: Outcome, expected: str, twins: set[str]) -> Iterator[str]:
    says = TWIN if outcome.says == "OK" and outcome.step_id in twins else outcome.says
    if says != expected:
        yield f"says {says} instead of {expected}: {outcome.end}"


def _with_somebody_else(
    world: World, plan: PlanKind, fault: Fault, look: Look, twins: set[str]
) -> list[Happening]:
    def act(request: ProviderRequest) -> None:
        if look is Look.FAILS:
            world.http.always[plans.LIST_OF_STEPS[plan.provider]] = Happening(answer(500))
            world.http.always["GET /sequenceTemplates"] = Happening(answer(500))
        elif look in {Look.TWIN, Look.STRANGER}:
            before = world.vendor.step_ids(world.vendor.sequence_id)
            world.vendor.handle(request)
            (twin,) = world.vendor.step_ids(world.vendor.sequence_id) - before
            twins.add(twin)
            if look is Look.STRANGER:
                world.vendor.alter(twin)

    *first, last = fault.script or (WORKS,)
    return [*first, replace(last, meanwhile=act)]


def _cases(plan: PlanKind, kind: str) -> Iterator[tuple[Fault, Look]]:
    for fault in all_faults():
        if fault.outreach_only and plan.provider != plans.OUTREACH:
            continue
        if kind == "message" and fault.effect is Effect.ACCEPTED and fault.when is not When.AT_ONCE:
            continue  # A 2xx for a PUT with full content is believed: it needs no id.
        yield fault, Look.WORKS
        yield fault, Look.FAILS
        if kind == "step":
            yield fault, Look.TWIN
            yield fault, Look.STRANGER


@pytest.mark.parametrize(
    ("plan", "kind"),
    [(plan, kind) for plan in plans.ALL for kind in plan.writes],
    ids=lambda value: value.name if isinstance(value, PlanKind) else value,
)
@on_virtual_time
async def test_every_outcome(plan: PlanKind, kind: str) -> None:
    cases = list(_cases(plan, kind))
    failed = {}
    for fault, look in cases:
        problems = await problems_of(plan, kind, fault, look)
        if problems:
            failed[f"{fault.name} / {look.name}"] = problems
    print(f"{plan.name}, {kind}: {len(cases)} cases")  # noqa: T201 - for the reader
    words = Counter(problem for problems in failed.values() for problem in problems)
    assert not failed, f"{len(failed)} of {len(cases)}: {words.most_common(5)}"
