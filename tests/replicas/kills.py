"""One of two replicas is killed at a random moment under load, again and again."""

import asyncio
import itertools
import random
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack

from tests.replicas import promises
from tests.replicas.request import WROTE_NOTHING, Request, counts, marked_request
from tests.replicas.stage import Replica, Stage, connect, operations
from tests.service.test_concurrency import sequence_ids
from tests.service.vendor_account import VendorAccount

SEED = 20_240_817
ROUNDS = 50
BOTH_SERVE_SECONDS = (0.0, 0.5)
"""Between two kills; besides, a process takes about a second to start."""

NEW_REQUEST_SECONDS = 0.1
"""Between two new requests."""

VENDOR_SECONDS = 0.1
"""How long a vendor takes before it applies a request, and again before it answers."""

IMPATIENT_SECONDS = (2.15, 2.5)
"""The service writes nothing when less than two are left, and the survey takes some."""

CADENCES = 1000
"""More than there are requests for one: a cadence takes one step."""

SHARED_SEQUENCES = 200
"""So few that some requests come to the sequence of one whose process has died."""


async def kills(stage: Stage, postgres_url: str) -> str:
    """Kill, repeat every request until it is settled, and ask the vendors; return the counts."""
    dice = random.Random(SEED)  # noqa: S311 - no secret
    environment = stage.environment(postgres_url)
    accounts = await stage.slow_accounts(CADENCES, VENDOR_SECONDS)
    await connect(environment, accounts)

    async with AsyncExitStack() as stack:
        serving = [await stack.enter_async_context(stage.replica(environment)) for _ in range(2)]
        load = _Load(_new_requests(accounts, dice), serving, dice)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            for _ in range(ROUNDS):
                await asyncio.sleep(dice.uniform(*BOTH_SERVE_SECONDS))
                await serving.pop(dice.randrange(len(serving))).kill()
                serving.append(await stack.enter_async_context(stage.replica(environment)))
            load.is_over = True
    return await _checked(load.requests, environment)


class _Load:
    """Callers that come at a steady pace; each wants one step.

    Half of them are impatient: they call with so short a deadline that often nothing is written,
    and once they are told so, they give up.
    """

    def __init__(
        self, new_requests: Iterator[Request], serving: list[Replica], dice: random.Random
    ) -> None:
        self.requests: list[Request] = []
        self.is_over = False
        self._new_requests = new_requests
        self._serving = serving
        self._dice = dice

    async def run(self) -> None:
        """Let callers come until it is over, and then let all of them settle."""
        async with asyncio.TaskGroup() as callers:
            while not self.is_over:
                request = next(self._new_requests)
                self.requests.append(request)
                callers.create_task(self._call(request))
                await asyncio.sleep(NEW_REQUEST_SECONDS)

    async def _call(self, request: Request) -> None:
        if self._dice.choice((True, False)):
            answer = await request.ask(self._pick(), self._dice.uniform(*IMPATIENT_SECONDS))
            if answer.reason in WROTE_NOTHING:
                return
        await request.settle(self._pick)  # Also when it is: the answer stays the same.

    def _pick(self) -> Replica:
        return self._dice.choice(self._serving)


def _new_requests(accounts: list[VendorAccount], dice: random.Random) -> Iterator[Request]:
    cadences = iter(sequence_ids("salesloft", CADENCES))
    for account in itertools.cycle(accounts):
        if account.vendor == "salesloft":
            yield marked_request(account, next(cadences))
        else:
            shared = sequence_ids(account.vendor, SHARED_SEQUENCES)
            yield marked_request(account, dice.choice(shared))


async def _checked(requests: list[Request], environment: Mapping[str, str]) -> str:
    assert await operations(environment, only_unsettled=True) == ()
    assert not any(each.operation.duplicates for each in await operations(environment))
    steps = await promises.one_step_each(requests)
    given_up = sum(not request.step_ids for request in requests)
    assert steps == len(requests) - given_up
    kept = await promises.nothing_where_nothing_was_promised(requests)
    return (
        f"{ROUNDS} kills; {counts(requests)}; {steps} steps, {given_up} callers gave up; "
        f"{kept} times nothing was promised"
    )
