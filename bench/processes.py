"""The processes of a benchmark: how they are started, and how much of a processor they use."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 30

SERVER_CORE, *OTHER_CORES = sorted(os.sched_getaffinity(0))
"""One is the server's alone, so that neither its callers nor the vendor take of its time."""


@asynccontextmanager
async def vendor() -> AsyncIterator[int]:
    """Run the stand-in of the vendor; give its port."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.vendor"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield int(await asyncio.wait_for(process.stdout.readline(), START_SECONDS_MAX))
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def server(
    module: str, arguments: tuple[str, ...], environment: Mapping[str, str], log_path: Path
) -> AsyncIterator[tuple[int, int]]:
    """Run a server that logs where it serves; give its process's id and its port."""
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            env={**os.environ, **environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    os.sched_setaffinity(process.pid, {SERVER_CORE})
    try:
        yield process.pid, await _port(process, log_path)
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), STOP_SECONDS_MAX)


async def _port(process: asyncio.subprocess.Process, log_path: Path) -> int:
    """Wait until it says where it serves, which is the first that it logs."""
    async with asyncio.timeout(START_SECONDS_MAX):
        while True:
            line, is_whole, _ = _text(log_path).partition("\n")
            if process.returncode is not None:
                raise RuntimeError(f"it did not start: {_text(log_path)}")
            if is_whole:
                return int(json.loads(line)["port"])
            await asyncio.sleep(0.05)


def _text(path: Path) -> str:
    return path.read_text()


def leave_a_core_to_the_server() -> None:
    """Keep this process, and what it starts but a server, off the server's processor."""
    os.sched_setaffinity(0, OTHER_CORES)


def cpu_seconds(process_id: int) -> float:
    """Return the processor time that all threads of a process have used, those that ended too."""
    scheduler_clock = 2
    clock_id = (~process_id << 3) | scheduler_clock  # As Linux numbers other processes' clocks.
    return time.clock_gettime(clock_id)
