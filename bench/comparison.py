"""How fast the service is, as ratios to references that run beside it.

*The floor* makes the same HTTP calls and as many durable commits, and does nothing else; *naive
Python* is how one writes the same quickly; *Express* is a plain service in TypeScript, without a
journal. `python -m bench.references.same_calls` shows that they do the same. Each is measured on
the same processor, where nothing else runs; its callers, the stand-in of the vendors and PostgreSQL
share the others. Requests go to each service in turn, in many short rounds, so that other work on
the machine meets them all alike.

- *CPU* is the processor time a request takes of the server's process: of all its threads, its own
  and the kernel's for it. PostgreSQL's processes are not in it. The number is the median of the
  rounds, with the quartiles.
- A *ratio* is the service's CPU over that of the reference in the same round: again the median.
- *Added latency* is how long a request takes as its caller sees it, less the time that the vendor
  itself takes from a request that was read to its answer written. The stand-in takes next to none,
  so none is taken off: the column *vendor* says how much processor time it uses for all calls of a
  request together, to read and write included. The rest is the service with its commits, the
  network on loopback and the caller's library.
- *Busy* is the share of its processor that the server uses; *others*, how much of the others is in
  use, by whatever runs there. Where the server's is near 100 % and that of the others is not,
  neither the load nor the vendor is the limit. Where both are lower, requests wait for the disk.

Every request has to be answered with the id of a step that nobody was told before; what is not, is
counted as an error.

`python -m bench comparison`
"""

import asyncio
import gc
import itertools
import operator
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from bench import processes
from bench.references import services
from bench.references.services import Service
from bench.references.steps import MAIN, STEPS, Step
from bench.report import Costs, Round, Spread, at_most, cpu_ratio, say
from tests.postgres_server import PostgresServer

ROUND_SECONDS = 0.6
ROUNDS, ROUNDS_OF_OTHER_STEPS = 10, 6
WARM_UP_SECONDS = 1.0

CALLERS = 16
"""At once, for every step; the main one meets the other numbers too."""

CALLERS_OF_MAIN = (1, CALLERS, 64)

ADDED_MS_MAX = {50: 4.0, 99: 10.0}
"""By how many of a hundred requests take no longer."""

Found: TypeAlias = Mapping[str, Costs]
"""By the name of the service."""


@dataclass(frozen=True)
class Ratio:
    """How much of the processor the service may use beside a reference."""

    key: str
    ours: str
    reference: str
    limit: float

    def spread(self, costs: Found) -> Spread:
        """Return what was found."""
        return cpu_ratio(costs[self.ours], costs[self.reference])


RATIOS = (
    Ratio("ratio_floor.sqlite", services.OURS, services.FLOOR, 1.35),
    Ratio("ratio_floor.postgres", services.OURS_POSTGRES, services.FLOOR_POSTGRES, 1.35),
    Ratio("ratio_express", services.OURS, services.EXPRESS, 1.0),
    Ratio("ratio_naive", services.OURS, services.NAIVE, 0.35),
)


async def measure() -> dict[str, object]:
    """Measure and print; return what programs want to know."""
    processes.leave_a_core_to_the_server()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        database = stack.enter_context(closing(PostgresServer()))
        vendor_id, port = await stack.enter_async_context(processes.vendor_process())
        vendor_url = f"http://127.0.0.1:{port}"
        running = await stack.enter_async_context(
            services.all_services(vendor_url, database, folder)
        )
        load = _Load(vendor_id)
        for service, step in itertools.product(running, STEPS):
            await load.round(service, step, max(CALLERS_OF_MAIN), WARM_UP_SECONDS, Costs())
        gc.freeze()  # What is there stays: it need not be looked through in the middle of a round.
        found: dict[tuple[Step, int], Found] = {}
        for step, callers in _cases():
            costs = {service.name: Costs() for service in running}
            for _ in range(ROUNDS if step == MAIN else ROUNDS_OF_OTHER_STEPS):
                for service in running:
                    await load.round(service, step, callers, ROUND_SECONDS, costs[service.name])
            found[step, callers] = costs
            say("\n".join(_table(step, callers, costs)))
    say("\n".join(_judged(found[MAIN, CALLERS], found[MAIN, 1])))
    return {**_for_programs(found[MAIN, CALLERS], found[MAIN, 1]), "comparison": _rows(found)}


