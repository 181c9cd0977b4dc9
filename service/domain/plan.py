"""The plan of an operation as data: ordered writes, and the ids that later ones need.

A plan is made by a pure function and executed in one place, so it can be shown (`validate_only`),
compared in tests, and stored.
"""

import enum
from collections.abc import Mapping

from service.domain.json_value import JsonObject
from service.domain.step import Ids
from service.domain.value_class import value_class
from service.domain.warnings import StepWarning


class Target(enum.Enum):
    """What a write makes or changes."""

    TEMPLATE = "template"
    STEP = "step"
    CONTENT = "content"
    """What belongs to the step and is written after it: Outreach's link, Apollo's touch."""


@value_class
class Reference:
    """Stands in a body for an id that an earlier answer gives, such as `step_id`."""

    name: str


@value_class
class Write:
    """One planned HTTP request that changes something at the provider."""

    target: Target
    method: str
    path: str
    """Below the provider's base URL; an id that is not known yet stands as `{touch_id}`."""

    body: Mapping[str, object] | None
    """JSON, with a `Reference` wherever an id is not known yet."""

    yields: tuple[str, ...]
    """Names of the ids that must be known after it, from its answer or from a read."""

    repeatable: bool = False
    """Whether sending it twice has the effect of sending it once (a PUT with full content). A write
    that is not *creates* something, and is never sent again on a guess."""


@value_class
class Plan:
    """The writes of one operation in order, and what the caller must be told."""

    writes: tuple[Write, ...]
    warnings: tuple[StepWarning, ...] = ()


@value_class
class Call:
    """A write whose references are all known: exactly what is sent."""

    write: Write
    path: str
    body: JsonObject | None


def bind(write: Write, ids: Ids) -> Call:
    """Put the known ids in place of references; an unknown one is a bug and a KeyError."""
    path = write.path.format_map({name: str(value) for name, value in ids.items()})
    return Call(write, path, None if write.body is None else _bound_object(write.body, ids))


def _bound_object(body: Mapping[str, object], ids: Ids) -> JsonObject:
    bound = _bound(body, ids)
    assert isinstance(bound, dict)
    return bound


def _bound(value: object, ids: Ids) -> object:
    if value is None or isinstance(value, str | int | float):  # Most are: the rest costs more.
        return value
    if isinstance(value, Reference):
        return ids[value.name]
    if isinstance(value, dict | Mapping):
        return {key: _bound(inner, ids) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_bound(inner, ids) for inner in value]
    return value


def path_of(write: Write, ids: Ids) -> str:
    """Return the path with the ids that are known; others stand as their names in braces."""
    return write.path.format_map(_Braces(ids))


def shown(write: Write) -> JsonObject | None:
    """The body for people: references stand as their names in braces."""
    if write.body is None:
        return None
    return _bound_object(write.body, _Braces())


class _Braces(dict[str, int | str]):
    """Answers every name with itself in braces."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"
