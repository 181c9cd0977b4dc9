"""The service as operators run it: a process of its own, with its log on standard error."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.settings import Settings
from tests.service.leaked_credentials import leaked

SERVE = ("service", "serve")
START_SECONDS_MAX = 30.0
STOP_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class ServiceProcess:
    """A process that runs `serve`."""

    process: asyncio.subprocess.Process
    log_path: Path
    settings: Settings

    def log(self) -> list[dict[str, Any]]:
        """Return the lines of the log; each has to be JSON."""
        return [json.loads(line) for line in _text(self.log_path).splitlines()]

    async def line(self, event: str) -> dict[str, Any]:
        """Wait for a line of the log."""
        async with asyncio.timeout(START_SECONDS_MAX):
            while True:
                text = _text(self.log_path)
                complete = text[: text.rfind("\n") + 1].splitlines()
                for line in map(json.loads, complete):
                    if line["event"] == event:
                        return dict(line)
                if self.process.returncode is not None:
                    raise AssertionError(f"ended before {event}: {text}")
                await asyncio.sleep(0.02)

    async def port(self) -> int:
        """Wait until it serves, and return where."""
        return int((await self.line("serving"))["port"])

    async def ended(self) -> int:
        """Wait for the end and return the exit status."""
        return await asyncio.wait_for(self.process.wait(), STOP_SECONDS_MAX)


@asynccontextmanager
async def service_process(
    environment: Mapping[str, str], log_path: Path, program: Sequence[str] = SERVE
) -> AsyncIterator[ServiceProcess]:
    """Start the service; it is killed at the end if it still runs then.

    Whatever it was for, its log has no credential.
    """
    async with _started(environment, log_path, program) as process:
        yield ServiceProcess(process, log_path, Settings.from_environment(environment))
    assert leaked(_text(log_path), environment) == []


async def run_to_its_end(environment: Mapping[str, str], log_path: Path) -> tuple[int, str]:
    """Run `serve`, which has to end by itself; return its exit status and what it said."""
    async with _started(environment, log_path) as process:
        status = await asyncio.wait_for(process.wait(), START_SECONDS_MAX)
    assert leaked(_text(log_path), environment) == []
    return status, _text(log_path)


@asynccontextmanager
async def _started(
    environment: Mapping[str, str], log_path: Path, program: Sequence[str] = SERVE
) -> AsyncIterator[asyncio.subprocess.Process]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("ENGAGEMENT_")
    }
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *program),
            env={**inherited, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _text(path: Path) -> str:
    return path.read_text()
