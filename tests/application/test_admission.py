"""Who may start: the bounds on requests in flight, and the turns at one sequence."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.application.admission import Admission
from service.domain.errors import ServiceError
from service.domain.provider_call import AnswerLost, ProviderAnswer
from service.domain.step import ConnectionKey, ProviderName
from tests.application import plans
from tests.application.scripted_http import Happening, answer
from tests.application.virtual_time import VirtualTimeLoop, on_virtual_time
from tests.application.world import PROVIDERS, SETTLE_SECONDS, World

SLOW = Happening(applied_after_seconds=0, takes_seconds=20)
STEP = "POST /sequenceSteps"


def _is_idle(world: World) -> bool:
    """Whether nothing is counted or kept for requests that have ended."""
    return _holds_nothing(world.admission) and not world.tasks._tasks


def _holds_nothing(admission: Admission) -> bool:
    counts = (admission._turns, admission._connections, admission._requests)
    providers = admission._providers.values()
    return counts == ({}, {}, 0) and all(
        (share.requests, 2 * share.places._value) == (0, share.requests_max)
        and not share.places._waiters
        for share in providers
    )


@on_virtual_time
async def test_requests_beyond_the_bound_are_turned_away_at_once() -> None:
    world = World(plans.OUTREACH, requests_in_flight_max=3)
    requests = [world.request(plans.CALL, sequence_id=str(number)) for number in (1, 2, 3, 4)]
    outcomes = await asyncio.gather(*(world.create(request) for request in requests))
    assert [outcome.says for outcome in outcomes] == ["OK", "OK", "OK", "SERVICE_OVERLOADED"]
    assert outcomes[3].error.retry_after_seconds == 1
    assert (await world.create(requests[3])).says == "OK"
    assert _is_idle(world)


@on_virtual_time
async def test_an_operation_whose_caller_left_still_counts() -> None:
    world = World(plans.OUTREACH, requests_in_flight_max=1)
    world.http.script[STEP] = [SLOW]
    caller = world.start(plans.CALL)
    await asyncio.sleep(1)
    caller.cancel()
    await asyncio.wait([caller])
    other = world.request(plans.CALL, sequence_id="4712")
    assert (await world.create(other)).says == "SERVICE_OVERLOADED"
    await world.tasks.drain(60)
    assert (await world.create(other)).says == "OK"
    assert _is_idle(world)


SLOW_PROVIDER = Happening(applied_after_seconds=0, takes_seconds=5)


class _TimedAdmission(Admission):
    """Notes how long each customer's requests waited, at whatever provider."""

    def __init__(self, *limits: int) -> None:
        super().__init__(*limits)
        self.waited_seconds: dict[str, float] = defaultdict(float)

    @asynccontextmanager
    async def turn(
        self, key: ConnectionKey, sequence_id: str, wait_seconds: float
    ) -> AsyncIterator[None]:
        began_seconds = asyncio.get_running_loop().time()
        async with super().turn(key, sequence_id, wait_seconds):
            self._note(key, began_seconds)
            yield

    @asynccontextmanager
    async def place(self, key: ConnectionKey, wait_seconds: float) -> AsyncIterator[None]:
        began_seconds = asyncio.get_running_loop().time()
        async with super().place(key, wait_seconds):
            self._note(key, began_seconds)
            yield

    def _note(self, key: ConnectionKey, began_seconds: float) -> None:
        waited_seconds = asyncio.get_running_loop().time() - began_seconds
        self.waited_seconds[key.customer_id] += waited_seconds


@on_virtual_time
async def test_a_customer_that_saturates_its_connection_keeps_nobody_else_waiting() -> None:
    admission = _TimedAdmission(1000, 200, 50)
    outreach, apollo = (World(at, admission=admission) for at in (plans.OUTREACH, plans.APOLLO))
    outreach.http.always[STEP] = SLOW_PROVIDER
    greedy = [
        asyncio.create_task(
            outreach.create(
                outreach.request(plans.CALL, sequence_id=str(number)), customer="greedy"
            )
        )
        for number in range(1, 201)
    ]
    await asyncio.sleep(1)
    others = [f"customer {number}" for number in range(50)]
    outcomes = await asyncio.gather(
        *(at.create(plans.CALL, customer=each) for at in (outreach, apollo) for each in others)
    )
    assert {outcome.says for outcome in outcomes} == {"OK"}
    assert {each: admission.waited_seconds[each] for each in others} == dict.fromkeys(others, 0)
    says = [outcome.says for outcome in await asyncio.gather(*greedy)]
    assert says == ["OK"] * 100 + ["SERVICE_OVERLOADED"] * 100
    assert admission.waited_seconds["greedy"] > 5 * 50
    assert _is_idle(outreach)
    assert _is_idle(apollo)


