"""The callers of `examples/`, run as a person runs them."""

import asyncio
import json
import sys
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients import typescript_program
from tests.service.programs import ROOT, environment_of

SECONDS_MAX = 90.0


@dataclass(frozen=True)
class Caller:
    """One of them."""

    language: str
    command: tuple[str, ...]

    async def run(
        self,
        port: int,
        requests: Iterable[Mapping[str, Any]],
        *options: str,
        customer: str = "acme",
        provider: str = "outreach",
        home: Path,
    ) -> "Calls":
        """Make all requests; return what it printed."""
        whose = ("--customer", customer, "--provider", provider)
        process = await asyncio.create_subprocess_exec(
            *(*self.command, f"127.0.0.1:{port}", *whose, *options),
            cwd=ROOT,
            env=environment_of(home),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        lines = "".join(f"{json.dumps(request)}\n" for request in requests)
        try:
            async with asyncio.timeout(SECONDS_MAX):
                output, errors = await process.communicate(lines.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        outcomes = [json.loads(line) for line in output.decode().splitlines()]
        return Calls(process.returncode, errors.decode(), outcomes)


@dataclass(frozen=True)
class Calls:
    """What a caller came to."""

    status: int
    errors: str
    outcomes: list[dict[str, Any]]

    def by_request_id(self) -> dict[str, dict[str, Any]]:
        """Return the outcomes; there is one for each request."""
        found = {outcome["request_id"]: outcome for outcome in self.outcomes}
        assert len(found) == len(self.outcomes)
        return found

    def step_ids(self) -> dict[str, str]:
        """Return the ids of the steps; there has to be one for each request."""
        return {name: it["answer"]["id"] for name, it in self.by_request_id().items()}


def python() -> Caller:
    return Caller("Python", (sys.executable, "-m", "examples.python"))


def typescript() -> Caller:
    return Caller("TypeScript", typescript_program.command())


def request(sequence_id: str, **fields: Any) -> dict[str, Any]:
    """Return a request for a task, whose note is its id."""
    request_id = str(uuid.uuid4())
    step = {"type": "STEP_TYPE_TASK", "task_note": request_id}
    return {"request_id": request_id, "sequence_id": sequence_id, "step": step, **fields}
