"""Runs inputs one after another, keeps those that brought something new, and counts everything.

New is an input whose outcome (what it attacks, code, reason, requests to the provider) was not seen
before: half of the later inputs are changes of such a one. Coverage of lines is not looked at.
"""

import gc
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Final

from tests.application.virtual_time import VirtualTimeLoop
from tests.fuzz.fuzz_input import SOCKET_KINDS, FuzzInput, Kind, Lineage, make
from tests.fuzz.fuzz_stage import FuzzStage, Outcome, captured_log
from tests.fuzz.over_sockets import OverSockets

REAL_SECONDS_MAX: Final = 20.0
"""For one input, whatever it waits for on virtual time: a longer one hangs."""

STAGE_INPUTS: Final = 500
"""After so many the service and its database in memory are made anew."""

KEPT_MAX: Final = 2_000
LINEAGE_MAX: Final = 6
FAILURES_MAX: Final = 20
WARM_UP_SHARE: Final = 0.3
GROWTH_BYTES_MAX: Final = 24 * 1024 * 1024

_PAGE_BYTES: Final = 4096


class Hang(BaseException):
    """An input took longer than it may."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An input that broke a promise."""

    lineage: Lineage
    given: FuzzInput
    why: str


@dataclass(slots=True)
class Tally:
    """What a run has seen."""

    kinds: Counter[Kind] = field(default_factory=Counter)
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_kind: Counter[tuple[Kind, str, str]] = field(default_factory=Counter)
    kept: list[Lineage] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)
    """After the warm-up, and then ten times until the end."""

    @property
    def growth_bytes(self) -> int:
        """How much the memory has grown since the warm-up."""
        return self.resident_bytes[-1] - self.resident_bytes[0] if self.resident_bytes else 0


class Runner:
    """Carries inputs out, wherever each belongs."""

    def __init__(self) -> None:
        self._log = captured_log()
        self._sockets = OverSockets()
        self._stage = self._new_stage()
        self._inputs = 0

    def _new_stage(self) -> FuzzStage:
        loop = VirtualTimeLoop()

        async def made() -> FuzzStage:
            return FuzzStage(loop, log=self._log)

        return loop.run_until_complete(made())

    def run(self, given: FuzzInput) -> Outcome:
        """Carry one input out.

        Raises:
            AssertionError: a promise is broken.
            Exception: a bug.
        """
        self._inputs += 1
        # One with another customer than its own meets what others of the kind left behind.
        if self._inputs % STAGE_INPUTS == 0 or given.kind is Kind.METADATA:
            assert self._stage.serves()
            self._stage.loop.close()
            self._stage = self._new_stage()
        with _limited(REAL_SECONDS_MAX):
            if given.kind in SOCKET_KINDS:
                outcome = self._sockets.run(given)
            else:
                outcome = self._stage.run(given)
        assert outcome.code != "INTERNAL", "a bug"
        return outcome

    def start_over(self) -> None:
        """Make the service anew: the one before may be broken."""
        self._stage = self._new_stage()

    def close(self) -> None:
        """Stop what runs."""
        self._stage.loop.close()
        self._sockets.close()


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def out_of_time(_number: int, _frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_inputs(seed: int, count: int, progress: Callable[[int], object]) -> Tally:
    """Run so many inputs of a seed."""
    tally = Tally()
    seen: set[tuple[object, ...]] = set()
    choices = Random(seed)  # noqa: S311 - it has to be the same again
    runner = Runner()
    for number in range(count):
        lineage = _lineage(choices, number, tally.kept)
        given = make(seed, lineage)
        tally.kinds[given.kind] += 1
        outcome = _carried_out(runner, lineage, given, tally)
        if outcome is not None:
            tally.outcomes[outcome.code, outcome.reason] += 1
            tally.by_kind[given.kind, outcome.code, outcome.reason] += 1
            signature = (given.kind, given.provider, outcome)
            if signature not in seen and len(tally.kept) < KEPT_MAX:
                seen.add(signature)
                tally.kept.append(lineage)
        if len(tally.failures) >= FAILURES_MAX:
            break
        _measure(tally, number, count)
        progress(number + 1)
    runner.close()
    return tally


def run_one(seed: int, lineage: Lineage) -> tuple[FuzzInput, Outcome]:
    """Run one input alone; what it breaks is raised."""
    runner = Runner()
    given = make(seed, lineage)
    return given, runner.run(given)


def _lineage(choices: Random, number: int, kept: list[Lineage]) -> Lineage:
    if not kept or choices.random() < 0.5:
        return (number,)
    return (*choices.choice(kept)[: LINEAGE_MAX - 1], number)


def _carried_out(
    runner: Runner, lineage: Lineage, given: FuzzInput, tally: Tally
) -> Outcome | None:
    try:
        return runner.run(given)
    except (Exception, Hang):  # noqa: BLE001 - whatever it is, it is what is looked for
        tally.failures.append(Failure(lineage, given, traceback.format_exc(limit=-6)))
        runner.start_over()
        return None


def _measure(tally: Tally, number: int, count: int) -> None:
    warm_up = int(count * WARM_UP_SHARE)
    if number >= warm_up and (number - warm_up) % max((count - warm_up) // 10, 1) == 0:
        gc.collect()
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
        tally.resident_bytes.append(int(pages) * _PAGE_BYTES)
