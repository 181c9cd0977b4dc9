"""All that is measured, one part after the other: `python -m bench`, or `python -m bench PART ...`.

It prints tables for people. Where the environment has `BENCH_JSON`, what programs want to know is
written to that path, with the machine it was measured on and how busy that was before.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from bench import comparison, fairness, journal_cost, provider_call, scale
from bench.report import machine, nested, say

PARTS: dict[str, Callable[[], Awaitable[dict[str, object] | None]]] = {
    "comparison": comparison.measure,
    "journal_cost": journal_cost.main,
    "fairness": fairness.main,
    "provider_call": provider_call.measure,
    "scale": scale.measure,
}


async def _measure(names: Sequence[str]) -> dict[str, object]:
    where = machine()
    say(", ".join(f"{name} {value}" for name, value in where.items()))
    found: dict[str, object] = {"machine": where}
    for name in names:
        say(f"\n{name}\n")
        found |= nested(await PARTS[name]() or {})
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures the service.")
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all when none is named")
    names = parser.parse_args().parts or [*PARTS]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]}")
    found = asyncio.run(_measure(names))
    if path := os.environ.get("BENCH_JSON"):
        Path(path).write_text(json.dumps(found, indent=2))
