"""Calls that come again with the same `request_id`, from the caller's side, whatever came first."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from engagement.v1 import sequence_step_pb2 as step_pb2
from sandbox.server import RunningSandbox
from service.application import execution
from service.bootstrap import opened_stores
from tests.service.conftest import Client, NewAccount, client_of, settings_for
from tests.service.fault_outcome import messages_of
from tests.service.step_messages import AUTO_EMAIL, CALL, TASK, step
from tests.service.vendor_account import TEMPLATES, VendorAccount
from tests.service.vendor_hold import STEP_WRITES, held, hold
from tests.service.whole_call import Told, whole_call

VENDORS = ("outreach", "salesloft", "apollo")
SURVEY_READS = {
    "outreach": "/sequences/",
    "salesloft": "/cadences/",
    "apollo": "/emailer_campaigns/",
}
SETTLE_SECONDS = 1.5
REFUSED: dict[str, Any] = {"kind": "status", "status": 422, "body": {}}


def new_id() -> str:
    return str(uuid.uuid4())


def email(vendor: str) -> step_pb2.SequenceStep:
    return step(AUTO_EMAIL, template_id=TEMPLATES[vendor])


async def step_writes(account: VendorAccount) -> list[dict[str, Any]]:
    """Return the requests that make a step, as the vendor's log has them."""
    path = STEP_WRITES[account.vendor][1].removesuffix("$")
    return [each for each in await account.requests("POST") if each["path"].endswith(path)]


