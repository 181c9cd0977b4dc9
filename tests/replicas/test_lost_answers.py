"""Two replicas, 64 callers, and a network that loses every tenth answer."""

import asyncio
import itertools
import random
from collections.abc import Iterator
from typing import Any

from tests.replicas import promises
from tests.replicas.request import Request, any_request, counts
from tests.replicas.stage import Replica, Stage, connect, operations
from tests.service.test_concurrency import VENDORS, sequence_ids
from tests.service.vendor_account import VendorAccount

CALLERS = 64
REQUESTS_EACH = 6
SEQUENCES = 12
"""At Outreach and Apollo, for a third of the callers each; a cadence takes one step only."""

FAULTS = 2000
"""For each method: more than there are requests."""


async def test_one_step_for_each_request(stage: Stage, postgres_url: str) -> None:
    """All steps are equal, and each request is repeated at either replica until it has its own."""
    environment = stage.environment(postgres_url)
    accounts = [await stage.account(vendor, CALLERS * REQUESTS_EACH) for vendor in VENDORS]
    for account in accounts:
        await account.faults([*every_tenth_lost("POST"), *every_tenth_lost("GET")])
    await connect(environment, accounts)
    sequences = {account.name: _sequences(account) for account in accounts}
    callers = [
        [any_request(account, next(sequences[account.name])) for _ in range(REQUESTS_EACH)]
        for account in itertools.islice(itertools.cycle(accounts), CALLERS)
    ]

    async with stage.replica(environment) as one, stage.replica(environment) as two:
        await asyncio.gather(
            *(_call(asked, (one, two), seed) for seed, asked in enumerate(callers))
        )

    assert await operations(environment, only_unsettled=True) == ()
    requests = list(itertools.chain.from_iterable(callers))
    steps = await promises.one_step_each(requests)
    lost = [await _lost_writes(account) for account in accounts]
    print(f"{counts(requests)}; {sum(lost)} writes lost; {steps} steps")  # noqa: T201 - the count
    assert steps == CALLERS * REQUESTS_EACH
    assert min(lost) > 0


def every_tenth_lost(method: str) -> Iterator[dict[str, Any]]:
    """Return faults: of each ten requests the last is not answered, in four ways in turn."""
    ways = itertools.cycle(itertools.product(("close", "reset"), ("after", "before")))
    for kind, when in itertools.islice(ways, FAULTS // 10):
        yield {"kind": "none", "method": method, "times": 9}
        yield {"kind": kind, "when": when, "method": method}


def _sequences(account: VendorAccount) -> Iterator[str]:
    if account.vendor == "salesloft":
        return iter(sequence_ids(account.vendor, CALLERS * REQUESTS_EACH))
    return itertools.cycle(sequence_ids(account.vendor, SEQUENCES))


async def _call(asked: list[Request], replicas: tuple[Replica, Replica], seed: int) -> None:
    """Make requests one after another; some are asked of both replicas at once."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    for request in asked:
        calls = dice.choice((1, 2))
        await asyncio.gather(*(request.settle(lambda: dice.choice(replicas)) for _ in range(calls)))


async def _lost_writes(account: VendorAccount) -> int:
    return sum(write["status"] is None for write in await account.writes())
