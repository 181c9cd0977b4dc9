"""A vendor that takes its time over a request, and waiting for what it or the service is to do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.service.vendor_account import VendorAccount

PAUSE_SECONDS = 0.02
SECONDS_MAX = 30.0

STEP_WRITES = {
    "outreach": ("POST", "/sequenceSteps$"),
    "salesloft": ("POST", "/cadence_imports$"),
    "apollo": ("POST", "/emailer_steps$"),
}
"""Method and path of the write that makes the step."""


async def hold(
    account: VendorAccount, method: str, path: str, *, seconds: float, **fault: Any
) -> None:
    """Let the vendor wait before it carries one request out, and then do what the fault says."""
    kind = {"kind": "none", "before_seconds": seconds, **fault}
    await account.fault(method=method, path=path, **kind)


async def held(account: VendorAccount) -> None:
    """Wait until the vendor has the request that it holds."""

    async def has_it() -> bool:
        return any(request["fault"] for request in await account.requests())

    await eventually(has_it)


async def eventually(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something that the service or a vendor is about to do."""
    async with asyncio.timeout(SECONDS_MAX):
        while not await is_so():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(PAUSE_SECONDS)
