"""Whether one customer slows another: a provider takes a second over each request of the one.

That customer has as many requests in flight as it may; the other's are answered by the provider at
once. It prints how long the other's requests take beside them, and how long without.

`python -m bench.fairness`
"""

import asyncio
import itertools
import statistics
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
from aiohttp import web

from bench import processes
from bench.report import say
from bench.service_setup import connect, connection, environment_of
from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub
from service.domain.step import ProviderName
from service.settings import Settings

SLOW, QUICK = "slow", "quick"
"""The customers, which are also their tokens."""

SLOW_SECONDS = 1.0
ROUNDS = 5
REQUESTS_PER_ROUND = 200
QUICK_CALLERS = 4
CALL_SECONDS = 60


class Vendor:
    """A stand-in of Outreach that knows nothing and says yes, to one customer slowly."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._slow_requests = 0
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Serve, and give the port."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()

    async def has(self, slow_requests: int) -> None:
        """Wait until exactly so many requests of the slow customer wait for their answers."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._slow_requests == slow_requests)

    async def _count(self, change: int) -> None:
        async with self._changed:
            self._slow_requests += change
            self._changed.notify_all()

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers["authorization"].endswith(SLOW):
            await self._count(1)
            try:
                await asyncio.sleep(SLOW_SECONDS)
            finally:
                await self._count(-1)
        _, resource, *ids = request.path.split("/")
        content: object = []
        if request.method == "POST":
            content = {**(await request.json())["data"], "id": next(self._ids)}
        elif resource == "sequences":
            kind = {"sequenceType": "interval"}
            content = {"type": "sequence", "id": int(ids[0]), "attributes": kind}
        return web.json_response(
            {"data": content},
            status=201 if request.method == "POST" else 200,
            content_type="application/vnd.api+json",
        )


async def main() -> None:
    """Measure, and print."""
    processes.leave_a_core_to_the_server()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        vendor = Vendor()
        vendor_url = f"http://127.0.0.1:{await stack.enter_async_context(vendor.serving())}"
        environment = environment_of(
            str(folder / "engagement.db"), ENGAGEMENT_OUTREACH_API_URL=vendor_url
        )
        settings = Settings.from_environment(environment)
        await connect(
            environment,
            (
                connection(customer, ProviderName("outreach"), customer)
                for customer in (SLOW, QUICK)
            ),
        )
        _, port = await stack.enter_async_context(
            processes.server("service", ("serve",), environment, folder / "log")
        )
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        stub = SequenceStepServiceStub(channel)  # type: ignore[no-untyped-call]
        worked_on = settings.requests_in_flight_per_connection_max
        await _quick_requests(stub)
        alone, beside = [], []
        for _ in range(ROUNDS):
            alone += await _quick_requests(stub)
            async with _saturated(stub, vendor, worked_on):
                beside += await _quick_requests(stub)
        busy = f"beside {2 * worked_on} of another, whose answers take {SLOW_SECONDS:g} s each"
        say(f"{len(alone)} requests of a customer, {QUICK_CALLERS} at a time")
        say(f"  {'with nobody beside them':60}{_shown(alone)}")
        say(f"  {busy:60}{_shown(beside)}")


@asynccontextmanager
async def _saturated(stub: Any, vendor: Vendor, worked_on: int) -> AsyncIterator[None]:
    """Keep as many requests of the slow customer in flight as it may have."""
    sequence_ids = itertools.count(1000)
    callers = [
        asyncio.create_task(_call_for_ever(stub, sequence_ids)) for _ in range(2 * worked_on)
    ]
    await vendor.has(worked_on)
    yield
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    await vendor.has(0)


async def _call_for_ever(stub: Any, sequence_ids: Iterator[int]) -> None:
    while True:
        await _call(stub, SLOW, next(sequence_ids))


async def _quick_requests(stub: Any) -> list[float]:
    """Return how many seconds each request of the quick customer took."""
    left = iter(range(REQUESTS_PER_ROUND))
    seconds: list[float] = []

    async def call(sequence_id: int) -> None:
        for _ in left:
            began_seconds = time.perf_counter()
            await _call(stub, QUICK, sequence_id)
            seconds.append(time.perf_counter() - began_seconds)

    await asyncio.gather(*(call(1 + number) for number in range(QUICK_CALLERS)))
    return seconds


async def _call(stub: Any, customer: str, sequence_id: int) -> None:
    request = service_pb2.CreateSequenceStepRequest(
        request_id=str(uuid.uuid4()),
        sequence_id=str(sequence_id),
        step=step_pb2.SequenceStep(type=step_pb2.STEP_TYPE_CALL, interval_seconds=86_400),
    )
    metadata = (("x-customer-id", customer), ("x-provider-name", "outreach"))
    await stub.CreateSequenceStep(request, metadata=metadata, timeout=CALL_SECONDS)


def _shown(seconds: list[float]) -> str:
    quantiles = statistics.quantiles(seconds, n=100)
    return f"p50 {quantiles[49] * 1000:6.2f} ms   p99 {quantiles[98] * 1000:6.2f} ms"


if __name__ == "__main__":
    asyncio.run(main())
