"""Two requests for equal steps on one sequence, while nobody knows what became of the first one."""

import asyncio
import itertools
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from service.stores.postgres_migrations import migrate
from tests.postgres_server import shared_server
from tests.replicas import promises
from tests.replicas.request import Pick, any_request
from tests.replicas.stage import Stage, connect
from tests.service.vendor_account import VendorAccount
from tests.service.vendor_hold import STEP_WRITES, held

VENDORS = ("outreach", "apollo")
"""Those whose sequences take a second step."""

SHOWN_AFTER_SECONDS = 5.0
"""Later than is looked for what was accepted: 3.7 seconds."""

SETTLE_SECONDS = 7.2
"""Earlier than the look for a lost write that begins after 7.5 seconds."""

IN_DOUBT: tuple[Mapping[str, Any], ...] = (
    {"kind": "no_id", "hidden_seconds": SHOWN_AFTER_SECONDS},
    {"kind": "close", "when": "after", "hidden_seconds": SHOWN_AFTER_SECONDS},
    {"kind": "late_apply", "late_seconds": SHOWN_AFTER_SECONDS},
    {"kind": "reset", "when": "before"},
)
"""What becomes of the first request's write."""


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "engagement.db")
    url = shared_server().new_schema_url()
    await migrate(url)
    return url


async def test_they_are_two_steps_with_two_ids(stage: Stage, database: str) -> None:
    """On PostgreSQL the second one comes to another replica."""
    settles = {f"ENGAGEMENT_{each.upper()}_SETTLE_SECONDS": str(SETTLE_SECONDS) for each in VENDORS}
    environment = stage.environment(database, **settles)
    cases = [(await stage.account(vendor, 1), doubt) for vendor in VENDORS for doubt in IN_DOUBT]
    await connect(environment, [account for account, _ in cases])
    async with AsyncExitStack() as stack:
        replicas = [
            await stack.enter_async_context(stage.replica(environment))
            for _ in range(2 if "://" in database else 1)
        ]
        pick = itertools.cycle(replicas).__next__
        reasons = await asyncio.gather(*(_two_steps(*case, pick) for case in cases))
    assert {"OUTCOME_UNKNOWN", "SEQUENCE_BUSY"} <= set().union(*reasons)


async def _two_steps(account: VendorAccount, doubt: Mapping[str, Any], pick: Pick) -> set[str]:
    """Return what the two were told on the way to their steps."""
    method, path = STEP_WRITES[account.vendor]
    await account.fault(method=method, path=path, **doubt)
    first, second = requests = [any_request(account, account.sequence_id) for _ in range(2)]
    settling = asyncio.create_task(first.settle(pick))
    await held(account)
    await asyncio.gather(settling, second.settle(pick))
    assert await promises.one_step_each(requests) == 2
    return {answer.reason for request in requests for answer in request.answers}
