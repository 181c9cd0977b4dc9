"""Callers that leave, and a service that is stopped: before the first write, in it, and later."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from engagement.v1 import sequence_step_pb2 as step_pb2
from sandbox.server import RunningSandbox
from service.bootstrap import opened_stores, running_service
from service.transport.server import StopTimes
from tests.service.conftest import Client, NewAccount, client_at, settings_for
from tests.service.fault_outcome import messages_of
from tests.service.grpc_failure import failure_of
from tests.service.step_messages import AUTO_EMAIL, step
from tests.service.vendor_account import TEMPLATES, VendorAccount
from tests.service.vendor_hold import STEP_WRITES, eventually, held, hold

Logs = list[MutableMapping[str, Any]]

VENDORS = ("outreach", "salesloft", "apollo")
INLINE = step_pb2.Template(content=step_pb2.TemplateContent(subject="Hello", body_html="<p>Hi</p>"))
SURVEY_READS = {
    "outreach": "/sequences/",
    "salesloft": "/cadences/",
    "apollo": "/emailer_campaigns/",
}
LATER_WRITES = {
    "outreach": ("POST", "/sequenceTemplates$"),
    "apollo": ("PUT", "/emailer_touches/"),
}
HOLD_SECONDS = 0.3


def email(vendor: str) -> step_pb2.SequenceStep:
    return step(AUTO_EMAIL, template_id=TEMPLATES[vendor])


async def leave_when_held(
    client: Client, account: VendorAccount, asked: step_pb2.SequenceStep, **request: Any
) -> None:
    """Call, and cancel the call as soon as the vendor has the request that it holds."""
    calling = asyncio.create_task(client.create(account, asked, **request))
    await held(account)
    calling.cancel()
    with suppress(asyncio.CancelledError):
        await calling


async def told(logs: Logs, account: VendorAccount) -> Mapping[str, Any]:
    """Wait for the line that says what became of an operation without its caller."""

    def lines() -> list[MutableMapping[str, Any]]:
        return [
            line
            for line in logs
            if line["event"] == "operation_without_caller" and line["customer"] == account.name
        ]

    async def is_told() -> bool:
        return bool(lines())

    await eventually(is_told)
    (line,) = lines()
    return line


@pytest.mark.parametrize("vendor", VENDORS)
async def test_leaving_during_the_survey_stops_the_operation(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)
    before = await account.state()
    await hold(account, "GET", SURVEY_READS[vendor], seconds=HOLD_SECONDS)

    with capture_logs() as logs:
        await leave_when_held(client, account, email(vendor))
        line = await told(logs, account)

    assert line["outcome"] == "CANCELLED"
    assert await account.writes() == []
    assert await account.state() == before


async def test_a_deadline_that_passes_during_the_survey_stops_the_operation(
    client: Client, new_account: NewAccount
) -> None:
    async def wait_too_short(vendor: str) -> None:
        account = await new_account(vendor)
        await hold(account, "GET", SURVEY_READS[vendor], seconds=30)

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.create(account, email(vendor), timeout=2.5)

        async def is_over() -> bool:
            return any(line["event"] == "rpc" and line["customer"] == account.name for line in logs)

        await eventually(is_over)
        # Whoever is first at that moment: the library, or the service that has given up the read.
        assert failure_of(caught.value).code in {"DEADLINE_EXCEEDED", "UNAVAILABLE"}
        assert await account.writes() == []

    with capture_logs() as logs:
        await asyncio.gather(*map(wait_too_short, VENDORS))


@pytest.mark.parametrize("vendor", VENDORS)
async def test_leaving_in_the_middle_of_the_first_write_does_not_stop_it(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)
    before = await account.step_ids()
    await hold(account, *STEP_WRITES[vendor], seconds=HOLD_SECONDS)

    with capture_logs() as logs:
        await leave_when_held(client, account, email(vendor))
        line = await told(logs, account)

    assert line["outcome"] == "OK"
    assert line["provider"] == vendor
    assert line["sequence"] == account.sequence_id
    assert await account.step_ids() == [*before, line["step_id"]]
    await _check_is_whole(account, line["step_id"])


async def test_a_deadline_that_passes_in_the_middle_of_the_first_write_does_not_stop_it(
    client: Client, new_account: NewAccount
) -> None:
    async def wait_too_short(vendor: str) -> None:
        account = await new_account(vendor)
        before = await account.step_ids()
        await hold(account, *STEP_WRITES[vendor], seconds=3.5)

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.create(account, email(vendor), timeout=3)
        line = await told(logs, account)

        failure = failure_of(caught.value)
        assert (failure.code, failure.reason) == ("DEADLINE_EXCEEDED", "")
        assert line["outcome"] == "OK"
        assert await account.step_ids() == [*before, line["step_id"]]
        await _check_is_whole(account, line["step_id"])

    with capture_logs() as logs:
        await asyncio.gather(*map(wait_too_short, VENDORS))


@pytest.mark.parametrize("vendor", LATER_WRITES)
async def test_leaving_between_the_writes_does_not_stop_them(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)
    await hold(account, *LATER_WRITES[vendor], seconds=HOLD_SECONDS)

    with capture_logs() as logs:
        await leave_when_held(client, account, email(vendor))
        line = await told(logs, account)

    assert (line["outcome"], [line["step_id"]]) == ("OK", await account.step_ids())
    await _check_is_whole(account, line["step_id"])


async def test_leaving_while_the_template_is_made_leaves_nothing_half_done(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("outreach")
    await hold(account, "POST", "/templates$", seconds=HOLD_SECONDS)

    with capture_logs() as logs:
        asked = step_pb2.SequenceStep(type=AUTO_EMAIL, template=INLINE)
        await leave_when_held(client, account, asked)
        line = await told(logs, account)

    assert (line["outcome"], [line["step_id"]]) == ("OK", await account.step_ids())
    await _check_is_whole(account, line["step_id"])


@dataclass(frozen=True)
class Mishap:
    """What comes of the write whose caller has left."""

    fault: dict[str, Any]
    outcome: str
    steps: int


MISHAPS = {
    "lost": Mishap({"kind": "close", "when": "after"}, "OK", 1),
    "without an id": Mishap({"kind": "no_id"}, "OK", 1),
    "refused": Mishap({"kind": "status", "status": 422}, "PROVIDER_REJECTED", 0),
}


@pytest.mark.parametrize("name", MISHAPS)
@pytest.mark.parametrize("vendor", VENDORS)
async def test_what_goes_wrong_without_the_caller_is_told_in_the_log(
    client: Client, new_account: NewAccount, vendor: str, name: str
) -> None:
    mishap = MISHAPS[name]
    account = await new_account(vendor)
    before = await account.step_ids()
    await hold(account, *STEP_WRITES[vendor], seconds=HOLD_SECONDS, **mishap.fault)

    with capture_logs() as logs:
        await leave_when_held(client, account, email(vendor))
        line = await told(logs, account)

    assert line["outcome"] == mishap.outcome
    assert await account.step_ids() == [*before, *[line["step_id"]] * mishap.steps]


async def test_a_step_that_is_left_incomplete_without_its_caller_is_named(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("outreach")
    refusal = MISHAPS["refused"].fault
    await hold(account, *LATER_WRITES["outreach"], seconds=HOLD_SECONDS, **refusal)

    with capture_logs() as logs:
        await leave_when_held(client, account, email("outreach"))
        line = await told(logs, account)

    assert (line["outcome"], [line["step_id"]]) == ("STEP_INCOMPLETE", await account.step_ids())


@pytest.mark.parametrize("vendor", VENDORS)
async def test_who_leaves_the_queue_never_writes(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account = await new_account(vendor)
    before = await account.step_ids()
    await hold(account, *STEP_WRITES[vendor], seconds=HOLD_SECONDS)
    first = asyncio.create_task(client.create(account, email(vendor)))
    await held(account)

    with capture_logs() as logs:
        second = asyncio.create_task(client.create(account, email(vendor)))
        # Calls are taken up in the order in which they come: by then the second is in the queue.
        await client.create(account, email(vendor), validate_only=True)
        second.cancel()
        line = await told(logs, account)
    made = await first

    assert line["outcome"] == "CANCELLED"
    assert await account.step_ids() == [*before, made.id]
    assert len(await account.writes()) == (1 if vendor == "salesloft" else 2)


@pytest.mark.parametrize("vendor", VENDORS)
async def test_stopping_waits_for_the_call_within_its_grace(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path, vendor: str
) -> None:
    account = await new_account(vendor, connected=False)
    before = await account.step_ids()
    await hold(account, *STEP_WRITES[vendor], seconds=HOLD_SECONDS)

    async with stoppable(sandbox, account, tmp_path) as (client, stop):
        calling = asyncio.create_task(client.create(account, email(vendor)))
        await held(account)
        await stop(StopTimes(0, grace_seconds=20, finish_seconds=20))
        answer = await calling

    assert await account.step_ids() == [*before, answer.id]


@pytest.mark.parametrize("vendor", VENDORS)
async def test_stopping_finishes_the_write_of_a_call_that_it_cuts(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path, vendor: str
) -> None:
    account = await new_account(vendor, connected=False)
    before = await account.step_ids()
    await hold(account, *STEP_WRITES[vendor], seconds=HOLD_SECONDS)

    with capture_logs() as logs:
        async with stoppable(sandbox, account, tmp_path) as (client, stop):
            calling = asyncio.create_task(client.create(account, email(vendor)))
            await held(account)
            await stop(StopTimes(0, grace_seconds=0.1, finish_seconds=20))
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await calling

    assert failure_of(caught.value).reason == "", "nobody may promise anything about this step"
    line = await told(logs, account)
    assert line["outcome"] == "OK"
    assert await account.step_ids() == [*before, line["step_id"]]
    await _check_is_whole(account, line["step_id"])


async def test_stopping_cuts_off_what_takes_too_long_and_says_so(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path
) -> None:
    account = await new_account("outreach", connected=False)
    await hold(account, *STEP_WRITES["outreach"], seconds=3)

    with capture_logs() as logs:
        async with stoppable(sandbox, account, tmp_path) as (client, stop):
            calling = asyncio.create_task(client.create(account, email("outreach")))
            await held(account)
            await stop(StopTimes(0, grace_seconds=0.1, finish_seconds=0.1))
            with pytest.raises(grpc.aio.AioRpcError):
                await calling

    assert (await told(logs, account))["outcome"] == "OUTCOME_UNKNOWN"
    assert [line["count"] for line in logs if line["event"] == "operations_cut_off"] == [1]


@asynccontextmanager
async def stoppable(
    sandbox: RunningSandbox, account: VendorAccount, folder: Path
) -> AsyncIterator[tuple[Client, Callable[[StopTimes], Awaitable[None]]]]:
    """Run a service that the test stops itself."""
    settings = settings_for(sandbox.base_url, folder / "engagement.db")
    async with running_service(settings) as service:
        async with opened_stores(settings) as stores:
            await stores.connections.put(account.connection())

        async def stop(times: StopTimes) -> None:
            await service.server.stop(times, service.tasks.drain, asyncio.Event())

        async with client_at(service.port, settings) as client:
            yield client, stop


async def _check_is_whole(account: VendorAccount, step_id: str) -> None:
    messages = messages_of(account.vendor, await account.state(), step_id)
    assert messages == [("Hello", "<p>Hi</p>")]
