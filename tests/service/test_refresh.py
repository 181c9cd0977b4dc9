"""Access tokens that have ended, and token endpoints at their worst."""

import asyncio
from typing import Any

import pytest

from service.bootstrap import opened_stores
from service.domain.connection import Connection
from tests.service.conftest import Client, NewAccount
from tests.service.grpc_failure import Failure
from tests.service.step_messages import CALL, step
from tests.service.vendor_account import VendorAccount

OAUTH_VENDORS = ("outreach", "salesloft")
TOKEN = {"method": "POST", "path": "/oauth/token"}
PAUSE_SECONDS = 5.0
"""How long the service leaves a token endpoint alone that has just failed."""

SEQUENCES = {
    "outreach": [{"id": 4711, "count": 3}],
    "salesloft": [{"id": 123, "count": 3}],
}


async def expired(new_account: NewAccount, vendor: str, **options: Any) -> VendorAccount:
    """Make an account whose access token has just ended."""
    account = await new_account(vendor, seed={"sequences": SEQUENCES[vendor]}, options=options)
    await account.expire_access_tokens()
    return account


async def refreshes(account: VendorAccount) -> list[dict[str, Any]]:
    return [request for request in await account.requests() if "oauth" in request["path"]]


async def stored(client: Client, account: VendorAccount) -> Connection:
    async with opened_stores(client.settings) as stores:
        found = await stores.connections.read(account.key)
    assert found is not None
    return found.connection


