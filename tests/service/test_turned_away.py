"""Vendors that limit requests: who has to wait for it, how long, and who does not."""

import asyncio
from typing import Any

import pytest

from tests.service.conftest import Client, NewAccount
from tests.service.step_messages import CALL, step
from tests.service.vendor_account import VendorAccount

VENDORS = ("outreach", "salesloft", "apollo")
FAULTS: dict[str, dict[str, Any]] = {
    "rate_limited": {"kind": "rate_limited", "retry_after_seconds": 20},
    "maintenance": {"kind": "maintenance", "retry_after_seconds": 20},
}
EXPECTED = {
    "rate_limited": ("RESOURCE_EXHAUSTED", "PROVIDER_RATE_LIMITED"),
    "maintenance": ("UNAVAILABLE", "PROVIDER_UNAVAILABLE"),
}


@pytest.mark.parametrize(
    ("vendor", "fault"),
    [*((vendor, "rate_limited") for vendor in VENDORS), ("outreach", "maintenance")],
)
async def test_the_next_request_of_the_same_connection_is_not_sent(
    client: Client, new_account: NewAccount, vendor: str, fault: str
) -> None:
    account, other = await new_account(vendor), await new_account(vendor)
    await account.fault(**FAULTS[fault])
    first = await client.fail(account, step(CALL))
    sent = len(await account.requests())

    second = await client.fail(account, step(CALL))
    await client.create(other, step(CALL))

    assert (first.code, first.reason) == EXPECTED[fault]
    assert (second.code, second.reason) == EXPECTED[fault]
    assert first.retry_seconds is not None
    assert second.retry_seconds is not None
    assert second.retry_seconds <= first.retry_seconds == pytest.approx(20, abs=1)
    assert len(await account.requests()) == sent
    assert await account.writes() == []


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_limit_that_passes_soon_is_waited_for(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    """The vendor's own limit: fewer requests in 2 seconds than the call needs."""
    options: dict[str, Any] = {"rate_limit": {"limit": 1, "window_seconds": 2}}
    if vendor == "salesloft":
        options["retry_after"] = "seconds"
    if vendor != "apollo":  # It counts for each endpoint by itself.
        options["rate_limit"]["limit"] = 2
    account = await new_account(vendor, options=options)
    before = await account.step_ids()

    answer = await client.create(account, step(CALL))

    assert await account.step_ids() == [*before, answer.id]
    assert any(request["status"] == 429 for request in await account.requests()) or (
        vendor == "apollo"
    )
    assert len([write for write in await account.writes() if write["applied"]]) == 1


@pytest.mark.parametrize("vendor", VENDORS)
async def test_who_is_turned_away_twice_is_told_so(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)
    before = await account.step_ids()
    await account.fault(kind="rate_limited", method="POST", times=2)

    failure = await client.fail(account, step(CALL))

    assert (failure.code, failure.reason) == EXPECTED["rate_limited"]
    assert failure.retry_seconds == pytest.approx(1, abs=0.5)
    assert len(await account.writes()) == 2
    assert await account.step_ids() == before


async def test_many_who_are_turned_away_for_a_moment_all_get_through(
    client: Client, new_account: NewAccount
) -> None:
    """They wait together: what one was told holds for all requests of its connection."""
    account = await new_account("outreach", seed={"sequences": [{"id": 1, "count": 20}]})
    await account.fault(kind="rate_limited", retry_after_seconds=2)

    async def create(account: VendorAccount, sequence_id: int) -> str:
        answer = await client.create(account, step(CALL), sequence_id=str(sequence_id))
        return answer.id

    ids = await asyncio.gather(*(create(account, number) for number in range(1, 21)))

    assert sorted(ids) == sorted(await account.step_ids())
