"""What one call to a provider costs: through the service's client, and through plain aiohttp.

Sixteen callers at once ask the stand-in of the vendors, in this process; its processor time is
counted, in turn for either, and the lowest of several rounds is printed.

`python -m bench.provider_call`
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing

import aiohttp

from bench import processes
from bench.report import say
from service.domain.provider_call import CallKind, ProviderRequest
from service.providers.provider_http import ProviderHttp

CALLERS = 16
CALLS_PER_ROUND = 6_400
ROUNDS = 6
CALL_SECONDS = 30
HEADERS = {
    "authorization": "Bearer token",
    "accept": "application/vnd.api+json",
    "content-type": "application/vnd.api+json",
}
BODY = b'{"data": {"type": "sequenceStep", "attributes": {"stepType": "call", "order": 1}}}'


async def measure() -> dict[str, object]:
    """Measure and print; return what programs want to know."""
    processes.leave_a_core_to_the_server()
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(processes.vendor())
        processes.take_the_server_core()  # The vendor keeps the other one.
        url = f"http://127.0.0.1:{port}/outreach/sequenceSteps"
        client = await stack.enter_async_context(aclosing(ProviderHttp()))
        connector = aiohttp.TCPConnector(limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        request = ProviderRequest("outreach", CallKind.WRITE, "POST", url, HEADERS, BODY)

        async def ours() -> None:
            await client.send(request, timeout_seconds=CALL_SECONDS)

        async def plain() -> None:
            async with session.post(url, data=BODY, headers=HEADERS) as answer:
                await answer.json(content_type=None)

        calls = {"the service's client": ours, "aiohttp": plain}
        lowest_us = dict.fromkeys(calls, float("inf"))
        for _ in range(ROUNDS):
            for name, call in calls.items():
                lowest_us[name] = min(lowest_us[name], await _cpu_us(call))
    processes.leave_a_core_to_the_server()
    for name, cpu_us in lowest_us.items():
        say(f"{name:34}{cpu_us:8.1f} µs a call")
    return {"provider_call_us": lowest_us}


async def _cpu_us(call: Callable[[], Awaitable[None]]) -> float:
    async def caller() -> None:
        for _ in range(CALLS_PER_ROUND // CALLERS):
            await call()

    before_seconds = time.process_time()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return (time.process_time() - before_seconds) * 1e6 / CALLS_PER_ROUND


if __name__ == "__main__":
    asyncio.run(measure())