@pytest.mark.parametrize("vendor", OAUTH_VENDORS)
async def test_an_ended_token_is_refreshed_once_and_the_new_one_kept(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await expired(new_account, vendor)

    first = await client.create(account, step(CALL))
    second = await client.create(account, step(CALL), sequence_id=f"{int(account.sequence_id) + 1}")

    assert await account.step_ids() == [first.id, second.id]
    assert len(await refreshes(account)) == 1
    connection, now = await stored(client, account), await account.credentials_now()
    assert connection.credential.reveal() == now["access_token"]
    assert connection.refresh_token is not None
    assert connection.refresh_token.reveal() == now["refresh_token"]


async def test_the_old_refresh_token_stays_when_there_is_no_new_one(
    client: Client, new_account: NewAccount
) -> None:
    account = await expired(new_account, "outreach", refresh_answer="none")

    await client.create(account, step(CALL))
    await account.expire_access_tokens()
    await client.create(account, step(CALL), sequence_id="4712")

    assert len(await account.step_ids()) == 2
    assert len(await refreshes(account)) == 2


@pytest.mark.parametrize("vendor", OAUTH_VENDORS)
async def test_a_revoked_connection_is_not_asked_about_again(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await expired(new_account, vendor)
    await account.revoke_refresh_token()

    failures = [await client.fail(account, step(CALL)) for _ in range(3)]

    assert {(each.code, each.reason, each.retry_seconds) for each in failures} == {
        ("FAILED_PRECONDITION", "CONNECTION_EXPIRED", None)
    }
    assert len(await refreshes(account)) == 1
    assert await account.step_ids() == []


async def test_an_api_key_that_is_refused_cannot_be_refreshed(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("apollo")
    await account.expire_access_tokens()

    failure = await client.fail(account, step(CALL))

    assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "CONNECTION_EXPIRED")
    assert await account.step_ids() == []


UNAVAILABLE = ("UNAVAILABLE", "PROVIDER_UNAVAILABLE")
LIMITED = ("RESOURCE_EXHAUSTED", "PROVIDER_RATE_LIMITED")
REJECTED = ("FAILED_PRECONDITION", "PROVIDER_REJECTED")
WRONG_CLIENT = {"error": "invalid_client", "error_description": "Client authentication failed."}
NOT_MINTED: dict[str, tuple[dict[str, Any], tuple[str, str]]] = {
    "500": ({"kind": "status", "status": 500}, UNAVAILABLE),
    "502": ({"kind": "status", "status": 502}, UNAVAILABLE),
    "503": ({"kind": "status", "status": 503}, UNAVAILABLE),
    "close": ({"kind": "close"}, UNAVAILABLE),
    "reset": ({"kind": "reset"}, UNAVAILABLE),
    "garbage": ({"kind": "garbage"}, UNAVAILABLE),
    "429": ({"kind": "rate_limited", "retry_after_seconds": PAUSE_SECONDS}, LIMITED),
    "no token": ({"kind": "status", "status": 200, "body": {"token_type": "Bearer"}}, UNAVAILABLE),
    "no refresh token that could be sent": (
        {"kind": "status", "status": 200, "body": {"access_token": "a", "refresh_token": "a\nb"}},
        UNAVAILABLE,
    ),
    "wrong client": ({"kind": "status", "status": 401, "body": WRONG_CLIENT}, REJECTED),
    "redirect": ({"kind": "redirect", "location": "/outreach/elsewhere"}, REJECTED),
}


async def test_a_token_endpoint_that_fails_is_asked_once_and_again_after_a_pause(
    client: Client, new_account: NewAccount
) -> None:
    """Side by side, for the pause is real."""

    async def fail_then_work(vendor: str, fault: dict[str, Any], expected: tuple[str, str]) -> None:
        account = await expired(new_account, vendor)
        await account.fault(**TOKEN, **fault)
        failures = [await client.fail(account, step(CALL)) for _ in range(2)]
        assert [(each.code, each.reason) for each in failures] == [expected] * 2
        _check_retry_info(failures)
        assert len(await refreshes(account)) == 1
        assert await account.writes() == []

        await asyncio.sleep(PAUSE_SECONDS)

        answer = await client.create(account, step(CALL))
        assert await account.step_ids() == [answer.id]
        assert len(await refreshes(account)) == 2

    async with asyncio.TaskGroup() as group:
        for vendor in OAUTH_VENDORS:
            for fault, expected in NOT_MINTED.values():
                group.create_task(fail_then_work(vendor, fault, expected))


def _check_retry_info(failures: list[Failure]) -> None:
    for failure in failures:
        if failure.reason == "PROVIDER_REJECTED":
            assert failure.retry_seconds is None
        else:
            assert failure.retry_seconds is not None
            assert 0 < failure.retry_seconds <= PAUSE_SECONDS


MINTED: dict[str, dict[str, Any]] = {
    "close": {"kind": "close", "when": "after"},
    "500": {"kind": "status", "status": 500, "when": "after"},
    "reset_mid_body": {"kind": "reset_mid_body"},
    "unreadable_json": {"kind": "unreadable_json"},
    "wrong_content_type": {"kind": "wrong_content_type"},
    "huge_body": {"kind": "huge_body"},
    "gzip": {"kind": "huge_body", "gzip": True},
    "deep_json": {"kind": "deep_json"},
    "huge_header": {"kind": "huge_header"},
}


async def test_new_tokens_that_were_lost_end_the_connection_and_say_so(
    client: Client, new_account: NewAccount
) -> None:
    """The refresh token is used up, and nobody has the one that came in its place."""

    async def lose(vendor: str, fault: dict[str, Any]) -> None:
        account = await expired(new_account, vendor)
        await account.fault(**TOKEN, **fault)
        lost = await client.fail(account, step(CALL))
        assert (lost.code, lost.reason) == UNAVAILABLE
        await asyncio.sleep(PAUSE_SECONDS)
        ended = await client.fail(account, step(CALL))
        assert (ended.code, ended.reason) == ("FAILED_PRECONDITION", "CONNECTION_EXPIRED")
        assert await account.writes() == []

    async with asyncio.TaskGroup() as group:
        for vendor in OAUTH_VENDORS:
            for fault in MINTED.values():
                group.create_task(lose(vendor, fault))


async def test_tokens_that_can_be_minted_only_so_often(
    client: Client, new_account: NewAccount
) -> None:
    account = await expired(new_account, "outreach", mint_throttle_seconds=60)
    await client.create(account, step(CALL))
    await account.expire_access_tokens()

    failure = await client.fail(account, step(CALL), sequence_id="4712")

    assert (failure.code, failure.reason) == LIMITED
    assert failure.retry_seconds == pytest.approx(60, abs=5)
    assert len(await account.step_ids()) == 1


@pytest.mark.parametrize("vendor", OAUTH_VENDORS)
@pytest.mark.parametrize("times", [1, None])
async def test_a_token_that_ends_between_survey_and_write(
    client: Client, new_account: NewAccount, vendor: str, times: int | None
) -> None:
    account = await new_account(vendor)
    before = await account.step_ids()
    path = {"outreach": "/sequenceSteps$", "salesloft": "/cadence_imports$"}[vendor]
    await account.fault(kind="status", status=401, method="POST", path=path, times=times)

    if times is None:
        failure = await client.fail(account, step(CALL))
        assert (failure.code, failure.reason) == ("FAILED_PRECONDITION", "CONNECTION_EXPIRED")
        assert await account.step_ids() == before
    else:
        answer = await client.create(account, step(CALL))
        assert await account.step_ids() == [*before, answer.id]
    assert len(await refreshes(account)) == 1
    assert len(await account.writes()) == 2
