"""One world from one seed: two replicas, a vendor, clients, and all that goes wrong for a while."""

import asyncio
import gc
import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from service.application.journal_port import OperationSummary
from service.domain.operation import OperationState
from service.domain.step import ConnectionKey, ProviderName, StepRequest
from tests.application import plans
from tests.application.virtual_time import VirtualTimeLoop
from tests.simulation.client import Client
from tests.simulation.cluster import CUSTOMER, PROVIDERS, SETTLE_SECONDS, Cluster
from tests.simulation.notes import Notes
from tests.simulation.seeded_fate import SeededFate
from tests.simulation.tokens import CANARY
from tests.simulation.truth import Truth
from tests.simulation.vendor_side import Arrived
from tests.simulation.weather import Weather, weather

FAULTS_SECONDS: Final = 600.0
QUIET_WITHIN_SECONDS: Final = 4 * 3_600.0
"""After the faults and the clients: by then recovery has settled what can be settled."""

QUIET_PAUSE_SECONDS: Final = 30.0
CLIENTS_MAX: Final = 8
EQUAL_STEPS_SHARE: Final = 0.5
WITHOUT_ID_SHARE: Final = 0.15
DAY_SECONDS: Final = 86_400
ROWS_MAX: Final = 10_000
BUGS: Final = frozenset({"execution_failed", "recovery_failed", "store_failed"})
"""What the service logs when it met a bug of its own."""


