"""Every outcome of every read before the first write: it works in the end, or nothing is written.

The same table holds with `validate_only`, which makes the same reads.
"""

import pytest

from service.domain.provider_call import ProviderAnswer
from tests.application import plans
from tests.application.plans import PlanKind
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import World

LOST = Happening(plans.LOST)
NOT_SENT = Happening(plans.NOT_SENT)
HANG = Happening(plans.LOST, takes_seconds=None)
UNREADABLE = Happening(ProviderAnswer(200, {"content-type": "text/html"}, b"<html>"))
FLAWED = Happening(answer(200, flaw="broke off"))
SHORT = Happening(answer(429, headers={"retry-after": "2"}))
LONG = Happening(answer(429, headers={"retry-after": "600"}))


def _all_faults() -> list[tuple[str, list[Happening], str]]:
    statuses = [
        (str(status), [Happening(answer(status))], "PROVIDER_REJECTED")
        for status in (301, 302, 400, 405, 409, 410, 415, 422)
    ]
    lost = [
        (f"{status} {times} times", [Happening(answer(status))] * times, says)
        for status in (408, 500, 502, 503, 504)
        for times, says in ((1, "OK"), (3, "OK"), (4, "PROVIDER_UNAVAILABLE"))
    ]
    return [
        ("works", [], "OK"),
        *statuses,
        *lost,
        ("401 once", [Happening(answer(401))], "OK"),
        ("401 twice", [Happening(answer(401))] * 2, "CONNECTION_EXPIRED"),
        ("429 short", [SHORT], "OK"),
        ("429 short twice", [SHORT] * 2, "PROVIDER_RATE_LIMITED"),
        ("429 long", [LONG], "PROVIDER_RATE_LIMITED"),
        ("lost 3 times", [LOST] * 3, "OK"),
        ("lost 4 times", [LOST] * 4, "PROVIDER_UNAVAILABLE"),
        ("hangs once", [HANG], "OK"),
        ("not sent twice", [NOT_SENT] * 2, "OK"),
        ("never sent", [NOT_SENT] * 3, "PROVIDER_UNAVAILABLE"),
        ("unreadable 3 times", [UNREADABLE] * 3, "OK"),
        ("always unreadable", [UNREADABLE] * 4, "PROVIDER_UNAVAILABLE"),
        ("flawed 3 times", [FLAWED] * 3, "OK"),
        ("always flawed", [FLAWED] * 4, "PROVIDER_UNAVAILABLE"),
        ("everything once", [LOST, NOT_SENT, SHORT, Happening(answer(401))], "OK"),
    ]


FAULTS = _all_faults()
SURVEYS = [
    (plans.OUTREACH_LINK, ("GET /sequences", "GET /sequenceSteps", "GET /templates")),
    (plans.APOLLO_MESSAGE, ("GET /emailer_campaigns", "GET /emailer_templates")),
    (plans.SALESLOFT_EMAIL, ("GET /cadences", "GET /steps", "GET /email_templates")),
]


@pytest.mark.parametrize("validate_only", [False, True])
@pytest.mark.parametrize(
    ("plan", "resource"),
    [(plan, resource) for plan, resources in SURVEYS for resource in resources],
    ids=lambda value: value.name if isinstance(value, PlanKind) else value,
)
@on_virtual_time
async def test_every_outcome(*, plan: PlanKind, resource: str, validate_only: bool) -> None:
    wrong = {}
    for name, script, says in FAULTS:
        world = World(plan.provider)
        world.http.script[resource] = list(script)
        request = world.request(plan.step, validate_only=validate_only)
        outcome = await world.create(request)
        writes = list(plan.writes.values()) if says == "OK" and not validate_only else []
        if (outcome.says, world.http.writes) != (says, writes):
            wrong[name] = (outcome.says, world.http.writes)
    print(f"{resource}: {len(FAULTS)} cases")  # noqa: T201 - for the reader
    assert wrong == {}


