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

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def vendor(delay_seconds: float = 0.0) -> AsyncIterator[int]:
    """Run the stand-in of the vendors, which takes so long over each answer; give its port."""
    async with vendor_process(delay_seconds) as (_, port):
        yield port


@asynccontextmanager
async def vendor_process(delay_seconds: float = 0.0) -> AsyncIterator[tuple[int, int]]:
    """Do as `vendor` does, and give its process's id too."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.vendor", "--delay-seconds", str(delay_seconds)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS_MAX)
        yield process.pid, int(line)
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def server(
    module: str, arguments: tuple[str, ...], environment: Mapping[str, str], log_path: Path
) -> AsyncIterator[tuple[int, int]]:
    """Run a server in Python that logs where it serves; give its process's id and its port."""
    command = (sys.executable, "-m", module, *arguments)
    async with program(command, environment, log_path) as started:
        yield started


@asynccontextmanager
async def program(
    command: tuple[str, ...], environment: Mapping[str, str], log_path: Path
) -> AsyncIterator[tuple[int, int]]:
    """Do as `server` does, for a server in any language."""
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
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
                said = json.loads(line)
                if "port" not in said:
                    raise RuntimeError(f"it does not serve: {_text(log_path)}")
                return int(said["port"])
            await asyncio.sleep(0.05)


def _text(path: Path) -> str:
    return path.read_text()


def leave_a_core_to_the_server() -> None:
    """Keep this process, and what it starts but a server, off the server's processor."""
    os.sched_setaffinity(0, OTHER_CORES)


def take_the_server_core() -> None:
    """Run this process where the server would run; what it has started stays where it is."""
    os.sched_setaffinity(0, {SERVER_CORE})


def cpu_seconds(process_id: int) -> float:
    """Return the processor time that all threads of a process have used, those that ended too."""
    scheduler_clock = 2
    clock_id = (~process_id << 3) | scheduler_clock  # As Linux numbers other processes' clocks.
    return time.clock_gettime(clock_id)


def busy_seconds_of_other_cores() -> float:
    """Return how long all but the server's processor have been busy since the machine started."""
    names = {f"cpu{core}" for core in OTHER_CORES}
    ticks = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *counts = line.split()
        if name in names:
            user, nice, system, _idle, _waiting, interrupts, soft_interrupts, *_ = map(int, counts)
            ticks += user + nice + system + interrupts + soft_interrupts
    return ticks / _TICKS_PER_SECOND