@on_virtual_time
async def test_providers_that_hang_leave_the_third_its_places() -> None:
    """Two of three have all that they may have in flight; still nobody waits at the third."""
    admission = _TimedAdmission(1000, 200, 50)
    customers = [f"customer {number % 4}" for number in range(200)]
    with ExitStack() as stack:
        for provider in (plans.OUTREACH, plans.SALESLOFT):
            for customer in customers * 2:
                stack.enter_context(admission.request(ConnectionKey(customer, provider)))
        world = World(plans.APOLLO, admission=admission)
        requests = [
            world.request(plans.CALL, sequence_id=f"{number:024x}") for number in range(200)
        ]
        outcomes = await asyncio.gather(
            *(
                world.create(request, customer=customer)
                for request, customer in zip(requests, customers, strict=True)
            )
        )
    assert {outcome.says for outcome in outcomes} == {"OK"}
    assert set(admission.waited_seconds.values()) == {0}
    assert _holds_nothing(admission)


@on_virtual_time
async def test_requests_of_one_connection_are_worked_on_in_order_of_arrival() -> None:
    world = World(plans.OUTREACH, admission=Admission(100, 50, 2))
    world.http.always[STEP] = SLOW_PROVIDER
    tasks = []
    for number in range(4):
        request = world.request(plans.CALL, sequence_id=str(number + 1))
        tasks.append(world.start(request, caller=f"caller {number}"))
        await asyncio.sleep(0.01)
    assert {outcome.says for outcome in await asyncio.gather(*tasks)} == {"OK"}
    writes = [(sent.caller, sent.at_seconds) for sent in world.http.sent if sent.is_write]
    assert [caller for caller, _ in writes] == [f"caller {number}" for number in range(4)]
    assert [int(seconds // 5) for _, seconds in writes] == [0, 0, 1, 1]


@on_virtual_time
async def test_a_customers_queue_is_not_in_front_of_another_customer() -> None:
    """All places of the provider are taken: the next is not for who waits at their own limit."""
    world = World(plans.OUTREACH, admission=Admission(100, 3, 3))
    world.http.always[STEP] = SLOW_PROVIDER
    tasks = []
    for number in range(5):
        request = world.request(plans.CALL, sequence_id=str(number + 1))
        tasks.append(world.start(request, caller=f"acme {number}"))
        await asyncio.sleep(1)
    tasks.append(asyncio.create_task(world.create(plans.CALL, customer="bolt", request_id="bolt")))
    assert {outcome.says for outcome in await asyncio.gather(*tasks)} == {"OK"}
    writers = [sent.caller for sent in world.http.sent if sent.is_write]
    assert writers == ["acme 0", "acme 1", "acme 2", "bolt", "acme 3", "acme 4"]


@on_virtual_time
async def test_who_waits_at_a_sequence_holds_no_place() -> None:
    world = World(plans.OUTREACH, admission=Admission(100, 2, 2))
    world.http.always[STEP] = SLOW_PROVIDER
    at_one_sequence = [world.start(plans.CALL) for _ in range(3)]
    await asyncio.sleep(1)
    request = world.request(plans.CALL, sequence_id="4712")
    assert (await world.create(request)).says == "OK"
    assert world.clock.monotonic_seconds() < 7
    assert {outcome.says for outcome in await asyncio.gather(*at_one_sequence)} == {"OK"}


LIMITS = [
    ((4, 4, 2), ("acme",) * 4, "acme", " requests of this customer at Outreach in flight as"),
    ((8, 2, 2), ("acme", "bolt") * 2, "cast", " requests at Outreach in flight as it takes"),
    ((3, 3, 3), ("acme", "bolt", "cast"), "dart", " as many requests in flight as it takes"),
]


@pytest.mark.parametrize(("limits", "present", "comes", "says"), LIMITS)
@on_virtual_time
async def test_who_comes_when_all_waiting_room_is_taken_is_told_which_limit_it_is(
    limits: tuple[int, int, int], present: tuple[str, ...], comes: str, says: str
) -> None:
    world = World(plans.OUTREACH, admission=Admission(*limits))
    world.http.always[STEP] = SLOW_PROVIDER
    tasks = [
        asyncio.create_task(
            world.create(world.request(plans.CALL, sequence_id=str(1 + number)), customer=customer)
        )
        for number, customer in enumerate(present)
    ]
    await asyncio.sleep(1)
    refused = await world.create(plans.CALL, customer=comes)
    assert (refused.says, world.clock.monotonic_seconds()) == ("SERVICE_OVERLOADED", 1)
    assert says in refused.error.message
    assert refused.error.retry_after_seconds == 1
    assert {outcome.says for outcome in await asyncio.gather(*tasks)} == {"OK"}
    assert _is_idle(world)


@pytest.mark.parametrize(
    ("limits", "whose"),
    [
        ((9, 9, 1), " requests of this customer at Outreach as"),
        ((9, 1, 1), " requests at Outreach"),
    ],
)
@on_virtual_time
async def test_a_place_is_waited_for_within_the_deadline(
    limits: tuple[int, int, int], whose: str
) -> None:
    world = World(plans.OUTREACH, admission=Admission(*limits))
    world.http.script[STEP] = [SLOW]
    customer = "acme" if limits == (9, 9, 1) else "bolt"
    first = world.start(plans.CALL)
    await asyncio.sleep(1)
    sent = len(world.http.sent)
    request = world.request(plans.CALL, sequence_id="4712")
    late = await world.create(request, customer=customer, deadline_seconds=10)
    assert (late.says, len(world.http.sent)) == ("SERVICE_OVERLOADED", sent)
    assert world.clock.monotonic_seconds() == pytest.approx(1 + 8)
    assert whose in late.error.message
    assert late.error.retry_after_seconds == 1
    patient = asyncio.create_task(world.create(request, customer=customer, deadline_seconds=60))
    assert (await first).says == "OK"
    assert (await patient).says == "OK"
    assert _is_idle(world)


@on_virtual_time
async def test_validate_only_waits_for_a_place() -> None:
    world = World(plans.OUTREACH, admission=Admission(9, 9, 1))
    world.http.script[STEP] = [SLOW_PROVIDER]
    first = world.start(plans.CALL)
    await asyncio.sleep(1)
    planned = await world.create(world.request(plans.CALL, validate_only=True))
    assert planned.says == "OK"
    assert world.clock.monotonic_seconds() > 5
    assert (await first).says == "OK"
    assert _is_idle(world)


@pytest.mark.parametrize(("limits", "at_work"), [((9, 9, 1), "acme"), ((9, 1, 1), "bolt")])
@on_virtual_time
async def test_a_finished_request_is_answered_without_a_place(
    limits: tuple[int, int, int], at_work: str
) -> None:
    world = World(plans.OUTREACH, admission=Admission(*limits))
    done = await world.create(plans.CALL, request_id="done")
    world.http.script[STEP] = [SLOW_PROVIDER]
    began_seconds = world.clock.monotonic_seconds()
    other = world.request(plans.CALL, sequence_id="4712")
    first = asyncio.create_task(world.create(other, customer=at_work))
    await asyncio.sleep(1)
    again = await world.create(plans.CALL, request_id="done")
    assert (again.says, again.step_id) == ("OK", done.step_id)
    assert world.clock.monotonic_seconds() < began_seconds + 2
    assert (await first).says == "OK"
    assert _is_idle(world)


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request, as the admission sees it."""

    key: ConnectionKey
    sequence_id: str
    comes_after_seconds: int
    waits_seconds: int
    works_seconds: int
    leaves_after_seconds: int


_SECONDS = st.integers(0, 5)
_VISITS = st.lists(
    st.builds(
        _Visit,
        st.builds(ConnectionKey, st.sampled_from(["acme", "bolt"]), st.sampled_from([*PROVIDERS])),
        st.sampled_from(["1", "2", "3"]),
        _SECONDS,
        _SECONDS,
        _SECONDS,
        _SECONDS,
    ),
    max_size=60,
)


class _Visits:
    """Runs visits, and sees to it that no more are worked on than may be."""

    def __init__(self, admission: Admission, per_provider: int, per_connection: int) -> None:
        self._admission = admission
        self._per_provider = per_provider
        self._per_connection = per_connection
        self._working: Counter[ConnectionKey | ProviderName] = Counter()

    async def make(self, visit: _Visit) -> None:
        await asyncio.sleep(visit.comes_after_seconds)
        with suppress(TimeoutError, ServiceError):
            async with asyncio.timeout(visit.leaves_after_seconds):
                await self._ask(visit)

    async def _ask(self, visit: _Visit) -> None:
        admission, key, seconds = self._admission, visit.key, visit.waits_seconds
        with admission.request(key):
            async with (
                admission.turn(key, visit.sequence_id, seconds),
                admission.place(key, seconds),
            ):
                self._working.update((key, key.provider))
                assert self._working[key] <= self._per_connection
                assert self._working[key.provider] <= self._per_provider
                try:
                    await asyncio.sleep(visit.works_seconds)
                finally:
                    self._working.subtract((key, key.provider))


@settings(max_examples=100, deadline=None)
@given(visits=_VISITS, limits=st.sampled_from([(9, 3, 2), (30, 2, 1), (4, 4, 4)]))
@on_virtual_time
async def test_whatever_happens_nothing_is_kept(
    visits: list[_Visit], limits: tuple[int, int, int]
) -> None:
    """Requests come, wait, are worked on and leave at the same moments, in any number."""
    admission = Admission(*limits)
    house = _Visits(admission, *limits[1:])
    async with asyncio.TaskGroup() as group:
        for visit in visits:
            group.create_task(house.make(visit))
    assert _holds_nothing(admission)


@on_virtual_time
async def test_one_sequence_is_served_in_order_of_arrival() -> None:
    world = World(plans.OUTREACH)
    tasks = []
    for number in range(6):
        tasks.append(world.start(plans.OUTREACH_LINK.step, caller=f"caller {number}"))
        await asyncio.sleep(0.01)
    outcomes = await asyncio.gather(*tasks)
    assert {outcome.says for outcome in outcomes} == {"OK"}
    writers = [sent.caller for sent in world.http.sent if sent.is_write]
    assert writers == [f"caller {number}" for number in range(6) for _ in ("step", "link")]
    orders = [world.vendor.steps[outcome.step_id]["attributes"]["order"] for outcome in outcomes]
    assert orders == [1, 2, 3, 4, 5, 6]
    assert _is_idle(world)


@pytest.mark.parametrize(("deadline_seconds", "busy_after_seconds"), [(10, 8), (2.5, 0.5)])
@on_virtual_time
async def test_a_busy_sequence_is_waited_for_within_the_deadline(
    deadline_seconds: float, busy_after_seconds: float
) -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [SLOW]
    first = world.start(plans.CALL)
    await asyncio.sleep(1)
    sent = len(world.http.sent)
    second = await world.create(plans.CALL, deadline_seconds=deadline_seconds)
    waited_seconds = world.clock.monotonic_seconds() - 1
    assert (second.says, len(world.http.sent)) == ("SEQUENCE_BUSY", sent)
    assert waited_seconds == pytest.approx(busy_after_seconds, abs=0.01)
    assert second.error.retry_after_seconds == 1
    assert (await first).says == "OK"
    assert _is_idle(world)


@on_virtual_time
async def test_a_free_sequence_needs_no_time_to_wait() -> None:
    """With 2 s left there is nothing to wait with, and still the turn is there to be had."""
    world = World(plans.OUTREACH)
    outcome = await world.create(plans.CALL, deadline_seconds=1.5)
    assert outcome.says == "DEADLINE_TOO_SHORT"
    assert _is_idle(world)


@on_virtual_time
async def test_validate_only_takes_no_turn() -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [SLOW]
    first = world.start(plans.CALL)
    await asyncio.sleep(1)
    planned = await world.create(world.request(plans.CALL, validate_only=True))
    assert planned.says == "OK"
    assert world.clock.monotonic_seconds() < 2
    assert (await first).says == "OK"


@on_virtual_time
async def test_other_sequences_and_customers_do_not_wait() -> None:
    world = World(plans.OUTREACH)
    world.http.always[STEP] = SLOW
    sequences = (world.create(world.request(plans.CALL, sequence_id=str(n))) for n in range(1, 9))
    customers = (world.create(plans.CALL, customer=f"customer-{n}") for n in range(8))
    outcomes = await asyncio.gather(*sequences, *customers)
    assert {outcome.says for outcome in outcomes} == {"OK"}
    assert world.clock.monotonic_seconds() < 21
    assert len(world.vendor.steps) == 16


@on_virtual_time
async def test_two_callers_of_one_sequence_get_two_steps() -> None:
    world = World(plans.OUTREACH)
    first, second = await asyncio.gather(world.create(plans.CALL), world.create(plans.CALL))
    assert (first.says, second.says) == ("OK", "OK")
    assert world.vendor.step_ids(world.vendor.sequence_id) == {first.step_id, second.step_id}


@on_virtual_time
async def test_the_second_caller_of_a_salesloft_cadence_finds_it_taken() -> None:
    world = World(plans.SALESLOFT)
    first, second = await asyncio.gather(world.create(plans.CALL), world.create(plans.CALL))
    assert (first.says, second.says) == ("OK", "SEQUENCE_NOT_EMPTY")
    assert world.vendor.step_ids(world.vendor.sequence_id) == {first.step_id}


@pytest.mark.parametrize("leaver", [0, 1, 2])
@on_virtual_time
async def test_a_caller_that_leaves_at_any_moment_leaks_nothing(leaver: int) -> None:
    """Three callers of one sequence, one of which leaves at each turn of the loop in turn."""
    loop = cast("VirtualTimeLoop", asyncio.get_running_loop())
    turns = 0
    while True:
        turns += 1
        world = World(plans.OUTREACH, requests_in_flight_max=3)
        callers = [world.start(plans.CALL, caller=f"caller {number}") for number in range(3)]
        loop.call_at_turn(loop.turns + turns, callers[leaver].cancel)
        ends = await asyncio.gather(*callers, return_exceptions=True)
        await world.tasks.drain(60)
        stayed = [end for number, end in enumerate(ends) if number != leaver]
        assert all(not isinstance(end, BaseException) and end.says == "OK" for end in stayed)
        made = list(world.http.made_by.values())
        assert len(made) == len(set(made)) >= 2
        assert _is_idle(world)
        if not isinstance(ends[leaver], asyncio.CancelledError):
            break
    print(f"caller {leaver} left at each of {turns - 1} moments")  # noqa: T201 - for the reader
    assert turns > 10


@on_virtual_time
async def test_a_waiter_whose_time_is_over_as_its_turn_comes_leaks_nothing() -> None:
    """The turn comes at the very moment at which the wait ends, or just before or after it."""
    for offset_seconds in (-0.001, 0.0, 0.001):
        world = World(plans.OUTREACH)
        world.http.script[STEP] = [SLOW]
        first = world.start(plans.CALL)
        second = asyncio.create_task(
            world.create(plans.CALL, deadline_seconds=20.051 + 2 + offset_seconds)
        )
        assert (await first).says == "OK"
        assert (await second).says in {"SEQUENCE_BUSY", "DEADLINE_TOO_SHORT"}
        assert (await world.create(plans.CALL)).says == "OK"
        assert _is_idle(world)


@pytest.mark.parametrize(
    ("outcome", "arrives_after_seconds"),
    [(plans.LOST, 16.5), (answer(500), 16.5), (answer(200, {}), 5)],
    ids=["lost", "500", "accepted without an id"],
)
@on_virtual_time
async def test_a_late_step_is_not_taken_for_that_of_the_next_caller(
    outcome: ProviderAnswer | AnswerLost, arrives_after_seconds: float
) -> None:
    """The first caller was told "not known"; then its step comes, while the second is at work."""
    world = World(plans.OUTREACH)
    late = Happening(outcome, applied_after_seconds=arrives_after_seconds)
    world.http.script[STEP] = [late, Happening(plans.LOST)]
    first = await world.start(plans.CALL, caller="first")
    second = await world.start(plans.CALL, caller="second")
    await asyncio.sleep(120)
    assert first.says == "OUTCOME_UNKNOWN"
    assert world.http.made_by == {next(iter(world.vendor.steps)): "first"}
    assert second.says != "OK"


@on_virtual_time
async def test_a_sequence_is_quiet_until_a_lost_write_has_settled() -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = [Happening(plans.LOST)]
    assert (await world.create(plans.CALL)).says == "OUTCOME_UNKNOWN"
    (lost,) = (sent for sent in world.http.sent if sent.is_write)
    quiet_until_seconds = lost.at_seconds + SETTLE_SECONDS
    sent = len(world.http.sent)
    await asyncio.sleep(20)
    busy = await world.create(plans.CALL)
    assert (busy.says, len(world.http.sent)) == ("SEQUENCE_BUSY", sent)
    wait_seconds = quiet_until_seconds - world.clock.monotonic_seconds()
    assert busy.error.retry_after_seconds == pytest.approx(wait_seconds, abs=0.01)
    others = [
        await world.create(world.request(plans.CALL, sequence_id="4712")),
        await world.create(plans.CALL, customer="bolt"),
        await world.create(world.request(plans.CALL, validate_only=True)),
    ]
    assert [other.says for other in others] == ["OK", "OK", "OK"]
    await asyncio.sleep(wait_seconds)
    assert (await world.create(plans.CALL)).says == "OK"


@pytest.mark.parametrize(
    "script",
    [
        [],
        [Happening(answer(422))],
        [Happening(plans.NOT_SENT)] * 3,
        [Happening(answer(429, headers={"retry-after": "1"}))],
    ],
    ids=["done", "refused", "never sent", "turned away at first"],
)
@on_virtual_time
async def test_a_write_that_is_settled_keeps_nobody_away(script: list[Happening]) -> None:
    world = World(plans.OUTREACH)
    world.http.script[STEP] = list(script)
    await world.create(plans.CALL)
    assert (await world.create(plans.CALL)).says == "OK"
