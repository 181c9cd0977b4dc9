"""Random and mutated request bytes, metadata and provider answers, against the service.

python -m tests.fuzz --inputs 100000            # a seed of the moment, which is printed
python -m tests.fuzz --inputs 5000 --seed 1     # as good as the same inputs each time
python -m tests.fuzz --seed 1 --input 12.4711   # one of them again, and what came of it
"""

import argparse
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterable

from tests.fuzz.fuzz_input import Lineage
from tests.fuzz.fuzz_run import GROWTH_BYTES_MAX, Failure, Tally, run_inputs, run_one

INPUTS_DEFAULT = 100_000
SHOWN_CHARACTERS_MAX = 3_000
PROGRESS_INPUTS = 10_000


def main() -> None:
    """Run what the command line says; exit with 1 when a promise was broken."""
    arguments = _arguments()
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    if arguments.input is not None:
        given, outcome = run_one(seed, arguments.input)
        _say(f"{given}\n{outcome}")
        return
    sys.exit(_run(seed, arguments.inputs))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=INPUTS_DEFAULT, help="how many")
    parser.add_argument("--seed", type=int, help="what all of them are made from")
    parser.add_argument("--input", type=_lineage, help="this one alone, as a failure names it")
    return parser.parse_args()


def _lineage(text: str) -> Lineage:
    return tuple(int(number) for number in text.split("."))


def _run(seed: int, count: int) -> int:
    start_seconds = time.perf_counter()

    def progress(done: int) -> None:
        if done % PROGRESS_INPUTS == 0:
            _say(f"{done} inputs")

    tally = run_inputs(seed, count, progress)
    seconds = time.perf_counter() - start_seconds
    _say_counts(tally)
    done = tally.kinds.total()
    _say(f"seed {seed}: {done} inputs in {seconds:.0f} s, {len(tally.kept)} brought something new.")
    has_grown = tally.growth_bytes > GROWTH_BYTES_MAX
    mebibytes = [round(each / 2**20) for each in tally.resident_bytes]
    _say(f"Memory since the warm-up, in MiB: {mebibytes}{' HAS GROWN' if has_grown else ''}")
    for failure in tally.failures:
        _say_failure(seed, failure)
    _say(f"{len(tally.failures)} failures.")
    return 1 if tally.failures or has_grown else 0


def _say_counts(tally: Tally) -> None:
    _say_table("inputs", ((str(kind), count) for kind, count in tally.kinds.most_common()))
    for kind in sorted(tally.kinds):
        outcomes = Counter(
            {(code, why): n for (of, code, why), n in tally.by_kind.items() if of == kind}
        )
        rows = ((f"{code} {why}".strip(), count) for (code, why), count in outcomes.most_common())
        _say_table(f"outcomes of {kind}", rows)


def _say_table(title: str, rows: Iterable[tuple[str, int]]) -> None:
    _say(f"{title}:")
    for name, count in rows:
        _say(f"  {count:>8}  {name}")


def _say_failure(seed: int, failure: Failure) -> None:
    lineage = ".".join(map(str, failure.lineage))
    _say(f"FAILED: python -m tests.fuzz --seed {seed} --input {lineage}")
    _say(repr(failure.given)[:SHOWN_CHARACTERS_MAX])
    _say(failure.why)


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - it talks to a person


if __name__ == "__main__":
    main()
