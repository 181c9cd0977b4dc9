"""Many requests at once: none is mixed up with another, and who waits too long is told so."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from sandbox.server import RunningSandbox
from service.bootstrap import opened_stores
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.step import ConnectionKey, ProviderName
from tests.provider_http.scripted_server import Peer, ScriptedServer, answer
from tests.service.conftest import Client, NewAccount, client_of, settings_for
from tests.service.grpc_failure import Failure, failure_of
from tests.service.step_messages import AUTO_EMAIL, CALL, TASK, step
from tests.service.vendor_account import SEQUENCES, TEMPLATES, VendorAccount
from tests.service.vendor_hold import STEP_WRITES, held, hold

VENDORS = ("outreach", "salesloft", "apollo")
READS_OF_AN_EMAIL = 3
"""Of Outreach: the sequence, its steps, and the template."""

VENDOR_SECONDS = 0.1
"""How long the vendor takes for every request."""


def sequence_ids(vendor: str, count: int) -> list[str]:
    """Return ids that count up from that of the seed."""
    first = SEQUENCES[vendor]
    if vendor == "apollo":
        return [f"{int(first, 16) + offset:024x}" for offset in range(count)]
    return [str(int(first) + offset) for offset in range(count)]


def seed(vendor: str, count: int) -> dict[str, Any]:
    first, template_id = SEQUENCES[vendor], TEMPLATES[vendor]
    is_numeric = vendor != "apollo"
    return {
        "sequences": [{"id": int(first) if is_numeric else first, "count": count}],
        "templates": [{"id": int(template_id) if is_numeric else template_id}],
    }


def sequence_of(vendor: str, shown: dict[str, Any]) -> str:
    """Return the sequence of a step as the vendor shows it."""
    match vendor:
        case "outreach":
            return str(shown["relationships"]["sequence"]["data"]["id"])
        case "salesloft":
            return str(shown["cadence"]["id"])
        case _:
            return str(shown["emailer_campaign_id"])


async def test_200_requests_over_three_vendors_that_take_their_time(
    client: Client, new_account: NewAccount
) -> None:
    """Two customers at each vendor, with sequences of the same ids."""
    counts = {"outreach": 34, "salesloft": 33, "apollo": 33}
    accounts = [
        await new_account(vendor, seed=seed(vendor, count))
        for vendor, count in counts.items()
        for _ in range(2)
    ]
    for account in accounts:
        await account.fault(kind="none", before_seconds=VENDOR_SECONDS, times=None)

    async def create(account: VendorAccount, sequence_id: str) -> tuple[str, str, str]:
        asked = step(AUTO_EMAIL, template_id=account.template_id)
        answer = await client.create(account, asked, sequence_id=sequence_id, timeout=60)
        return account.name, sequence_id, answer.id

    answers = await asyncio.gather(
        *(
            create(account, sequence_id)
            for account in accounts
            for sequence_id in sequence_ids(account.vendor, counts[account.vendor])
        )
    )

    assert len(answers) == 200
    made = [
        (account.name, sequence_of(account.vendor, shown), str(shown["id"]))
        for account in accounts
        for shown in await account.steps()
    ]
    assert sorted(answers) == sorted(made)
    for account in accounts:
        requests = await account.requests()
        assert {request["status"] // 100 for request in requests} <= {2, 4}  # team templates
        assert not any("oauth" in request["path"] for request in requests)


async def test_20_requests_for_one_sequence_go_one_at_a_time(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("outreach")
    await account.fault(kind="none", before_seconds=0.02, times=None)

    answers = await asyncio.gather(*(client.create(account, step(CALL)) for _ in range(20)))

    steps = await account.steps()
    assert sorted(answer.id for answer in answers) == sorted(str(each["id"]) for each in steps)
    assert sorted(each["attributes"]["order"] for each in steps) == list(range(1, 21))
    posts = await account.requests("POST")
    for first, second in pairwise(posts):
        assert first["answered_at"] <= second["at"]


async def test_20_requests_for_one_empty_cadence_make_one_step(
    client: Client, new_account: NewAccount
) -> None:
    """Only the first can be done: to the others the cadence is not empty."""
    account = await new_account("salesloft")
    before = await account.step_ids()

    reasons = await asyncio.gather(*(_reason(client, account) for _ in range(20)))

    assert sorted(reasons) == ["OK", *["SEQUENCE_NOT_EMPTY"] * 19]
    assert len(await account.step_ids()) == len(before) + 1
    assert len(await account.writes()) == 1


async def _reason(client: Client, account: VendorAccount, **call: Any) -> str:
    try:
        await client.create(account, step(TASK), **call)
    except grpc.aio.AioRpcError as error:
        return failure_of(error).reason
    return "OK"


async def _failure_while_held(
    client: Client, account: VendorAccount, hold_seconds: float, **call: Any
) -> tuple[Failure, str]:
    """Call while another call of the same sequence is being written; return also its step."""
    await hold(account, *STEP_WRITES[account.vendor], seconds=hold_seconds)
    first = asyncio.create_task(client.create(account, step(CALL)))
    await held(account)
    failure = await client.fail(account, step(CALL), **call)
    return failure, (await first).id


@pytest.mark.parametrize("vendor", VENDORS)
async def test_who_cannot_wait_for_the_sequence_is_told_that_it_is_busy(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)
    before = await account.step_ids()

    failure, step_id = await _failure_while_held(client, account, 1.5, timeout=2.5)

    assert (failure.code, failure.reason) == ("ABORTED", "SEQUENCE_BUSY")
    assert failure.retry_seconds is not None
    assert 0 < failure.retry_seconds <= 30
    assert failure.pushback_ms == f"{failure.retry_seconds * 1000:.0f}"
    assert await account.step_ids() == [*before, step_id]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_deadline_that_leaves_no_time_to_write(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)

    failure = await client.fail(account, step(CALL), timeout=1)

    assert (failure.code, failure.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_TOO_SHORT")
    assert failure.retry_seconds is None
    assert await account.writes() == []


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_deadline_that_the_survey_uses_up(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)
    await account.fault(kind="none", after_seconds=0.8, times=1)

    failure = await client.fail(account, step(CALL), timeout=2.6)

    assert (failure.code, failure.reason) == ("DEADLINE_EXCEEDED", "DEADLINE_TOO_SHORT")
    assert await account.writes() == []


async def test_a_service_that_has_enough_to_do_says_so_at_once(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path
) -> None:
    account = await new_account("outreach", connected=False, seed=seed("outreach", 10))
    await account.fault(kind="none", before_seconds=0.5, method="POST", times=None)
    settings = settings_for(
        sandbox.base_url,
        tmp_path / "engagement.db",
        ENGAGEMENT_REQUESTS_IN_FLIGHT_MAX="3",
        ENGAGEMENT_REQUESTS_IN_FLIGHT_PER_PROVIDER_MAX="3",
        ENGAGEMENT_REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX="3",
    )
    async with client_of(settings) as client:
        async with opened_stores(settings) as stores:
            await stores.connections.put(account.connection())

        async def call(sequence_id: str) -> Failure | None:
            try:
                await client.create(account, step(CALL), sequence_id=sequence_id)
            except grpc.aio.AioRpcError as error:
                return failure_of(error)
            return None

        ended = await asyncio.gather(*map(call, sequence_ids("outreach", 10)))
        again = await client.create(account, step(CALL))

    refused = [failure for failure in ended if failure is not None]
    assert len(refused) == 7
    assert {(each.code, each.reason) for each in refused} == {
        ("RESOURCE_EXHAUSTED", "SERVICE_OVERLOADED")
    }
    assert all(each.retry_seconds and each.pushback_ms for each in refused)
    assert len(await account.step_ids()) == 4
    assert again.id in await account.step_ids()


@pytest.mark.parametrize("count", [2, 50])
@pytest.mark.parametrize("vendor", ["outreach", "salesloft"])
async def test_an_ended_token_is_refreshed_once_however_many_meet_it(
    client: Client, new_account: NewAccount, vendor: str, count: int
) -> None:
    account = await new_account(vendor, seed=seed(vendor, count))
    await account.expire_access_tokens()
    await account.fault(
        kind="none", before_seconds=VENDOR_SECONDS, method="POST", path="/oauth/token"
    )

    answers = await asyncio.gather(
        *(
            client.create(account, step(CALL), sequence_id=sequence_id)
            for sequence_id in sequence_ids(vendor, count)
        )
    )

    assert sorted(answer.id for answer in answers) == sorted(await account.step_ids())
    token_requests = [each for each in await account.requests() if "oauth" in each["path"]]
    assert len(token_requests) == 1


async def test_the_reads_of_one_request_need_not_wait_for_one_another(tmp_path: Path) -> None:
    """Where a provider has one place, a request still has connections for all that it reads."""
    arrived: list[bytes] = []
    all_arrived = asyncio.Event()

    async def answer_once_all_have_come(peer: Peer) -> None:
        arrived.append(await peer.request())
        if len(arrived) == READS_OF_AN_EMAIL:
            all_arrived.set()
        await all_arrived.wait()
        peer.send(answer(404))

    async with ScriptedServer(answer_once_all_have_come) as vendor:
        settings = settings_for(
            vendor.url(""),
            tmp_path / "service.db",
            ENGAGEMENT_REQUESTS_IN_FLIGHT_PER_PROVIDER_MAX="1",
            ENGAGEMENT_REQUESTS_IN_FLIGHT_PER_CONNECTION_MAX="1",
        )
        key = ConnectionKey("a-customer", ProviderName("outreach"))
        async with opened_stores(settings) as stores:
            await stores.connections.put(Connection(key, ConnectionKind.BEARER, Secret("token")))
        async with client_of(settings) as client:
            with pytest.raises(grpc.aio.AioRpcError):
                await client.stub.CreateSequenceStep(
                    service_pb2.CreateSequenceStepRequest(
                        sequence_id="4711", step=step(AUTO_EMAIL, template_id="5")
                    ),
                    metadata=(("x-customer-id", "a-customer"), ("x-provider-name", "outreach")),
                    timeout=10,
                )
    assert all_arrived.is_set()
