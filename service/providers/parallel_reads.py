"""Reads that run side by side, since none of them needs another's answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def parallel_reads() -> AsyncIterator[asyncio.TaskGroup]:
    """Run the group's tasks; the first to fail cancels the others and is raised as itself.

    Unlike with `asyncio.gather`, no read goes on after the request has failed.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
