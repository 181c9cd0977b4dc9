"""Programs of the virtual environment, run beside the test's own loop."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
PROGRAM_SECONDS_MAX = 60


@dataclass(frozen=True)
class Finished:
    """A program that has ended."""

    status: int
    output: str
    errors: str


async def run(
    *command: str | Path, home: Path, environment: Mapping[str, str] | None = None
) -> Finished:
    """Run a program in the project's folder until it ends; `home` is for its caches."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        env=environment_of(home, environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), PROGRAM_SECONDS_MAX)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Finished(process.returncode, output.decode(), errors.decode())


def environment_of(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a program's environment: this one's, without settings of the service."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("ENGAGEMENT_")}
    return {**own, "HOME": str(home), **(more or {})}
