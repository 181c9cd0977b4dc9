"""Reads that run side by side, since none of them needs another's answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

READS_AT_ONCE_MAX: Final = 4
"""Of one request: Salesloft's cadence, its steps, and a template of either kind."""


@asynccontextmanager
async def parallel_reads() -> AsyncIterator[asyncio.TaskGroup]:
    """Run the group's tasks beside the block, which reads too.

    The first to fail cancels the others and is raised as itself: unlike with `asyncio.gather`, no
    read goes on after the request has failed.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