@pytest.mark.parametrize(
    ("plan", "resource", "status", "says"),
    [
        (plans.OUTREACH_LINK, "GET /sequences", 404, "SEQUENCE_NOT_FOUND"),
        (plans.OUTREACH_LINK, "GET /templates", 404, "TEMPLATE_NOT_FOUND"),
        (plans.APOLLO_MESSAGE, "GET /emailer_campaigns", 404, "SEQUENCE_NOT_FOUND"),
        (plans.APOLLO_MESSAGE, "GET /emailer_templates", 404, "TEMPLATE_NOT_FOUND"),
        (plans.SALESLOFT_EMAIL, "GET /cadences", 404, "SEQUENCE_NOT_FOUND"),
        (plans.SALESLOFT_EMAIL, "GET /email_templates", 404, "TEMPLATE_NOT_FOUND"),
        (plans.OUTREACH_LINK, "GET /sequences", 403, "PROVIDER_FORBIDDEN"),
        (plans.OUTREACH_LINK, "GET /sequenceSteps", 403, "PROVIDER_FORBIDDEN"),
        (plans.OUTREACH_LINK, "GET /templates", 403, "PROVIDER_FORBIDDEN"),
        (plans.APOLLO_MESSAGE, "GET /emailer_campaigns", 403, "PROVIDER_FORBIDDEN"),
        (plans.SALESLOFT_EMAIL, "GET /cadences", 403, "PROVIDER_FORBIDDEN"),
        (plans.SALESLOFT_EMAIL, "GET /steps", 403, "PROVIDER_FORBIDDEN"),
        (plans.SALESLOFT_EMAIL, "GET /email_templates", 403, "PROVIDER_FORBIDDEN"),
    ],
)
@on_virtual_time
async def test_what_is_missing_or_forbidden_is_named(
    plan: PlanKind, resource: str, status: int, says: str
) -> None:
    world = World(plan.provider)
    world.http.always[resource] = Happening(answer(status))
    outcome = await world.create(plan.step)
    assert (outcome.says, world.http.writes) == (says, [])
    assert "token-" not in outcome.error.message


LISTS = (plans.OUTREACH_CALL, plans.SALESLOFT_CALL, plans.APOLLO_CALL)
NO_LISTS = {
    "not found": answer(404),
    "an empty object": answer(200, {}),
    "null": answer(200, {"data": None, "emailer_steps": None}),
    "an object": answer(200, {"data": {}, "emailer_steps": {}}),
    "errors": answer(200, {"errors": [{"detail": "try again"}]}),
    "a step without an id": answer(200, {"data": [{}], "emailer_steps": [{}]}),
}


@pytest.mark.parametrize("no_list", NO_LISTS)
@pytest.mark.parametrize("plan", LISTS, ids=lambda plan: plan.name)
@on_virtual_time
async def test_a_list_that_cannot_be_read_is_not_an_empty_one(plan: PlanKind, no_list: str) -> None:
    """An old step that the list left out would look new later, and be taken for the one made."""
    world = World(plan.provider)
    old = await world.create(plan.step)
    if plan.provider == plans.SALESLOFT:
        world.vendor.sequence_id = "124"
    world.http.sent.clear()
    world.http.script[plans.LIST_OF_STEPS[plan.provider]] = [Happening(NO_LISTS[no_list])]
    world.http.script[plan.writes["step"]] = [Happening(plans.LOST)]
    outcome = await world.create(plan.step)
    assert outcome.step_id != old.step_id
    assert (outcome.says == "OK", world.http.writes) == (False, [])


@pytest.mark.parametrize("plan", plans.ALL, ids=lambda plan: plan.name)
@on_virtual_time
async def test_validate_only_writes_nothing_and_warns_alike(plan: PlanKind) -> None:
    world = World(plan.provider)
    planned = await world.create(world.request(plan.step, validate_only=True))
    assert (world.http.writes, world.vendor.step_ids(world.vendor.sequence_id)) == ([], set())
    resources = [f"{write.method} {write.path}" for write in planned.answer.planned]
    assert len(resources) == len(plan.writes)
    real = await world.create(plan.step)
    assert planned.answer.warnings == real.answer.warnings
    assert (planned.step_id, planned.record.provider_writes) == ("", 0)
