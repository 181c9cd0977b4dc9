"""A version and the next one serve side by side, while the schema is brought up to date."""

import asyncio
import shutil
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from service.stores.postgres_migrations import KNOWN
from tests.replicas import promises
from tests.replicas.request import OK, Request, counts, marked_request
from tests.replicas.stage import Replica, Stage, connect
from tests.service.programs import ROOT, run
from tests.service.service_process import run_to_its_end
from tests.service.test_concurrency import sequence_ids
from tests.service.vendor_account import VendorAccount

CALLERS = 6
LOAD_SECONDS = 1.0
"""How long the old process serves before the change, and both do after it."""

VENDOR_SECONDS = 0.01
SEQUENCES = 1500
"""More than there are requests."""

MIGRATIONS = {
    "adds_what_it_needs": """
ALTER TABLE operations ADD COLUMN weight integer NOT NULL DEFAULT 1;
ALTER TABLE operations ADD COLUMN remark text;
ALTER TABLE connections ADD COLUMN region text;
CREATE TABLE regions (name text PRIMARY KEY);
""",
    "indexes_remarks": """-- no transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS operations_remark ON operations (remark);
""",
}
"""What a version after this one might bring."""


async def test_no_request_fails(stage: Stage, postgres_url: str, tmp_path: Path) -> None:
    accounts = await stage.slow_accounts(SEQUENCES, VENDOR_SECONDS)
    older = stage.environment(postgres_url)
    newer = older | _next_version(tmp_path)
    await connect(older, accounts)
    load = _Load(accounts)
    async with AsyncExitStack() as stack:
        load.serving.append(await stack.enter_async_context(stage.replica(older)))
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(load.call())
            await asyncio.sleep(LOAD_SECONDS)
            too_early = await run_to_its_end(newer, tmp_path / "log")
            migrate = (sys.executable, "-m", "service", "migrate")
            migrated = await run(*migrate, home=tmp_path, environment=newer)
            load.serving.append(await stack.enter_async_context(stage.replica(newer)))
            await asyncio.sleep(LOAD_SECONDS)
            load.is_over = True
        old, new = load.serving
        await load.requests[0].ask(new)
        await load.requests[-1].ask(old)

    assert too_early[0] == 1
    assert "run `migrate` first" in too_early[1]
    applied = ", ".join(str(number) for number in _next_numbers())
    assert migrated.output == f"the schema is up to date; applied now: {applied}\n"
    assert {answer.reason for request in load.requests for answer in request.answers} == {OK}
    assert await promises.one_step_each(load.requests) == len(load.requests)
    print(counts(load.requests))  # noqa: T201 - the counts


class _Load:
    """Callers that make one request after another, each once, at any process that serves."""

    def __init__(self, accounts: list[VendorAccount]) -> None:
        self.serving: list[Replica] = []
        self.requests: list[Request] = []
        self.is_over = False
        self._coming = (
            marked_request(account, sequence_id)
            for at in zip(*(sequence_ids(each.vendor, SEQUENCES) for each in accounts), strict=True)
            for account, sequence_id in zip(accounts, at, strict=True)
        )

    async def call(self) -> None:
        while not self.is_over:
            request = next(self._coming)
            self.requests.append(request)
            await request.ask(self.serving[len(self.requests) % len(self.serving)])


def _next_numbers() -> range:
    return range(KNOWN[-1].number + 1, KNOWN[-1].number + 1 + len(MIGRATIONS))


def _next_version(folder: Path) -> dict[str, str]:
    """Make a copy of the service that has more migrations; return the variables that start it."""
    shutil.copytree(ROOT / "service", folder / "service")
    for number, (name, text) in zip(_next_numbers(), MIGRATIONS.items(), strict=True):
        file = folder / "service" / "stores" / "sql" / "postgres" / f"{number:04d}_{name}.sql"
        file.write_text(text)
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}  # Not what lies in this folder.
