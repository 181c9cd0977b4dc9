"""What a provider asked a connection to wait, remembered for its other requests."""

import asyncio

import pytest

from service.application.rate_limits import CONNECTIONS_MAX, RateLimits
from service.domain.provider_call import ProviderAnswer, ProviderRequest
from service.domain.step import ConnectionKey, ProviderName
from tests.application import plans
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import VirtualClock, on_virtual_time
from tests.application.world import World

ACME = ConnectionKey("acme", ProviderName("outreach"))
OTHER_CUSTOMER = ConnectionKey("bolt", ProviderName("outreach"))
OTHER_PROVIDER = ConnectionKey("acme", ProviderName("apollo"))


def _wait_seconds(limits: RateLimits, key: ConnectionKey) -> float:
    wait = limits.wait(key)
    return 0.0 if wait is None else wait.seconds


def _turned_away(seconds: int) -> Happening:
    return Happening(answer(429, headers={"retry-after": str(seconds)}))


@on_virtual_time
async def test_a_wait_is_remembered_until_it_is_over() -> None:
    limits = RateLimits(VirtualClock())
    assert _wait_seconds(limits, ACME) == 0
    limits.turned_away(ACME, 10)
    await asyncio.sleep(4)
    assert _wait_seconds(limits, ACME) == 6
    await asyncio.sleep(6)
    assert _wait_seconds(limits, ACME) == 0


@on_virtual_time
async def test_another_connection_does_not_wait() -> None:
    limits = RateLimits(VirtualClock())
    limits.turned_away(ACME, 10)
    assert [_wait_seconds(limits, key) for key in (OTHER_CUSTOMER, OTHER_PROVIDER)] == [0, 0]


@on_virtual_time
async def test_a_long_wait_is_asked_about_again_after_a_minute() -> None:
    limits = RateLimits(VirtualClock())
    limits.turned_away(ACME, 86_400)
    assert _wait_seconds(limits, ACME) == 60


@on_virtual_time
async def test_the_longest_wait_counts() -> None:
    limits = RateLimits(VirtualClock())
    limits.turned_away(ACME, 5)
    await asyncio.sleep(1)
    limits.turned_away(ACME, 20)
    limits.turned_away(ACME, 0)
    assert _wait_seconds(limits, ACME) == 20


@on_virtual_time
async def test_maintenance_is_remembered_as_what_it_is() -> None:
    body = b'{"errors": [{"id": "scheduledServerMaintenance"}]}'
    maintenance = ProviderAnswer(503, {"retry-after": "600"}, body)
    world = World(plans.OUTREACH)
    world.http.script["GET /sequences"] = [Happening(maintenance)]
    first = await world.create(plans.CALL)
    second = await world.create(plans.CALL)
    assert (first.says, second.says) == ("PROVIDER_UNAVAILABLE", "PROVIDER_UNAVAILABLE")
    assert "maintenance" in second.error.message


@on_virtual_time
async def test_the_connection_turned_away_longest_ago_is_forgotten_first() -> None:
    limits = RateLimits(VirtualClock())
    keys = [
        ConnectionKey(f"customer-{number}", ProviderName("outreach"))
        for number in range(CONNECTIONS_MAX + 1)
    ]
    for key in keys[:-1]:
        limits.turned_away(key, 50)
    limits.turned_away(keys[0], 50)  # Turned away again: now the second is the oldest.
    limits.turned_away(keys[-1], 50)
    forgotten = [key for key in keys if _wait_seconds(limits, key) == 0]
    assert forgotten == [keys[1]]


@pytest.mark.parametrize("seconds", [0.5, 4.9, 5.0])
@on_virtual_time
async def test_a_short_wait_is_waited_for(seconds: float) -> None:
    world = World(plans.OUTREACH)
    world.rate_limits.turned_away(world.key(), seconds)
    outcome = await world.create(plans.CALL)
    assert outcome.says == "OK"
    assert world.http.sent[0].at_seconds == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize(("seconds", "deadline_seconds"), [(5.1, None), (60, None), (4, 3)])
@on_virtual_time
async def test_a_long_wait_is_given_back(seconds: float, deadline_seconds: float | None) -> None:
    world = World(plans.OUTREACH)
    world.rate_limits.turned_away(world.key(), seconds)
    outcome = await world.create(plans.CALL, deadline_seconds=deadline_seconds)
    assert (outcome.says, world.http.sent) == ("PROVIDER_RATE_LIMITED", [])
    assert outcome.error.retry_after_seconds == pytest.approx(seconds, abs=0.01)


@on_virtual_time
async def test_one_request_turned_away_spares_the_others() -> None:
    world = World(plans.OUTREACH)
    world.http.script["GET /sequences"] = [_turned_away(30)]
    first = await world.create(plans.CALL)
    sent = len(world.http.sent)
    second = await world.create(world.request(plans.CALL, sequence_id="4712"))
    assert (first.says, second.says) == ("PROVIDER_RATE_LIMITED", "PROVIDER_RATE_LIMITED")
    assert len(world.http.sent) == sent
    stranger = await world.create(plans.CALL, customer="bolt")
    assert stranger.says == "OK"


@on_virtual_time
async def test_a_write_turned_away_twice_is_given_back_with_the_wait() -> None:
    world = World(plans.OUTREACH)
    world.http.script["POST /sequenceSteps"] = [_turned_away(2), _turned_away(3)]
    outcome = await world.create(plans.CALL)
    assert (outcome.says, outcome.error.retry_after_seconds) == ("PROVIDER_RATE_LIMITED", 3)
    assert world.http.writes == ["POST /sequenceSteps"] * 2


@on_virtual_time
async def test_the_first_write_does_not_wait_until_its_caller_has_no_time_left() -> None:
    """Another request of the connection was turned away meanwhile: 4 of the caller's 5 s go by."""
    world = World(plans.OUTREACH)

    def turn_away(_: ProviderRequest) -> None:
        world.rate_limits.turned_away(world.key(), 4)

    last_read = Happening(applied_after_seconds=0, meanwhile=turn_away)
    world.http.script["GET /sequenceSteps"] = [last_read]
    outcome = await world.create(plans.CALL, deadline_seconds=5)
    assert world.http.writes == []
    assert outcome.says in {"PROVIDER_RATE_LIMITED", "DEADLINE_TOO_SHORT"}


@on_virtual_time
async def test_the_first_write_is_not_repeated_when_its_caller_has_no_time_left() -> None:
    """It was turned away, so nothing was written yet: the rule of the first write still holds."""
    world = World(plans.OUTREACH)
    world.http.script["POST /sequenceSteps"] = [_turned_away(4)]
    outcome = await world.create(plans.CALL, deadline_seconds=5)
    assert world.http.writes == ["POST /sequenceSteps"]
    assert outcome.says in {"PROVIDER_RATE_LIMITED", "DEADLINE_TOO_SHORT"}