class _Load:
    """Asks for steps."""

    def __init__(self, vendor_id: int) -> None:
        self._vendor_id = vendor_id
        self._sequences = itertools.count(1)

    async def round(
        self, service: Service, step: Step, callers: int, seconds: float, costs: Costs
    ) -> None:
        """Let callers ask for one step after the other, each in a sequence of its own."""
        requests_before = costs.requests
        before = self._now(service)
        until_seconds = time.perf_counter() + seconds
        await asyncio.gather(
            *(self._call(service, step, until_seconds, costs) for _ in range(callers))
        )
        spent = map(operator.sub, self._now(service), before)
        costs.rounds.append(Round(costs.requests - requests_before, *spent))

    def _now(self, service: Service) -> tuple[float, float, float, float]:
        return (
            time.perf_counter(),
            processes.cpu_seconds(service.process_id),
            processes.cpu_seconds(self._vendor_id),
            processes.busy_seconds_of_other_cores(),
        )

    async def _call(self, service: Service, step: Step, until_seconds: float, costs: Costs) -> None:
        while (began_seconds := time.perf_counter()) < until_seconds:
            request = step.request(next(self._sequences), str(uuid.uuid4()))
            try:
                step_id = await service.ask(step, request)
            except services.FAILURES:
                step_id = ""
            if not step_id or step_id in costs.step_ids:
                costs.errors += 1
                continue
            costs.seconds.append(time.perf_counter() - began_seconds)
            costs.step_ids.add(step_id)


def _cases() -> Iterator[tuple[Step, int]]:
    """Yield each step with the numbers of callers that it meets."""
    for callers in CALLERS_OF_MAIN:
        yield MAIN, callers
    for step in STEPS:
        if step != MAIN:
            yield step, CALLERS


def _table(step: Step, callers: int, costs: Found) -> Iterator[str]:
    heading = f"{step.name}, {callers} caller{'' if callers == 1 else 's'} at once"
    yield (
        f"{heading:34}{'CPU µs a request':>21}{'requests/s':>19}{'p50 ms':>9}{'p99 ms':>9}"
        f"{'errors':>8}{'busy':>6}{'others':>8}{'vendor µs':>11}"
    )
    for name, cost in costs.items():
        yield (
            f"  {name:32}{cost.cpu_us.shown():>21}{cost.requests_per_second.shown():>19}"
            f"{cost.quantile_ms(50):9.2f}{cost.quantile_ms(99):9.2f}{cost.errors:8}"
            f"{cost.server_busy:6.0%}{cost.others_busy:8.0%}{cost.vendor_us:11.0f}"
        )


def _judged(costs: Found, costs_of_one: Found) -> Iterator[str]:
    yield f"{MAIN.name}: CPU with {CALLERS} callers, latency with 1"
    for ratio in RATIOS:
        if ratio.reference in costs:
            spread = ratio.spread(costs)
            name = f"{ratio.ours} over {ratio.reference}"
            yield f"  {name:48}{spread.shown(2):>20}{at_most(spread.median, ratio.limit):>24}"
    for percent, ms_max in ADDED_MS_MAX.items():
        found_ms = costs_of_one[services.OURS].quantile_ms(percent)
        name = f"added latency of {services.OURS}, p{percent}"
        yield f"  {name:48}{found_ms:17.2f} ms{at_most(found_ms, ms_max):>24}"


def _for_programs(costs: Found, costs_of_one: Found) -> dict[str, object]:
    ratios = {ratio.key: ratio.spread(costs).median for ratio in RATIOS if ratio.reference in costs}
    added_ms = {
        f"added_latency_ms.p{percent}": costs_of_one[services.OURS].quantile_ms(percent)
        for percent in ADDED_MS_MAX
    }
    return {**ratios, **added_ms}


def _rows(found: Mapping[tuple[Step, int], Found]) -> list[dict[str, object]]:
    """Return all that the tables say."""
    return [
        {"step": step.name, "callers": callers, "service": name, **cost.for_programs()}
        for (step, callers), costs in found.items()
        for name, cost in costs.items()
    ]


if __name__ == "__main__":
    asyncio.run(measure())
