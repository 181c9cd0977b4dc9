"""The service ends and comes back in the middle of a caller's requests: each makes one step."""

import asyncio
import itertools
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.clients.caller import Caller, Calls, request
from tests.replicas.stage import Stage, connect
from tests.service.test_concurrency import sequence_ids
from tests.service.vendor_account import VendorAccount
from tests.service.vendor_hold import eventually

REQUESTS = 200
SEQUENCES = 20
AT_ONCE = "10"
STEPS_BEFORE_SIGTERM = 50
STEPS_BEFORE_SIGKILL = 110
"""Of the slower caller."""

VENDOR_SECONDS = 0.1
"""How long a vendor takes before it applies a write, and again before it answers."""

PROVIDERS = {"Python": "outreach", "TypeScript": "apollo"}


async def test_neither_caller_loses_or_doubles_a_step(
    callers: list[Caller], stage: Stage, tmp_path: Path
) -> None:
    """SIGTERM, a new process on the same port and database, SIGKILL, and another one."""
    settings = stage.environment(
        str(tmp_path / "engagement.db"), ENGAGEMENT_DRAIN_DELAY_SECONDS="0"
    )
    accounts = {
        caller.language: await _slow_account(stage, PROVIDERS[caller.language])
        for caller in callers
    }
    await connect(settings, accounts.values())

    async with asyncio.TaskGroup() as running:
        async with stage.replica(settings) as first:
            settings["ENGAGEMENT_LISTEN"] = f"127.0.0.1:{first.client.port}"
            calls = {
                caller.language: running.create_task(
                    _calls(caller, accounts[caller.language], first.client.port, tmp_path)
                )
                for caller in callers
            }
            await _have_steps(accounts.values(), STEPS_BEFORE_SIGTERM)
            first.process.process.send_signal(signal.SIGTERM)
            assert await first.process.ended() == 0
        async with stage.replica(settings) as second:
            await _have_steps(accounts.values(), STEPS_BEFORE_SIGKILL)
            await _have_writes_under_way(accounts.values())
            assert not any(each.done() for each in calls.values())
            await second.kill()
        async with stage.replica(settings):
            await asyncio.gather(*calls.values())

    for language, account in accounts.items():
        done = calls[language].result()
        assert (done.status, done.errors) == (0, "")
        assert len(done.outcomes) == REQUESTS
        assert done.step_ids() == await _step_ids_by_note(account)


async def _slow_account(stage: Stage, vendor: str) -> VendorAccount:
    account = await stage.account(vendor, SEQUENCES)
    slow = {"before_seconds": VENDOR_SECONDS, "after_seconds": VENDOR_SECONDS}
    await account.fault(kind="none", method="POST", times=None, **slow)
    return account


async def _calls(caller: Caller, account: VendorAccount, port: int, home: Path) -> Calls:
    sequences = itertools.cycle(sequence_ids(account.vendor, SEQUENCES))
    requests = [request(next(sequences)) for _ in range(REQUESTS)]
    whose = {"customer": account.name, "provider": account.vendor}
    return await caller.run(port, requests, "--at-once", AT_ONCE, **whose, home=home)


async def _have_steps(accounts: Iterable[VendorAccount], count: int) -> None:
    async def they_do() -> bool:
        return min([len(await account.steps()) for account in accounts]) >= count

    await eventually(they_do)


async def _have_writes_under_way(accounts: Iterable[VendorAccount]) -> None:
    """Wait until whoever repeated one of each caller's under another id would double its step."""

    async def they_do() -> bool:
        return all([_under_way(await account.writes()) for account in accounts])

    await eventually(they_do)


def _under_way(writes: list[dict[str, Any]]) -> bool:
    return any(write["answered_at"] is None for write in writes)


async def _step_ids_by_note(account: VendorAccount) -> dict[str, str]:
    """Return the steps that are there; no two may have the same note."""
    steps = await account.steps()
    notes = [str(each.get("note") or each["attributes"]["taskNote"]) for each in steps]
    assert len(set(notes)) == len(notes)
    return {note: str(each["id"]) for note, each in zip(notes, steps, strict=True)}
