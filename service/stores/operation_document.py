"""What is known of an operation beyond its columns, as one JSON text.

A `Reference` in a body is an object whose only key is "$". Bodies hold what callers wrote, so every
key of theirs that begins with "$" gets one more: no content can be taken for a reference.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from service.domain.operation import CallState, Operation, OperationCall
from service.domain.plan import Reference, Target, Write
from service.domain.warnings import ProblemType, StepWarning

_MARK: Final = "$"
_JSON: Final = json.JSONEncoder(separators=(",", ":"))


def document_of(operation: Operation) -> str:
    """Return all that `facts_in` reads again, as ASCII: what callers wrote may be half a pair."""
    document = {
        "calls": [_call(call) for call in operation.calls],
        "undo": None if operation.undo is None else _call(operation.undo),
        "ids": dict(operation.ids),
        "snapshot": sorted(operation.snapshot),
        "warnings": [
            {"problem_type": each.problem_type.name, "detail": each.detail, "field": each.field}
            for each in operation.warnings
        ],
        "is_open": operation.is_open,
        "candidates": None if operation.candidates is None else sorted(operation.candidates),
        "looks": operation.looks,
        "trouble": operation.trouble,
        "duplicates": sorted(operation.duplicates),
        "settled_because": operation.settled_because,
    }
    return _JSON.encode(document)


def facts_in(document: str) -> dict[str, Any]:
    """Return the fields of `Operation` that a document has; a list of a body stays a list."""
    facts: dict[str, Any] = json.loads(document)
    undo, candidates = facts["undo"], facts["candidates"]
    return facts | {
        "calls": tuple(_read_call(call) for call in facts["calls"]),
        "undo": None if undo is None else _read_call(undo),
        "snapshot": frozenset(facts["snapshot"]),
        "warnings": tuple(
            StepWarning(ProblemType[each["problem_type"]], each["detail"], each["field"])
            for each in facts["warnings"]
        ),
        "candidates": None if candidates is None else frozenset(candidates),
        "duplicates": frozenset(facts["duplicates"]),
    }


def _call(call: OperationCall) -> dict[str, object]:
    write = call.write
    return {
        "target": write.target.value,
        "method": write.method,
        "path": write.path,
        "body": _marked(write.body),
        "yields": write.yields,
        "repeatable": write.repeatable,
        "state": call.state.value,
        "sent_at_epoch_ms": call.sent_at_epoch_ms,
        "is_uncertain": call.is_uncertain,
    }


def _read_call(call: dict[str, Any]) -> OperationCall:
    write = Write(
        Target(call["target"]),
        call["method"],
        call["path"],
        _unmarked(call["body"]),
        tuple(call["yields"]),
        call["repeatable"],
    )
    return OperationCall(
        write, CallState(call["state"]), call["sent_at_epoch_ms"], call["is_uncertain"]
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
