"""Checks of single values in a request body, shared by the three vendors' rules.

A check takes a value and returns what is wrong with it, or None. How that is told to the client
is each vendor's own business.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from typing import Any

Check = Callable[[Any], str | None]


def text(*, longest: int | None = None) -> Check:
    """A string of at most `longest` characters."""

    def check(value: Any) -> str | None:
        if not isinstance(value, str):
            return "must be a string"
        if longest is not None and len(value) > longest:
            return f"is too long (maximum is {longest} characters)"
        return None

    return check


def pattern(expression: str, description: str) -> Check:
    """A string that is, as a whole, of a form."""
    compiled = re.compile(expression)

    def check(value: Any) -> str | None:
        if isinstance(value, str) and compiled.fullmatch(value):
            return None
        return f"must be {description}"

    return check


def calendar_date(value: Any) -> str | None:
    """A day that exists, as `YYYY-MM-DD`."""
    try:
        well_formed = isinstance(value, str) and date.fromisoformat(value).isoformat() == value
    except ValueError:
        well_formed = False
    return None if well_formed else "must be a date (YYYY-MM-DD)"


def integer(*, least: int | None = None, most: int | None = None) -> Check:
    """A JSON integer within bounds; 3.0, "3" and true are none."""

    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return "must be an integer"
        if least is not None and value < least:
            return f"must be greater than or equal to {least}"
        if most is not None and value > most:
            return f"must be less than or equal to {most}"
        return None

    return check


def boolean(value: Any) -> str | None:
    """True or false."""
    return None if isinstance(value, bool) else "must be a boolean"


def filled_text(value: Any) -> str | None:
    """A string with something in it."""
    if not isinstance(value, str):
        return "must be a string"
    return None if value.strip() else "can't be blank"


def json_object(value: Any) -> str | None:
    """A JSON object, whatever is in it."""
    return None if isinstance(value, dict) else "must be an object"


def filled_list(value: Any) -> str | None:
    """A JSON array with something in it."""
    return None if isinstance(value, list) and value else "must be an array that is not empty"


def anything(_value: Any) -> str | None:
    """Whatever it is: known by name only, and not looked at."""
    return None


def one_of(*choices: str) -> Check:
    """One of a closed list of strings."""

    def check(value: Any) -> str | None:
        if isinstance(value, str) and value in choices:
            return None
        return f"must be one of {', '.join(choices)}"

    return check


def list_of(element: Check) -> Check:
    """A JSON array whose elements all pass."""

    def check(value: Any) -> str | None:
        if not isinstance(value, list):
            return "must be an array"
        return next((problem for item in value if (problem := element(item))), None)

    return check


def nullable(inner: Check) -> Check:
    """The same, or null."""

    def check(value: Any) -> str | None:
        return None if value is None else inner(value)

    return check


def violations(
    given: Mapping[str, Any],
    checks: Mapping[str, Check],
    required: Collection[str] = (),
    unknown: str = "is not a known attribute",
) -> Iterator[tuple[str, str]]:
    """Yields (key, what is wrong) for missing, misspelt and ill-formed members of an object."""
    for key in required:
        if key not in given:
            yield key, "is required"
    for key, value in given.items():
        check = checks.get(key)
        problem = unknown if check is None else check(value)
        if problem is not None:
            yield key, problem