class SeededWorld:
    """One world; make it inside the running loop."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(f"world {seed}")  # noqa: S311 - replayed from its seed
        self.notes = Notes()
        self.provider = dice.choice([*PROVIDERS])
        self._weather = weather(dice)
        connection = ConnectionKey(CUSTOMER, self.provider)
        fate_dice = random.Random(f"fate {seed}")  # noqa: S311 - likewise
        self._fate = SeededFate(self._weather, connection, fate_dice, self.notes)
        self._cluster = Cluster(self.provider, self._fate, self._weather.requests_in_flight_max)
        self._truth = Truth(
            self._cluster.vendor_side,
            self.notes,
            self._cluster.clock.monotonic_seconds,
            SETTLE_SECONDS,
            PROVIDERS[self.provider].names_steps,
        )
        self._fate.on_saved = self._truth.check_saved
        self._cluster.vendor_side.on_arrived = self._truth.check_arrived
        self._cluster.vendor_side.on_applied = self._applied
        self._clients = _clients(seed, dice, self._cluster, self._weather, self._truth)

    async def run(self) -> None:
        """Live through it, and check what is left."""
        loop = asyncio.get_running_loop()
        self.notes.event(f"{self.provider}, {self._weather}")
        loop.call_later(FAULTS_SECONDS, self._stop_faults)
        with capture_logs(processors=[format_exc_info]) as logs:
            await asyncio.gather(*(client.run() for client in self._clients))
            await asyncio.sleep(max(FAULTS_SECONDS - loop.time(), 0))
            rows = await self._rows_when_quiet()
            await self._cluster.stop()
        self.notes.facts["requests"] = len(self._truth.wanted)
        self.notes.facts.update(f"ended {row.operation.state.value}" for row in rows)
        self._truth.check_rows([row.operation for row in rows])
        self._look_for_bugs(logs)
        self._look_for_secrets(logs, rows, self.notes.events)

    def _stop_faults(self) -> None:
        self.notes.event("the faults stop")
        self._fate.is_over = True

    def _applied(self, arrived: Arrived) -> None:
        by = "a person" if arrived.sender is None else arrived.sender.key.request_id
        self.notes.event(f"applied: {arrived.resource} of {by}, made {arrived.made}")
        self._truth.check_applied(arrived)
        for step_id in arrived.made:
            self._fate.applied(self._cluster.vendor_side, step_id)

    async def _rows_when_quiet(self) -> tuple[OperationSummary, ...]:
        """Wait until nobody has anything left to look after, as long as it may take."""
        loop = asyncio.get_running_loop()
        last_seconds = loop.time() + QUIET_WITHIN_SECONDS
        while True:
            rows = await self._rows()
            restless = [row for row in rows if not _is_at_rest(row)]
            if (not restless and self._is_quiet()) or loop.time() > last_seconds:
                break
            await asyncio.sleep(QUIET_PAUSE_SECONDS)
        self.notes.event("all is quiet")
        for row in restless:
            self._truth.broke(row.operation.key, "is looked after for ever")
        return rows

    async def _rows(self) -> tuple[OperationSummary, ...]:
        journal = self._cluster.journal
        return await journal.summaries(connection=None, only_unsettled=False, limit=ROWS_MAX)

    def _is_quiet(self) -> bool:
        are_up = all(replica.is_up for replica in self._cluster.replicas)
        return are_up and not self._cluster.vendor_side.is_anything_pending

    def _look_for_bugs(self, logs: Iterable[Mapping[str, object]]) -> None:
        for log in logs:
            if log["event"] in BUGS or log.get("outcome") == "INTERNAL":
                self.notes.broke(f"logged {log}")

    def _look_for_secrets(self, *texts: object) -> None:
        for text in texts:
            if CANARY in str(text):
                self.notes.broke("a token is in what is logged, told, stored or traced")


def _is_at_rest(row: OperationSummary) -> bool:
    """Whether nobody looks after it any more, or only in case a person removes something."""
    operation = row.operation
    waits_for_person = operation.state is OperationState.IN_DOUBT and bool(operation.candidates)
    return row.due_at_epoch_ms is None or waits_for_person


def _clients(
    seed: int,
    dice: random.Random,
    cluster: Cluster,
    weather_now: Weather,
    truth: Truth,
) -> list[Client]:
    """Make the clients, some of which ask for equal steps of the same sequence."""
    kinds = [plan for plan in plans.ALL if plan.provider == cluster.provider]
    sequences = dice.choice(
        [4, 8] if cluster.provider == ProviderName("salesloft") else [1, 1, 1, 2]
    )
    have_equal_steps = dice.random() < EQUAL_STEPS_SHARE
    weights = [len(plan.writes) for plan in kinds]
    (equal_plan,) = dice.choices(kinds, weights)
    clients = []
    for number in range(dice.randint(2, CLIENTS_MAX)):
        plan = equal_plan if have_equal_steps else dice.choices(kinds, weights)[0]
        step = plan.step
        if not have_equal_steps:
            step = replace(step, interval_seconds=DAY_SECONDS * (number + 1), name=f"Step {number}")
        sequence_id = _sequence_id(cluster, dice.randrange(sequences))
        clients.append(
            Client(
                f"client {number}",
                cluster.connection_key,
                plan,
                StepRequest(sequence_id, step),
                dice.random() > WITHOUT_ID_SHARE,
                weather_now.leaving,
                cluster.replicas,
                random.Random(f"client {number} of {seed}"),  # noqa: S311 - replayed
                truth,
            )
        )
    return clients


def _sequence_id(cluster: Cluster, number: int) -> str:
    """Return one of the vendor's sequences; all of Apollo's ids have the same length."""
    some_id = cluster.vendor.sequence_id
    return f"{some_id[:-1]}{number}"


def run_seed(seed: int) -> Notes:
    """Live through the world of a seed, on a loop of its own."""
    loop = VirtualTimeLoop()
    gc.freeze()  # So that the search at the end looks only at what this world made.
    random.seed(seed)  # The pauses before repeats are spread at random.
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        notes = runner.run(_lived_through(seed))
        left_behind = asyncio.all_tasks(loop)
    gc.collect()  # An exception is reported as unseen when its task is thrown away.
    gc.unfreeze()
    notes.broken += [f"task left behind: {task}" for task in left_behind]
    notes.broken += [f"asyncio complains: {complaint}" for complaint in loop.complaints]
    return notes


async def _lived_through(seed: int) -> Notes:
    world = SeededWorld(seed)
    await world.run()
    return world.notes
