"""The command line, alone with a database or beside a service that serves from it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.server import RunningSandbox
from service.__main__ import main
from service.bootstrap import opened_stores
from service.settings import Settings
from service.stores.postgres_migrations import migrate
from tests.journal.stores import FullJournal
from tests.postgres_server import shared_server
from tests.service import conftest as of_service
from tests.service.conftest import Client, client_of, environment_for

sandbox, control, new_account = of_service.sandbox, of_service.control, of_service.new_account

SETTLE_SECONDS = "0.3"
"""Short, so that what no look can decide is soon left to a person."""


@dataclass(frozen=True)
class CommandLine:
    """`sequence-step-service`, as a person runs it with the service's own settings."""

    capture: pytest.CaptureFixture[str]
    environment: dict[str, str]
    """What was set for it."""

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command; return its exit status and what it wrote."""
        self.capture.readouterr()
        status = await asyncio.to_thread(_status_of, arguments)
        written = self.capture.readouterr()
        assert "Traceback" not in written.err
        return status, written.out, written.err

    async def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the rows of `operations list`."""
        return await self._read("list", "--json", *arguments)

    async def shown(self, *key: str) -> list[dict[str, Any]]:
        """Return what `operations show` says, an entry for each caller."""
        return await self._read("show", *key)

    async def _read(self, *arguments: str) -> list[dict[str, Any]]:
        status, out, err = await self.run("operations", *arguments)
        assert (status, err) == (0, "")
        read: list[dict[str, Any]] = json.loads(out)
        return read


def _status_of(arguments: Sequence[str]) -> int:
    try:
        return main(list(arguments))
    except SystemExit as exited:  # Of arguments that cannot be taken.
        return int(exited.code or 0)


@pytest.fixture(params=["sqlite"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The database that the command line and the service share: a path, or a URL."""
    if request.param == "sqlite":
        return str(tmp_path / "engagement.db")
    url = shared_server().new_schema_url()
    await migrate(url)
    return url


@pytest.fixture
def environment(
    sandbox: RunningSandbox, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The variables that tell the service and the command line what to do."""
    vendors = ("OUTREACH", "SALESLOFT", "APOLLO")
    variables = environment_for(
        sandbox.base_url,
        tmp_path,
        ENGAGEMENT_DATABASE=database,
        **{f"ENGAGEMENT_{vendor}_SETTLE_SECONDS": SETTLE_SECONDS for vendor in vendors},
    )
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return Settings.from_environment(environment)


@pytest.fixture
def command_line(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(capsys, environment)


@pytest.fixture
async def journal(settings: Settings) -> AsyncIterator[FullJournal]:
    """The journal, as a service has it open."""
    async with opened_stores(settings) as stores:
        yield stores.journal


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[Client]:
    """A client of a service; in place of the one that the tests of the service share."""
    async with client_of(settings) as running:
        yield running
