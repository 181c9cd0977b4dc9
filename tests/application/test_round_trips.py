"""How many times a request waits for its provider: what need not wait for another call does not.

docs/performance.md says why each is needed.
"""

import asyncio

import pytest

from tests.application import plans
from tests.application.plans import PlanKind
from tests.application.scripted_http import Happening
from tests.application.virtual_time import on_virtual_time
from tests.application.world import World

ROUND_TRIP_SECONDS = 1.0

ROUND_TRIPS = (
    (plans.OUTREACH_CALL, 2),
    (plans.OUTREACH_LINK, 3),
    (plans.OUTREACH_CONTENT, 4),
    (plans.SALESLOFT_CALL, 3),
    (plans.SALESLOFT_EMAIL, 3),
    (plans.APOLLO_CALL, 2),
    (plans.APOLLO_MESSAGE, 3),
)


def test_every_plan_is_counted() -> None:
    assert {plan.name for plan, _ in ROUND_TRIPS} == {plan.name for plan in plans.ALL}


@pytest.mark.parametrize(
    ("plan", "round_trips"), ROUND_TRIPS, ids=[plan.name for plan, _ in ROUND_TRIPS]
)
@on_virtual_time
async def test_a_request_waits_for_its_provider(plan: PlanKind, round_trips: int) -> None:
    world = World(plan.provider)
    world.http.choose = lambda _: Happening(
        applied_after_seconds=0, takes_seconds=ROUND_TRIP_SECONDS
    )
    loop = asyncio.get_running_loop()
    began_seconds = loop.time()

    assert (await world.create(plan.step)).says == "OK"

    assert (loop.time() - began_seconds) // ROUND_TRIP_SECONDS == round_trips