@pytest.fixture(scope="module")
async def quick(
    sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    """A client of a service that is told that vendors settle writes soon."""
    vendors = ("OUTREACH", "SALESLOFT", "APOLLO")
    settings = settings_for(
        sandbox.base_url,
        tmp_path_factory.mktemp("quick") / "engagement.db",
        **{f"ENGAGEMENT_{vendor}_SETTLE_SECONDS": str(SETTLE_SECONDS) for vendor in vendors},
    )
    async with client_of(settings) as running:
        yield running


async def connected(client: Client, account: VendorAccount) -> VendorAccount:
    """Put the account's connection into the store of another service than the shared one."""
    async with opened_stores(client.settings) as stores:
        await stores.connections.put(account.connection())
    return account


@pytest.fixture
def gives_up_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a service look once for what a lost write made, not for a quarter of a minute."""
    monkeypatch.setattr(execution, "LOOK_AFTER_LOST_SECONDS", (0.1,))


async def until_settled(told: Told) -> None:
    """Wait as long as the error says."""
    assert told.failure is not None
    assert told.failure.retry_seconds is not None
    await asyncio.sleep(told.failure.retry_seconds)


# The same request gets the same answer.


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_repeat_gets_the_same_step(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    """Without any request to the vendor, and with the same warnings."""
    account, request_id = await new_account(vendor), new_id()
    asked = email(vendor)
    asked.name = "First touch"
    first = await client.create(account, asked, request_id=request_id)
    requests = await account.requests()

    again = await client.create(account, asked, request_id=request_id.upper())
    told = await whole_call(client, account, asked, request_id=request_id)

    assert again == first
    assert (told.step_id, told.is_replay, told.request_id) == (first.id, True, request_id)
    assert await account.requests() == requests


async def test_what_does_not_say_which_step_may_differ_in_a_repeat(
    client: Client, new_account: NewAccount
) -> None:
    account, request_id = await new_account("outreach"), new_id()
    first = await client.create(account, step(CALL, name="Dropped"), request_id=request_id)

    told = await whole_call(
        client, account, step(CALL, name="Dropped"), request_id=request_id, fail_on_warning=True
    )

    assert (told.step_id, told.is_replay) == (first.id, True)


async def test_a_look_only_leaves_no_trace_under_its_id(
    client: Client, new_account: NewAccount
) -> None:
    account, request_id = await new_account("outreach"), new_id()
    await client.create(account, step(CALL), request_id=request_id, validate_only=True)

    told = await whole_call(client, account, step(TASK), request_id=request_id)

    assert (told.reason, told.is_replay) == ("OK", False)


async def test_one_id_of_two_customers_is_two_requests(
    client: Client, new_account: NewAccount
) -> None:
    one, other, request_id = await new_account("apollo"), await new_account("apollo"), new_id()

    for account in (one, other):
        told = await whole_call(client, account, step(CALL), request_id=request_id)
        assert (told.reason, told.is_replay) == ("OK", False)
        assert told.step_id in await account.step_ids()


@pytest.mark.parametrize("vendor", VENDORS)
async def test_calls_at_once_with_one_id_make_one_step(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account, request_id = await new_account(vendor), new_id()
    await account.fault(kind="none", before_seconds=0.1, times=None)

    answers = await asyncio.gather(
        *(client.create(account, email(vendor), request_id=request_id) for _ in range(10))
    )

    (step_id,) = {answer.id for answer in answers}
    assert step_id in await account.step_ids()
    assert len(await step_writes(account)) == 1


async def test_a_repeat_is_answered_while_others_have_the_sequence(
    client: Client, new_account: NewAccount
) -> None:
    account, request_id = await new_account("outreach"), new_id()
    first = await client.create(account, step(CALL), request_id=request_id)
    await hold(account, *STEP_WRITES["outreach"], seconds=1)
    other = asyncio.create_task(client.create(account, step(TASK)))
    await held(account)

    told = await whole_call(client, account, step(CALL), request_id=request_id)

    assert (told.step_id, told.is_replay) == (first.id, True)
    assert not other.done()
    second = await other
    assert await account.step_ids() == [first.id, second.id]


# Another request gets none of it.


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"type": TASK}, ("step.type",)),
        ({"task_note": "Ask for the date"}, ("step.task_note",)),
        ({"interval_seconds": 0}, ("step.interval_seconds",)),
        (
            {"type": TASK, "task_note": "", "order": 3},
            ("step.order", "step.task_note", "step.type"),
        ),
    ],
)
async def test_another_request_with_the_id_is_told_what_differs(
    client: Client, new_account: NewAccount, changed: dict[str, Any], fields: tuple[str, ...]
) -> None:
    account, request_id = await new_account("outreach"), new_id()
    given: dict[str, Any] = {"type": CALL, "task_note": "Ask for the budget"}
    first = await client.create(account, step_pb2.SequenceStep(**given), request_id=request_id)

    other = step_pb2.SequenceStep(**{**given, **changed})
    failure = await client.fail(account, other, request_id=request_id)

    assert failure.outcome == ("FAILED_PRECONDITION", "REQUEST_ID_REUSED", fields)
    assert failure.retry_seconds is None
    assert "Ask for" not in failure.message
    assert await account.step_ids() == [first.id]


async def test_another_sequence_is_another_request_while_the_first_still_runs(
    client: Client, new_account: NewAccount
) -> None:
    account, request_id = await new_account("apollo"), new_id()
    await hold(account, *STEP_WRITES["apollo"], seconds=0.5)
    calling = asyncio.create_task(client.create(account, step(CALL), request_id=request_id))
    await held(account)

    failure = await client.fail(
        account, step(CALL), request_id=request_id, sequence_id="65334c9c2722cd008bde87c4"
    )

    assert failure.outcome == ("FAILED_PRECONDITION", "REQUEST_ID_REUSED", ("sequence_id",))
    first = await calling
    assert await account.step_ids() == [first.id]


# A request that ended without its step, or without certainty.


@pytest.mark.parametrize("vendor", VENDORS)
async def test_a_request_that_was_refused_runs_again(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account, request_id = await new_account(vendor), new_id()
    before = await account.step_ids()
    method, path = STEP_WRITES[vendor]
    await account.fault(method=method, path=path, **REFUSED)
    failure = await client.fail(account, step(CALL), request_id=request_id)
    assert failure.reason == "PROVIDER_REJECTED"

    told = await whole_call(client, account, step(CALL), request_id=request_id)

    assert (told.reason, told.is_replay) == ("OK", False)
    assert await account.step_ids() == [*before, told.step_id]


LOST: dict[str, dict[str, Any]] = {
    "applied, and not shown": {"kind": "close", "when": "after", "hidden_seconds": 1.2},
    "applied late": {"kind": "late_apply", "late_seconds": 1.0},
    "never applied": {"kind": "close", "when": "before"},
}


@pytest.mark.usefixtures("gives_up_early")
@pytest.mark.parametrize("lost", LOST)
async def test_a_repeat_after_a_lost_write_finds_the_step_or_makes_it(
    quick: Client, new_account: NewAccount, lost: str
) -> None:
    async def lose_and_repeat(vendor: str) -> None:
        account = await connected(quick, await new_account(vendor, connected=False))
        before, request_id = await account.step_ids(), new_id()
        method, path = STEP_WRITES[vendor]
        await account.fault(method=method, path=path, **LOST[lost])
        first = await whole_call(quick, account, email(vendor), request_id=request_id)
        assert first.reason == "OUTCOME_UNKNOWN"

        await until_settled(first)
        second = await whole_call(quick, account, email(vendor), request_id=request_id)

        assert (second.reason, second.is_replay) == ("OK", False)
        assert await account.step_ids() == [*before, second.step_id]
        assert len(await step_writes(account)) == (2 if lost == "never applied" else 1)
        third = await whole_call(quick, account, email(vendor), request_id=request_id)
        assert (third.step_id, third.is_replay) == (second.step_id, True)

    await asyncio.gather(*map(lose_and_repeat, VENDORS))


@pytest.mark.usefixtures("gives_up_early")
async def test_a_repeat_that_comes_too_early_is_told_to_wait_again(
    quick: Client, new_account: NewAccount
) -> None:
    account = await connected(quick, await new_account("outreach", connected=False))
    request_id = new_id()
    await account.fault(kind="close", when="before", method="POST")
    first = await whole_call(quick, account, step(CALL), request_id=request_id)

    second = await whole_call(quick, account, step(CALL), request_id=request_id)

    assert (first.reason, second.reason) == ("OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN")
    assert await account.step_ids() == []
    await until_settled(second)
    assert (await whole_call(quick, account, step(CALL), request_id=request_id)).reason == "OK"
    assert len(await account.step_ids()) == 1


UNFINISHED = {
    "outreach": ({"method": "POST", "path": "/sequenceTemplates$", **REFUSED},),
    "apollo": ({"method": "PUT", **REFUSED}, {"method": "DELETE", **REFUSED}),
}
"""The step is made; what belongs to it is refused once, and so is its removal."""


@pytest.mark.parametrize("vendor", UNFINISHED)
async def test_a_repeat_finishes_a_step_that_is_incomplete(
    client: Client, new_account: NewAccount, vendor: str
) -> None:
    account, request_id = await new_account(vendor), new_id()
    content = step_pb2.TemplateContent(subject="Hello", body_html="<p>Hi</p>")
    asked = step(AUTO_EMAIL)
    asked.template.content.CopyFrom(content)
    await account.faults(UNFINISHED[vendor])
    first = await whole_call(client, account, asked, request_id=request_id)
    assert first.reason == "STEP_INCOMPLETE"
    assert [first.step_id] == await account.step_ids()

    second = await whole_call(client, account, asked, request_id=request_id)

    assert (second.reason, second.step_id, second.is_replay) == ("OK", first.step_id, False)
    assert [second.step_id] == await account.step_ids()
    assert messages_of(vendor, await account.state(), second.step_id) == [("Hello", "<p>Hi</p>")]
    third = await whole_call(client, account, asked, request_id=request_id)
    assert (third.step_id, third.is_replay) == (first.step_id, True)


async def test_a_step_that_somebody_removed_meanwhile(
    quick: Client, new_account: NewAccount
) -> None:
    """A repeat says so, and the next one makes it anew."""
    account = await connected(quick, await new_account("outreach", connected=False))
    request_id = new_id()
    await account.faults(UNFINISHED["outreach"])
    first = await whole_call(quick, account, email("outreach"), request_id=request_id)
    assert first.reason == "STEP_INCOMPLETE"
    await account.remove_step(first.step_id)
    await asyncio.sleep(SETTLE_SECONDS)  # Until then it may not be shown yet.

    second = await whole_call(quick, account, email("outreach"), request_id=request_id)
    third = await whole_call(quick, account, email("outreach"), request_id=request_id)

    assert (second.reason, second.step_id) == ("STEP_REMOVED", first.step_id)
    assert second.failure is not None
    assert second.failure.fields == ("step",)
    assert (third.reason, third.is_replay) == ("OK", False)
    assert await account.step_ids() == [third.step_id]


# Others, after a lost write.


async def test_others_are_let_in_when_a_lost_write_is_settled(
    quick: Client, new_account: NewAccount
) -> None:
    account = await connected(quick, await new_account("outreach", connected=False))
    await account.fault(kind="close", when="after", method="POST")
    found = await quick.create(account, step(CALL))

    busy = await whole_call(quick, account, step(CALL), timeout=2.1)
    assert busy.reason == "SEQUENCE_BUSY"
    await until_settled(busy)
    later = await quick.create(account, step(CALL), timeout=4)

    assert await account.step_ids() == [found.id, later.id]


async def test_who_has_the_time_waits_for_that(quick: Client, new_account: NewAccount) -> None:
    account = await connected(quick, await new_account("apollo", connected=False))
    await account.fault(kind="close", when="after", method="POST")
    found = await quick.create(account, step(CALL))

    later = await quick.create(account, step(CALL))

    assert await account.step_ids() == [found.id, later.id]


# Callers that share one operation.


async def test_the_most_patient_of_the_callers_counts(
    client: Client, new_account: NewAccount
) -> None:
    """The one whose deadline passes is told nothing; the other one gets the step."""
    account, request_id = await new_account("salesloft"), new_id()
    await hold(account, "GET", SURVEY_READS["salesloft"], seconds=2.5)
    hasty = asyncio.create_task(
        whole_call(client, account, step(CALL), request_id=request_id, timeout=2.2)
    )
    await held(account)

    patient = await whole_call(client, account, step(CALL), request_id=request_id)

    told = await hasty
    assert told.failure is not None
    assert (told.failure.code, told.reason) == ("DEADLINE_EXCEEDED", "")
    assert patient.reason == "OK"
    assert patient.step_id in await account.step_ids()
    assert len(await step_writes(account)) == 1


@pytest.mark.parametrize("leaving", [0, 1])
async def test_one_of_two_callers_leaves_before_the_first_write(
    client: Client, new_account: NewAccount, leaving: int
) -> None:
    account, request_id = await new_account("outreach"), new_id()
    await hold(account, "GET", SURVEY_READS["outreach"], seconds=0.8)
    calls = [
        asyncio.create_task(client.create(account, step(CALL), request_id=request_id))
        for _ in range(2)
    ]
    await held(account)
    await _both_have_arrived(client, account)

    calls[leaving].cancel()
    answer = await calls[1 - leaving]

    assert await account.step_ids() == [answer.id]
    assert len(await step_writes(account)) == 1


async def test_who_comes_when_all_have_left_begins_anew(
    client: Client, new_account: NewAccount
) -> None:
    account, request_id = await new_account("outreach"), new_id()
    await hold(account, "GET", SURVEY_READS["outreach"], seconds=30)
    calls = [
        asyncio.create_task(client.create(account, step(CALL), request_id=request_id))
        for _ in range(2)
    ]
    await held(account)
    await _both_have_arrived(client, account)
    for call in calls:
        call.cancel()

    answer = await client.create(account, step(CALL), request_id=request_id, timeout=10)

    assert await account.step_ids() == [answer.id]


async def _both_have_arrived(client: Client, account: VendorAccount) -> None:
    """Calls are taken up in the order in which they come: a later one is answered after them."""
    await client.fail(account, step(CALL), request_id="not a UUID")


# What the metadata tells.


async def test_without_an_id_the_one_that_was_made_is_told(
    client: Client, new_account: NewAccount
) -> None:
    """With the answer, and a repeat may use it."""
    account = await new_account("outreach")
    first = await whole_call(client, account, step(CALL))
    assert uuid.UUID(first.request_id).version == 4

    again = await whole_call(client, account, step(CALL), request_id=first.request_id)
    another = await whole_call(client, account, step(CALL))

    assert (again.step_id, again.is_replay) == (first.step_id, True)
    assert another.request_id != first.request_id
    assert await account.step_ids() == [first.step_id, another.step_id]


async def test_after_an_error_it_can_be_used_as_well(
    client: Client, new_account: NewAccount
) -> None:
    account = await new_account("outreach")
    await account.faults(UNFINISHED["outreach"])
    first = await whole_call(client, account, email("outreach"))
    assert first.failure is not None
    assert first.failure.metadata["requestId"] == first.request_id

    again = await whole_call(client, account, email("outreach"), request_id=first.request_id)

    assert (again.reason, again.step_id) == ("OK", first.step_id)


async def test_an_error_before_the_first_write_tells_it_in_the_details_alone(
    client: Client, new_account: NewAccount
) -> None:
    """So that a client library that repeats by itself may do so."""
    account, request_id = await new_account("outreach"), new_id()
    unknown = await whole_call(
        client, account, step(CALL), request_id=request_id, sequence_id="999999"
    )
    await account.fault(kind="rate_limited", retry_after_seconds=90)
    limited = await whole_call(client, account, step(CALL), request_id=request_id)

    for told, reason in ((unknown, "SEQUENCE_NOT_FOUND"), (limited, "PROVIDER_RATE_LIMITED")):
        assert (told.reason, told.initial) == (reason, {})
        assert told.failure is not None
        assert told.failure.metadata["requestId"] == request_id


async def test_all_who_share_an_operation_are_told_at_its_first_write(
    client: Client, new_account: NewAccount
) -> None:
    """Also who comes after it; else its library could repeat what has written."""
    account, request_id = await new_account("outreach"), new_id()
    await hold(account, *STEP_WRITES["outreach"], seconds=0.5, **REFUSED)
    before = asyncio.create_task(whole_call(client, account, step(CALL), request_id=request_id))
    await held(account)
    after = await whole_call(client, account, step(CALL), request_id=request_id)

    for told in (await before, after):
        assert (told.reason, told.request_id) == ("PROVIDER_REJECTED", request_id)
    assert len(await step_writes(account)) == 1


async def test_where_an_id_is_required_none_is_made(
    sandbox: RunningSandbox, new_account: NewAccount, tmp_path: Path
) -> None:
    account = await new_account("outreach", connected=False)
    settings = settings_for(
        sandbox.base_url, tmp_path / "engagement.db", ENGAGEMENT_REQUIRE_REQUEST_ID="true"
    )
    async with client_of(settings) as client:
        await connected(client, account)
        refused = await client.fail(account, step(CALL))
        looked = await client.create(account, step(CALL), validate_only=True)
        made = await client.create(account, step(CALL), request_id=new_id())

    assert refused.outcome == ("INVALID_ARGUMENT", "INVALID_FIELD", ("request_id",))
    assert len(looked.planned_calls) == 1
    assert await account.step_ids() == [made.id]
