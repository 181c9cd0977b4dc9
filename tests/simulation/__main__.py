"""Runs seeded worlds: `python -m tests.simulation --seeds 200`, or one of them with `--seed 7`."""

import argparse
import sys
import time

from tests.simulation.notes import Notes
from tests.simulation.seeded_world import run_seed


def main() -> None:
    arguments = _arguments()
    if arguments.seed is not None:
        sys.exit(_show(arguments.seed))
    sys.exit(_run(range(arguments.first, arguments.first + arguments.seeds)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many worlds")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first one")
    parser.add_argument("--seed", type=int, help="this world alone, and all that happens in it")
    return parser.parse_args()


def _show(seed: int) -> int:
    notes = run_seed(seed)
    for event in notes.events:
        _say(event)
    for promise in notes.broken:
        _say(f"BROKEN: {promise}")
    _say(notes.counts())
    return 1 if notes.broken else 0


def _run(seeds: range) -> int:
    all_notes = Notes()
    failing = []
    start_seconds = time.perf_counter()
    for seed in seeds:
        notes = run_seed(seed)
        all_notes.add(notes)
        if notes.broken:
            failing.append(seed)
        for promise in notes.broken:
            _say(f"seed {seed}: {promise}")
    seconds = time.perf_counter() - start_seconds
    _say(all_notes.counts())
    _say(f"{len(seeds)} worlds in {seconds:.1f} s, {len(seeds) / seconds:.1f} a second.")
    if failing:
        _say(f"{len(failing)} with a broken promise; `make simulate SEED={failing[0]}` shows one.")
    return 1 if failing else 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - it talks to a person


if __name__ == "__main__":
    main()
