"""The database is backed up, lost and restored, with requests in flight."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tests.operations.databases import Database
from tests.operations.page import run_block
from tests.replicas import promises
from tests.replicas.request import NOBODY, OK, Answer, Request, counts, marked_request
from tests.replicas.stage import Replica, Stage, connect
from tests.service.step_messages import CALL, step
from tests.service.test_concurrency import VENDORS, sequence_ids
from tests.service.vendor_account import VendorAccount
from tests.service.vendor_hold import STEP_WRITES, eventually, hold
from tests.service.whole_call import whole_call

HELD_SECONDS = 20.0
"""Longer than the vendor's answer is waited for here."""

SETTLE_SECONDS = {
    f"ENGAGEMENT_{vendor}_SETTLE_SECONDS": "10" for vendor in ("OUTREACH", "SALESLOFT", "APOLLO")
}
"""So long that a lost write is still looked for when the backup is made."""


@dataclass
class Requests:
    """What callers asked for, by how far it was when the backup was made."""

    finished: list[Request]
    lost: list[Request]
    """Their write had no answer and was never applied, and the service still looks."""

    held: list[Request]
    """The vendor has made their step and has not said so."""

    later: list[Request]
    """Made after the backup, at Outreach and at Salesloft."""

    rotated: VendorAccount
    """Whose tokens are refreshed after the backup."""

    @classmethod
    async def on(cls, stage: Stage) -> "Requests":
        accounts = [await stage.account(vendor, 3) for vendor in VENDORS]
        finished, lost, held = (
            [marked_request(each, sequence_ids(each.vendor, 3)[number]) for each in accounts]
            for number in range(3)
        )
        others = [await stage.account(vendor, 1) for vendor in ("outreach", "salesloft")]
        later = [marked_request(each, each.sequence_id) for each in others]
        return cls(finished, lost, held, later, await stage.account("outreach", 1))

    @property
    def from_before(self) -> list[Request]:
        return [*self.finished, *self.lost, *self.held]

    @property
    def accounts(self) -> list[VendorAccount]:
        return [self.rotated, *(each.account for each in (*self.finished, *self.later))]


async def backup_and_restore(stage: Stage, database: Database) -> str:
    """Back up under load, lose all, restore it, and repeat every request; return the counts."""
    requests = await Requests.on(stage)
    environment = stage.environment(database.url, **SETTLE_SECONDS)
    await connect(environment, requests.accounts)
    async with stage.replica(environment) as first:
        calls = await _in_flight(requests, first)
        await database.back_up(environment)
        await _after_the_backup(requests, first)
        await first.kill()
        assert {answer.reason for answer in await asyncio.gather(*calls)} == {NOBODY}
    await _is_logged(requests, first, database.folder)
    await database.lose_and_restore()

    environment["ENGAGEMENT_DATABASE"] = database.url
    async with stage.replica(environment) as second:
        await asyncio.gather(*(each.settle(lambda: second) for each in requests.from_before))
        await _comes_again(requests.later, second)
        await _connection_is_put_again(requests.rotated, second, environment)
    assert await promises.one_step_each(requests.from_before) == len(requests.from_before)
    for replayed in requests.finished:
        assert [answer.reason for answer in replayed.answers] == [OK, OK]
    return counts(requests.from_before)


async def _in_flight(requests: Requests, replica: Replica) -> "list[asyncio.Task[Answer]]":
    """Let requests come to where they are backed up; return the calls that wait."""
    await asyncio.gather(*(each.settle(lambda: replica) for each in requests.finished))
    calls = []
    for each in (*requests.lost, *requests.held):
        method, path = STEP_WRITES[each.account.vendor]
        kind = {"kind": "close"} if each in requests.lost else {"after_seconds": HELD_SECONDS}
        await hold(each.account, method, path, seconds=0, **kind)
        calls.append(asyncio.create_task(each.ask(replica, 2 * HELD_SECONDS)))
        await eventually(partial(_is_written, each))
    return calls


async def _is_written(request: Request) -> bool:
    """Whether the vendor has the request's write."""
    return request.id in await promises.write_times(request.account)


async def _after_the_backup(requests: Requests, replica: Replica) -> None:
    for each in requests.later:
        assert (await each.ask(replica)).reason == OK
    await requests.rotated.expire_access_tokens()
    await replica.client.create(requests.rotated, step(CALL))


async def _comes_again(later: list[Request], replica: Replica) -> None:
    """What came after the backup cannot be known for a repeat."""
    at_outreach, at_salesloft = later
    assert (await at_outreach.ask(replica)).reason == OK
    assert len(await at_outreach.account.step_ids()) == 2
    cadence = at_salesloft.account
    refused = await replica.client.fail(cadence, at_salesloft.step, request_id=at_salesloft.id)
    assert refused.reason == "SEQUENCE_NOT_EMPTY"
    assert len(await cadence.step_ids()) == 1


async def _is_logged(requests: Requests, replica: Replica, folder: Path) -> None:
    """The page's search finds what wrote, and nothing of what only read."""
    copy = folder / "serve.log"
    copy.write_text(replica.process.log_path.read_text())
    lines = map(json.loads, (await run_block("grep -E", folder, {})).splitlines())
    wrote = [*requests.finished, *requests.later]
    found = {line["request_id"] for line in lines}
    assert found >= {each.id for each in wrote}
    assert len(found) == len(wrote) + 1  # The one whose tokens were refreshed has no id of ours.


async def _connection_is_put_again(
    account: VendorAccount, replica: Replica, environment: Mapping[str, str]
) -> None:
    """The restored refresh token has been used up."""
    refused = await replica.client.fail(account, step(CALL))
    assert refused.reason == "CONNECTION_EXPIRED"
    await connect(environment, [replace(account, credentials=await account.credentials_now())])

    async def works() -> bool:
        told = await whole_call(replica.client, account, step(CALL))
        return told.reason == OK

    await eventually(works)
