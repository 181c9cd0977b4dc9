"""Tokens that the provider refuses, and that none of them is shown to anybody."""

import json
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from service.domain.errors import Reason, ServiceError
from service.domain.provider_call import ProviderAnswer
from tests.application import plans
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import World

UNAUTHENTICATED = Happening(answer(401))
STEP, LINK = "POST /sequenceSteps", "POST /sequenceTemplates"


def _tokens(world: World) -> list[str]:
    return [sent.request.headers["authorization"] for sent in world.http.sent]


@on_virtual_time
async def test_parallel_reads_ask_for_the_same_token_and_go_on() -> None:
    """Three reads at once are refused; that they cost one refresh is the store's business."""
    world = World(plans.OUTREACH)
    for resource in ("GET /sequences", "GET /sequenceSteps", "GET /templates"):
        world.http.script[resource] = [UNAUTHENTICATED]
    outcome = await world.create(plans.OUTREACH_LINK.step)
    assert outcome.says == "OK"
    assert world.connections.refused == ["token-1"] * 3
    assert _tokens(world) == ["Bearer token-1"] * 3 + ["Bearer token-2"] * 5


@on_virtual_time
async def test_a_read_refused_late_does_not_lose_the_newer_token() -> None:
    """A slow read with the old token is refused when another has long got the new one."""
    world = World(plans.OUTREACH)
    world.http.script["GET /sequences"] = [UNAUTHENTICATED]
    world.http.script["GET /templates"] = [replace(UNAUTHENTICATED, takes_seconds=5)]
    outcome = await world.create(plans.OUTREACH_LINK.step)
    assert outcome.says == "OK"
    assert world.connections.refused == ["token-1", "token-1"]
    assert set(_tokens(world)[3:]) == {"Bearer token-2"}


@pytest.mark.parametrize("reason", [Reason.CONNECTION_EXPIRED, Reason.PROVIDER_UNAVAILABLE])
@on_virtual_time
async def test_a_refresh_that_fails_before_the_step_writes_nothing(reason: Reason) -> None:
    world = World(plans.OUTREACH)
    world.connections.failure = ServiceError(reason, "The token endpoint says no.")
    world.http.script[STEP] = [UNAUTHENTICATED]
    outcome = await world.create(plans.OUTREACH_LINK.step)
    assert (outcome.says, world.vendor.steps) == (reason.value, {})


@on_virtual_time
async def test_a_refresh_that_fails_after_the_step_says_that_it_is_incomplete() -> None:
    world = World(plans.OUTREACH)
    world.connections.failure = ServiceError(Reason.CONNECTION_EXPIRED, "Refused for good.")
    world.http.script[LINK] = [UNAUTHENTICATED]
    outcome = await world.create(plans.OUTREACH_LINK.step)
    assert (outcome.says, set(world.vendor.steps)) == ("STEP_INCOMPLETE", {outcome.step_id})
    assert outcome.error.metadata["failedCall"] == "POST /sequenceTemplates"


@on_virtual_time
async def test_a_slow_refresh_does_not_cost_the_step_its_link() -> None:
    world = World(plans.OUTREACH)
    world.connections.refresh_seconds = 100
    world.http.script[LINK] = [UNAUTHENTICATED]
    outcome = await world.create(plans.OUTREACH_LINK.step)
    assert outcome.says == "OK"


@pytest.mark.parametrize("length_before", [0, 100, 250, 295, 299, 320])
@on_virtual_time
async def test_a_token_that_the_vendor_repeats_is_not_passed_on(length_before: int) -> None:
    """Not even a part of it, where the vendor's sentence is cut to its 300 characters."""
    world = World(plans.OUTREACH)
    token = "token-1"
    sentence = "x" * length_before + f" {token} is not allowed here"
    body = json.dumps({"errors": [{"detail": sentence}]}).encode()
    world.http.script[STEP] = [Happening(ProviderAnswer(422, {}, body))]
    with capture_logs() as logs:
        outcome = await world.create(plans.CALL)
    shown = f"{outcome.error} {outcome.error.violations} {outcome.error.metadata} {logs}"
    assert outcome.says == "PROVIDER_REJECTED"
    assert "tok" not in shown


@on_virtual_time
async def test_a_connection_that_is_missing_costs_nothing() -> None:
    world = World(plans.OUTREACH)
    missing = ServiceError(Reason.CONNECTION_MISSING, "There is none.")
    world.connections.missing = missing
    outcome = await world.create(plans.CALL)
    assert (outcome.end, world.http.sent, world.admission._turns) == (missing, [], {})
