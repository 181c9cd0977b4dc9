"""What is known of an operation beyond its columns, as one JSON text.

What is as in a new operation, or a new call, is left out.

A `Reference` in a body is an object whose only key is "$". Bodies hold what callers wrote, so every
key of theirs that begins with "$" gets one more: no content can be taken for a reference.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeAlias

from service.application.json_text import json_bytes, quick_json_bytes
from service.domain.operation import CallState, Operation, OperationCall
from service.domain.plan import Reference, Target, Write
from service.domain.warnings import ProblemType, StepWarning

_MARK: Final = "$"

_NEW: Final[Mapping[str, object]] = {
    "calls": [],
    "undo": None,
    "ids": {},
    "snapshot": [],
    "warnings": [],
    "is_open": False,
    "candidates": None,
    "looks": 0,
    "trouble": "",
    "duplicates": [],
    "settled_because": "",
}
"""What a document would say of a new operation."""

_Body: TypeAlias = Mapping[str, object]


def document_of(operation: Operation) -> str:
    """Return all that `facts_in` reads again."""
    references = []

    def marked(value: object) -> object:
        if isinstance(value, Mapping):
            return dict(value)
        assert isinstance(value, Reference)
        references.append(value)
        return {_MARK: value.name}

    with suppress(TypeError):  # Texts with half a pair, and very long numbers.
        document = quick_json_bytes(_facts(operation, lambda body: body), marked).decode()
        if document.count(f'"{_MARK}') == len(references):
            return document
    # Another text begins with the mark too, perhaps a key. To look at all keys each time would cost
    # as much as all else here.
    return json_bytes(_facts(operation, _marked)).decode()


def facts_in(document: str) -> dict[str, Any]:
    """Return the fields of `Operation` that a document has; a list of a body stays a list."""
    facts: dict[str, Any] = {**_NEW, **json.loads(document)}
    undo, candidates = facts["undo"], facts["candidates"]
    return facts | {
        "calls": tuple(_read_call(call) for call in facts["calls"]),
        "undo": None if undo is None else _read_call(undo),
        "ids": dict(facts["ids"]),
        "snapshot": frozenset(facts["snapshot"]),
        "warnings": tuple(
            StepWarning(ProblemType[each["problem_type"]], each["detail"], each["field"])
            for each in facts["warnings"]
        ),
        "candidates": None if candidates is None else frozenset(candidates),
        "duplicates": frozenset(facts["duplicates"]),
    }


def _facts(operation: Operation, stored: Callable[[_Body], object]) -> dict[str, object]:
    """Return what is not as in a new operation; `stored` makes of a body what is stored of it."""
    undo, candidates = operation.undo, operation.candidates
    facts = {
        "calls": [_call(call, stored) for call in operation.calls],
        "undo": None if undo is None else _call(undo, stored),
        "ids": dict(operation.ids),
        "snapshot": sorted(operation.snapshot),
        "warnings": [
            {"problem_type": each.problem_type.name, "detail": each.detail, "field": each.field}
            for each in operation.warnings
        ],
        "is_open": operation.is_open,
        "candidates": None if candidates is None else sorted(candidates),
        "looks": operation.looks,
        "trouble": operation.trouble,
        "duplicates": sorted(operation.duplicates),
        "settled_because": operation.settled_because,
    }
    return {name: fact for name, fact in facts.items() if fact != _NEW[name]}


def _call(call: OperationCall, stored: Callable[[_Body], object]) -> dict[str, object]:
    write = call.write
    facts: dict[str, object] = {
        "target": write.target.value,
        "method": write.method,
        "path": write.path,
        "yields": write.yields,
        "state": call.state.value,
    }
    if write.body is not None:
        facts["body"] = stored(write.body)
    if write.repeatable:
        facts["repeatable"] = True
    if call.sent_at_epoch_ms is not None:
        facts["sent_at_epoch_ms"] = call.sent_at_epoch_ms
    if call.is_uncertain:
        facts["is_uncertain"] = True
    return facts


def _read_call(facts: dict[str, Any]) -> OperationCall:
    write = Write(
        Target(facts["target"]),
        facts["method"],
        facts["path"],
        _unmarked(facts.get("body")),
        tuple(facts["yields"]),
        facts.get("repeatable", False),
    )
    return OperationCall(
        write,
        CallState(facts["state"]),
        facts.get("sent_at_epoch_ms"),
        facts.get("is_uncertain", False),
    )


def _marked(value: object) -> object:
    if value is None or isinstance(value, str | int | float):  # Most are: the rest costs more.
        return value
    if isinstance(value, Reference):
        return {_MARK: value.name}
    if isinstance(value, Mapping):
        return {
            _MARK + key if key.startswith(_MARK) else key: _marked(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_marked(inner) for inner in value]
    return value


def _unmarked(value: Any) -> Any:
    if isinstance(value, dict):
        if _MARK in value:
            return Reference(value[_MARK])
        return {key.removeprefix(_MARK): _unmarked(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_unmarked(inner) for inner in value]
    return value
