"""What the tests here stand on: vendors over real HTTP, and replicas, each a process of its own."""

import itertools
import json
import signal
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from service.application.journal_port import OperationSummary
from service.bootstrap import opened_stores
from service.settings import Settings
from tests.service.conftest import Client, client_at, environment_for
from tests.service.service_process import ServiceProcess, service_process
from tests.service.test_concurrency import VENDORS, seed
from tests.service.vendor_account import VendorAccount

SETTLE_SECONDS = 3.0
"""More than the two that a write may take to begin, and what the vendors here take besides."""

OPERATIONS_MAX = 10_000


@dataclass(frozen=True)
class Replica:
    """A process that serves, and a client of it."""

    process: ServiceProcess
    client: Client

    async def kill(self) -> None:
        """End it as when its machine dies."""
        self.process.process.kill()
        await self.process.process.wait()

    def freeze(self) -> None:
        """Let it do nothing more, until `thaw`."""
        self.process.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on where it was."""
        self.process.process.send_signal(signal.SIGCONT)


@dataclass(frozen=True)
class Stage:
    """The sandbox, and a folder for what processes write."""

    sandbox_url: str
    control: httpx.AsyncClient
    folder: Path
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def account(self, vendor: str, sequences: int) -> VendorAccount:
        """Make an account with so many empty sequences; their ids count up."""
        name = f"{vendor}-replicas-{next(self._numbers)}"
        setup = {"vendor": vendor, "name": name, "seed": seed(vendor, sequences)}
        answer = await self.control.post("/accounts", json=setup)
        answer.raise_for_status()
        return VendorAccount(vendor, name, answer.json()["credentials"], self.control)

    async def slow_accounts(
        self, sequences: int, seconds: float, **requests: str
    ) -> list[VendorAccount]:
        """Make an account at each vendor; it waits before it applies a request, and afterwards.

        `requests`: which ones, as a fault says it; without, all.
        """
        accounts = [await self.account(vendor, sequences) for vendor in VENDORS]
        slow = {"kind": "none", "before_seconds": seconds, "after_seconds": seconds}
        for account in accounts:
            await account.fault(**slow, times=None, **requests)
        return accounts

    def environment(self, database: str, **more: str) -> dict[str, str]:
        """Return the variables that all replicas of one database share."""
        settles = {
            f"ENGAGEMENT_{vendor}_SETTLE_SECONDS": str(SETTLE_SECONDS)
            for vendor in ("OUTREACH", "SALESLOFT", "APOLLO")
        }
        given = settles | {"ENGAGEMENT_DATABASE": database} | more
        return environment_for(self.sandbox_url, Path(), **given)

    @asynccontextmanager
    async def replica(self, environment: Mapping[str, str]) -> AsyncIterator[Replica]:
        """Start a process, and wait until it serves; it is killed at the end.

        It may not have met a bug of its own by then, not even where no caller sees it.
        """
        log_path = self.folder / f"log-{next(self._numbers)}"
        async with (
            service_process(environment, log_path) as process,
            client_at(await process.port(), process.settings) as client,
        ):
            yield Replica(process, client)
            assert _errors(log_path) == []


async def connect(environment: Mapping[str, str], accounts: Iterable[VendorAccount]) -> None:
    """Make the accounts known to whoever serves from this database."""
    async with opened_stores(Settings.from_environment(environment)) as stores:
        for account in accounts:
            await stores.connections.put(account.connection())


async def operations(
    environment: Mapping[str, str], *, only_unsettled: bool = False
) -> tuple[OperationSummary, ...]:
    """Return what the journal has."""
    async with opened_stores(Settings.from_environment(environment)) as stores:
        return await stores.journal.summaries(
            connection=None, only_unsettled=only_unsettled, limit=OPERATIONS_MAX
        )


def _errors(log_path: Path) -> list[dict[str, Any]]:
    """Return the errors in a log, but for those of the database; a line may be unfinished."""
    text = log_path.read_text()
    lines = map(json.loads, text[: text.rfind("\n") + 1].splitlines())
    return [line for line in lines if line["level"] == "error" and line["event"] != "store_failed"]
