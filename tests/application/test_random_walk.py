"""Many operations at once with random faults from a seed: the promises hold for each of them."""

import asyncio
import random
from collections import Counter
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from service.domain.provider_call import ProviderRequest
from service.domain.step import ProviderName, StepRequest
from tests.application import plans
from tests.application.faults import ACCEPTED_OUTCOMES, LOST_OUTCOMES
from tests.application.plans import PlanKind
from tests.application.promises import broken_promises, unsafe_repeats
from tests.application.scripted_http import WORKS, Happening, answer
from tests.application.virtual_time import on_virtual_time
from tests.application.world import PROVIDERS, Outcome, World

SEEDS = range(25)
OPERATIONS = 30
FAULTY_SHARE = 0.3


class _Dice:
    """Decides what is asked for, and what comes of each request."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - replayed from its seed

    def happening(self, request: ProviderRequest) -> Happening:
        if self.random.random() > FAULTY_SHARE:
            return replace(WORKS, takes_seconds=self.random.uniform(0.01, 3))
        unclear = [*LOST_OUTCOMES.values()]
        if request.method == "POST":
            unclear += ACCEPTED_OUTCOMES.values()
        takes_seconds = self.random.choice([0.01, 1.0, None])
        kind = self.random.randrange(5)
        if kind == 0:
            return Happening(plans.NOT_SENT)
        if kind == 1:
            return Happening(answer(self.random.choice([302, 400, 401, 403, 409, 422])))
        if kind == 2:
            wait = {"retry-after": str(self.random.choice([1, 2, 4, 5, 9]))}
            return Happening(answer(429, headers=wait))
        applied = self.random.choice([0.0, 0.5, 3.0, 60.0, None])
        return Happening(self.random.choice(unclear), applied, takes_seconds)

    def request(
        self, world: World, plan: PlanKind, number: int, *, with_equal_steps: bool
    ) -> StepRequest:
        """Return a request for a step like all others, or with values of its own."""
        step = plan.step
        if not with_equal_steps:
            step = replace(step, interval_seconds=86_400 * (number + 1), name=f"Step {number}")
        sequences = 20 if world.provider == plans.SALESLOFT else 3  # A cadence takes one step.
        sequence_id = f"{world.vendor.sequence_id}{self.random.randrange(sequences)}"
        if world.provider == plans.APOLLO:
            sequence_id = sequence_id[1:]  # Its ids all have the same length.
        return StepRequest(sequence_id, step)


async def _one(world: World, dice: _Dice, number: int, request: StepRequest) -> Outcome | None:
    """Run one operation at a random time; None when its caller left."""
    await asyncio.sleep(dice.random.uniform(0, 120))
    deadline_seconds = dice.random.choice([None, 5, 20, 300])
    operation = world.create(request, request_id=str(number), deadline_seconds=deadline_seconds)
    caller = asyncio.create_task(operation)
    patience_seconds = dice.random.choice([None, None, dice.random.uniform(0, 20)])
    await asyncio.wait([caller], timeout=patience_seconds)
    if not caller.done():
        caller.cancel()
        await asyncio.wait([caller])
    return None if caller.cancelled() else caller.result()


def _problems(world: World, plan: PlanKind, number: int, outcome: Outcome | None) -> list[str]:
    """Say which promises one operation broke."""
    caller = str(number)
    new = {id_ for id_, maker in world.http.made_by.items() if maker == caller}
    new &= set(world.vendor.steps)
    problems = [*unsafe_repeats(each for each in world.http.sent if each.caller == caller)]
    if outcome is not None:
        problems += broken_promises(world, plan, outcome, new)
    elif len(new) > 1:
        problems.append(f"made {len(new)} steps")
    return problems


@pytest.mark.parametrize("with_equal_steps", [False, True], ids=["own values", "equal steps"])
@pytest.mark.parametrize("provider", PROVIDERS)
@on_virtual_time
async def test_promises_hold(provider: ProviderName, *, with_equal_steps: bool) -> None:
    kinds = [plan for plan in plans.ALL if plan.provider == provider]
    says: Counter[str] = Counter()
    broken = []
    for seed in SEEDS:
        dice = _Dice(seed)
        world = World(provider)
        world.http.choose = dice.happening
        walk = [dice.random.choice(kinds) for _ in range(OPERATIONS)]
        requests = [
            dice.request(world, plan, number, with_equal_steps=with_equal_steps)
            for number, plan in enumerate(walk)
        ]
        with capture_logs() as logs:
            ends = await asyncio.gather(
                *(_one(world, dice, number, request) for number, request in enumerate(requests))
            )
            await world.tasks.drain(600)
            await asyncio.sleep(120)  # What is late arrives.
        unheard = [event for event in logs if event["event"] == "operation_without_caller"]
        assert (len(unheard), world.admission._turns) == (ends.count(None), {})
        says.update("left" if outcome is None else outcome.says for outcome in ends)
        broken += [
            f"seed {seed}, operation {number}: {problem}"
            for number, (plan, outcome) in enumerate(zip(walk, ends, strict=True))
            for problem in _problems(world, plan, number, outcome)
        ]
    print(f"{provider}, seeds {SEEDS}: {dict(says)}")  # noqa: T201 - for the reader
    assert broken == []
