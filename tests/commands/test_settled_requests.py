"""`operations` beside a service at work: what it shows of real requests, and what settling changes.

The vendor leaves something to a person: it accepts a step and never shows it, or refuses a part.
"""

import asyncio
import uuid
from typing import Any

import pytest

from engagement.v1 import sequence_step_pb2 as step_pb2
from tests.commands.conftest import CommandLine
from tests.service.conftest import Client, NewAccount
from tests.service.step_messages import CALL, step
from tests.service.test_secrets import MARK, marked_step, pieces
from tests.service.vendor_account import VendorAccount
from tests.service.vendor_hold import STEP_WRITES, held, hold
from tests.service.whole_call import whole_call

REASON = ("--reason", "Seen in the app")
NEVER_SHOWN = {"kind": "no_id", "hidden_seconds": 3600}
REFUSED = {"kind": "status", "status": 422, "body": {}}


def new_id() -> str:
    return str(uuid.uuid4())


async def leave_in_doubt(
    client: Client, account: VendorAccount, asked: step_pb2.SequenceStep, request_id: str
) -> None:
    """Ask for a step that is accepted and never shown; no look can decide that."""
    method, path = STEP_WRITES[account.vendor]
    await account.fault(method=method, path=path, **NEVER_SHOWN)
    failure = await client.fail(account, asked, request_id=request_id)
    assert failure.reason == "OUTCOME_UNKNOWN"
    assert failure.retry_seconds is None
    assert "operations settle" in failure.message


async def settle(
    command_line: CommandLine, account: VendorAccount, request_id: str, *outcome: str
) -> None:
    key = (account.name, account.vendor, request_id)
    settled = await command_line.run("operations", "settle", *key, *outcome, *REASON)
    assert settled == (0, "", "")


@pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
async def test_a_request_in_doubt_from_its_error_to_its_answer(
    command_line: CommandLine, client: Client, new_account: NewAccount
) -> None:
    """The service runs all the time."""
    account, request_id = await new_account("outreach"), new_id()
    await leave_in_doubt(client, account, step(CALL), request_id)
    (step_id,) = await account.step_ids()
    (row,) = await command_line.listed()
    assert (row["request_id"], row["state"], row["step"]) == (request_id, "IN_DOUBT", None)
    (entry,) = await command_line.shown(account.name, account.vendor, request_id)
    assert [call["state"] for call in entry["calls"]] == ["ACCEPTED"]
    assert entry["stopped_by"].startswith("OUTCOME_UNKNOWN: Whether the step was made")
    assert entry["next_look_at"] is None

    await settle(command_line, account, request_id, "--step", step_id)

    assert await command_line.listed() == []
    told = await whole_call(client, account, step(CALL), request_id=request_id)
    assert (told.reason, told.step_id, told.is_replay) == ("OK", step_id, True)
    assert len(await account.writes()) == 1


@pytest.mark.parametrize("vendor", ["outreach", "salesloft", "apollo"])
async def test_a_request_that_made_nothing_runs_again(
    command_line: CommandLine, client: Client, new_account: NewAccount, vendor: str
) -> None:
    account, request_id = await new_account(vendor), new_id()
    before = await account.step_ids()
    await leave_in_doubt(client, account, step(CALL), request_id)
    (lost,) = set(await account.step_ids()) - set(before)
    await account.remove_step(lost)

    await settle(command_line, account, request_id, "--nothing")
    told = await whole_call(client, account, step(CALL), request_id=request_id)

    assert (told.reason, told.is_replay) == ("OK", False)
    assert await account.step_ids() == [*before, told.step_id]


async def test_a_settled_sequence_is_free_for_others(
    command_line: CommandLine, client: Client, new_account: NewAccount
) -> None:
    account, request_id = await new_account("outreach"), new_id()
    await leave_in_doubt(client, account, step(CALL), request_id)
    (step_id,) = await account.step_ids()
    await settle(command_line, account, request_id, "--step", step_id)

    other = await client.create(account, step(CALL))

    assert await account.step_ids() == [step_id, other.id]


async def test_a_step_that_was_finished_by_hand(
    command_line: CommandLine, client: Client, new_account: NewAccount
) -> None:
    account, request_id = await new_account("outreach"), new_id()
    await account.fault(method="POST", path="/sequenceTemplates$", **REFUSED)
    asked = marked_step("outreach")
    failure = await client.fail(account, asked, request_id=request_id)
    assert failure.reason == "STEP_INCOMPLETE"
    (entry,) = await command_line.shown(account.name, account.vendor, request_id)
    assert entry["state"] == "INCOMPLETE"
    assert [call["state"] for call in entry["calls"]] == ["DONE", "DONE", "REFUSED"]
    assert entry["stopped_by"].startswith(f"STEP_INCOMPLETE: Step {entry['step']} was made")

    await settle(command_line, account, request_id, "--step", entry["step"])

    told = await whole_call(client, account, asked, request_id=request_id)
    assert (told.reason, told.step_id, told.is_replay) == ("OK", entry["step"], True)


async def test_what_the_service_works_on_is_listed_and_not_settled(
    command_line: CommandLine, client: Client, new_account: NewAccount
) -> None:
    account, request_id = await new_account("apollo"), new_id()
    await hold(account, *STEP_WRITES["apollo"], seconds=1.5)
    calling = asyncio.create_task(client.create(account, step(CALL), request_id=request_id))
    await held(account)

    (row,) = await command_line.listed()
    key = (account.name, account.vendor, request_id)
    refused = await command_line.run("operations", "settle", *key, "--nothing", *REASON)

    assert (row["request_id"], row["state"]) == (request_id, "RUNNING")
    assert refused == (1, "", "error: it runs: wait until it has ended\n")
    assert [(await calling).id] == await account.step_ids()
    assert await command_line.listed() == []


def _unfinished(vendor: str) -> list[dict[str, Any]]:
    """Return faults that leave a request of each vendor to a person, content and all."""
    match vendor:
        case "outreach":
            return [{"method": "POST", "path": "/sequenceTemplates$", **REFUSED}]
        case "salesloft":
            return [{"method": "POST", **NEVER_SHOWN}]
        case _:
            return [
                {"method": "PUT", "times": None, **REFUSED},
                {"method": "DELETE", "times": None, **REFUSED},
            ]


@pytest.mark.parametrize("vendor", ["outreach", "salesloft", "apollo"])
async def test_neither_contents_nor_credentials_are_shown(
    command_line: CommandLine, client: Client, new_account: NewAccount, vendor: str
) -> None:
    account, request_id = await new_account(vendor), new_id()
    await account.faults(_unfinished(vendor))
    await client.fail(account, marked_step(vendor), request_id=request_id)

    texts = [
        (await command_line.run("operations", "show", account.name, vendor, request_id))[1],
        (await command_line.run("operations", "list"))[1],
    ]

    for text in texts:
        assert request_id in text
        assert MARK not in text
        for secret in pieces(account):
            assert secret not in text
