"""Two hundred worlds keep all promises, everything that can go wrong does, and a seed replays."""

import os
import subprocess
import sys
from typing import Final

import pytest

from tests.simulation.notes import Notes
from tests.simulation.seeded_world import run_seed

SEEDS: Final = 200
"""`make simulate` runs as many as one likes."""

REPLAYED: Final = range(6)

FAULTS: Final = {
    "applied late",
    "commit done, and not told",
    "connections fail",
    "crash",
    "freeze",
    "machine suspended",
    "outage",
    "person adds an equal step",
    "person alters a step",
    "person removes a step",
    "read: 429",
    "read: 5xx",
    "read: cut off",
    "read: hangs",
    "read: lost",
    "read: not connected",
    "refresh fails",
    "shown late",
    "slow store",
    "store fails",
    "token expires",
    "too late to start",
    "vendor too slow",
    "write: 2xx without an id",
    "write: 429",
    "write: 5xx",
    "write: hangs",
    "write: lost",
    "write: maintenance",
    "write: not connected",
    "write: refused",
}
ANSWERS: Final = {
    "CONNECTION_EXPIRED",
    "DEADLINE_TOO_SHORT",
    "OK",
    "OK, replayed",
    "OUTCOME_UNKNOWN",
    "PROVIDER_FORBIDDEN",
    "PROVIDER_RATE_LIMITED",
    "PROVIDER_REJECTED",
    "PROVIDER_UNAVAILABLE",
    "REQUEST_ID_REUSED",
    "REQUEST_IN_PROGRESS",
    "SEQUENCE_BUSY",
    "SEQUENCE_NOT_EMPTY",
    "SERVICE_OVERLOADED",
    "STEP_INCOMPLETE",
    "STORE_UNAVAILABLE",
    "left",
    "no answer",
}
RARE_ANSWERS: Final = {"STEP_REMOVED"}


def test_promises_hold_in_every_world() -> None:
    all_notes = Notes()
    broken = []
    for seed in range(SEEDS):
        notes = run_seed(seed)
        all_notes.add(notes)
        broken += [f"make simulate SEED={seed}: {promise}" for promise in notes.broken]
    print(all_notes.counts())  # noqa: T201 - for the reader
    assert broken == []
    assert {*all_notes.faults} == FAULTS
    assert {*all_notes.outcomes} - RARE_ANSWERS == ANSWERS


@pytest.mark.parametrize("seed", REPLAYED)
def test_the_same_seed_gives_the_same_world(seed: int) -> None:
    assert run_seed(seed).events == run_seed(seed).events


def test_a_seed_replays_in_another_process() -> None:
    """Whatever order its sets have there."""
    shown = [_shown(seed=0, hash_seed=str(number)) for number in (1, 2)]
    assert shown[0] == shown[1]


def _shown(seed: int, hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed)]
    ended = subprocess.run(  # noqa: S603 - this project's own program
        command,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout
