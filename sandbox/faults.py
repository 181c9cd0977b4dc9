"""Faults that wait in an account for the requests they are meant for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox import strict_json
from sandbox.effects import KINDS
from sandbox.strict_json import JsonMismatchError

if TYPE_CHECKING:
    from sandbox.effects import Effect


@dataclass(frozen=True, slots=True)
class Match:
    """Which requests a fault meets: method and path (a regular expression, found anywhere).

    `times` is how often it happens; null is until it is removed.
    """

    method: str | None = None
    path: str | None = None
    times: int | None = 1

    def __post_init__(self) -> None:
        """Never is not a number of times."""
        if self.times is not None and self.times < 1:
            raise JsonMismatchError("fault.times: must be at least 1, or null")


_MATCH_KEYS = ("method", "path", "times")


class Fault:
    """An effect, which requests meet it, and how often it is still to happen."""

    def __init__(self, given: dict[str, Any], match: Match, effect: Effect) -> None:
        self.effect = effect
        self.remaining = match.times
        self._given = given
        self._method = match.method
        self._path = None if match.path is None else re.compile(match.path)

    def meets(self, method: str, path: str) -> bool:
        """Whether this request is one of its own."""
        return (self._method is None or self._method == method) and (
            self._path is None or self._path.search(path) is not None
        )

    def describe(self) -> dict[str, Any]:
        """What was given, and how often it is still to happen."""
        return {**self._given, "remaining": self.remaining}


def read_effect(value: object) -> Effect:
    """Reads `{"kind": …, parameters …}`.

    Raises:
        JsonMismatchError: the kind is unknown, or a parameter is.
    """
    if not isinstance(value, dict):
        raise JsonMismatchError("fault: must be an object")
    kind = KINDS.get(str(value.get("kind")))
    if kind is None:
        raise JsonMismatchError(f"fault.kind: must be one of {', '.join(sorted(KINDS))}")
    parameters = {key: item for key, item in value.items() if key != "kind"}
    return strict_json.read(kind, parameters, "fault")


def read_fault(value: object) -> Fault:
    """Reads an effect together with what it is to meet.

    Raises:
        JsonMismatchError: see `read_effect`; also for a path that is no regular expression.
    """
    if not isinstance(value, dict):
        raise JsonMismatchError("fault: must be an object")
    effect = read_effect({key: item for key, item in value.items() if key not in _MATCH_KEYS})
    met = {key: value[key] for key in _MATCH_KEYS if key in value}
    match = strict_json.read(Match, met, "fault")
    try:
        return Fault(value, match, effect)
    except re.error as problem:
        raise JsonMismatchError(f"fault.path: {problem}") from problem


def take(faults: list[Fault], method: str, path: str) -> Effect | None:
    """Returns the effect of the first fault that meets the request, and counts it down."""
    for fault in faults:
        if not fault.meets(method, path):
            continue
        if fault.remaining is not None:
            fault.remaining -= 1
            if fault.remaining == 0:
                faults.remove(fault)
        return fault.effect
    return None
