"""The position of a step in its sequence, as a vendor lists it."""

from typing import Final

from service.domain.json_value import JsonValue

POSITION_MAX: Final = 1_000_000
"""Far above any sequence's length: a greater number is no position, and none to count on from."""


def read_position(value: JsonValue) -> int | None:
    """Return a position, counted from 1; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 1 <= value <= POSITION_MAX else None
