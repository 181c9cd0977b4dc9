"""What is stored of an operation comes back as it was, whatever callers and providers wrote."""

import dataclasses
import json
from types import MappingProxyType

from hypothesis import given
from hypothesis import strategies as st

from service.domain.operation import CallState, Operation, OperationCall
from service.domain.plan import Reference, Target, Write
from service.domain.warnings import ProblemType, StepWarning
from service.stores.operation_document import document_of, facts_in
from tests.journal.samples import LINK, REMOVAL, STEP, key

COLUMNS = {"key", "sequence_id", "epoch", "state", "sent_at_epoch_ms"}
"""The fields that are read from a row's columns."""

# Halves of UTF-16 pairs among them: JSON can hold them, so a provider can send them.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)
NAMES = TEXTS | st.text(alphabet="$ab", max_size=4)
# JSON has finite numbers alone, and others are refused before they get here.
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    PLAIN | st.builds(Reference, NAMES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
BODIES = st.none() | st.dictionaries(NAMES, VALUES, max_size=4)
TIMES = st.none() | st.integers(0, 2**53)
WRITES = st.builds(
    Write,
    st.sampled_from(Target),
    TEXTS,
    TEXTS,
    BODIES,
    st.lists(TEXTS, max_size=3).map(tuple),
    st.booleans(),
)
CALLS = st.builds(OperationCall, WRITES, st.sampled_from(CallState), TIMES, st.booleans())
SETS = st.frozensets(TEXTS, max_size=3)
OPERATIONS = st.builds(
    Operation,
    key=st.just(key()),
    sequence_id=st.just("s-1"),
    epoch=st.just(1),
    calls=st.lists(CALLS, max_size=3).map(tuple),
    undo=st.none() | CALLS,
    ids=st.dictionaries(TEXTS, st.integers() | TEXTS, max_size=3),
    snapshot=SETS,
    warnings=st.lists(
        st.builds(StepWarning, st.sampled_from(ProblemType), TEXTS, TEXTS), max_size=2
    ).map(tuple),
    is_open=st.booleans(),
    candidates=st.none() | SETS,
    looks=st.integers(0, 1000),
    trouble=TEXTS,
    duplicates=SETS,
    settled_because=TEXTS,
)


def _stored(operation: Operation) -> Operation:
    """Return what is read of an operation's document, beside its columns."""
    columns = {name: getattr(operation, name) for name in COLUMNS}
    return Operation(**columns, **facts_in(document_of(operation)))


@given(OPERATIONS)
def test_every_operation_comes_back(operation: Operation) -> None:
    assert document_of(operation).encode()
    assert _stored(operation) == operation


def test_every_field_is_kept() -> None:
    """Also one that is added later: it is in the document, or one of the columns."""
    fields = {field.name for field in dataclasses.fields(Operation)}
    document = facts_in(document_of(Operation(key(), "s-1", 1)))
    assert fields - COLUMNS == document.keys()
    assert {field.name for field in dataclasses.fields(OperationCall)} == {
        "write",
        "state",
        "sent_at_epoch_ms",
        "is_uncertain",
    }


def test_no_content_is_taken_for_a_reference() -> None:
    body = {"$": "step_id", "$$": {"$": "step_id"}, "id": Reference("step_id"), "$x": [{"$": 1}]}
    call = OperationCall(Write(Target.CONTENT, "POST", "/", body, ()))
    operation = Operation(key(), "s-1", 1, calls=(call,))
    assert json.loads(document_of(operation))["calls"][0]["body"] == {
        "$$": "step_id",
        "$$$": {"$$": "step_id"},
        "id": {"$": "step_id"},
        "$$x": [{"$$": 1}],
    }
    assert _stored(operation) == operation


def test_no_content_is_taken_for_a_reference_beside_half_a_pair() -> None:
    """Which is written in another way: what was counted on the first must not count there."""
    bodies = ({"id": Reference("template_id"), "mine": {"$": "step_id"}}, {"cut": "\ud83d"})
    calls = tuple(OperationCall(Write(Target.CONTENT, "POST", "/", body, ())) for body in bodies)
    operation = Operation(key(), "s-1", 1, calls=calls)
    assert _stored(operation) == operation


def test_a_tuple_in_a_body_comes_back_as_the_list_that_is_sent() -> None:
    body = {"ids": (1, (Reference("step_id"),))}
    call = OperationCall(Write(Target.CONTENT, "POST", "/", body, ()))
    stored = _stored(Operation(key(), "s-1", 1, calls=(call,)))
    assert stored.calls[0].write.body == {"ids": [1, [Reference("step_id")]]}


def test_a_body_of_any_mapping_comes_back() -> None:
    inner = MappingProxyType({"$": 1, "id": Reference("step_id")})
    body = MappingProxyType({"inner": inner, "outer": MappingProxyType({"a": "$"})})
    call = OperationCall(Write(Target.CONTENT, "POST", "/", body, ()))
    stored = _stored(Operation(key(), "s-1", 1, calls=(call,)))
    assert stored.calls[0].write.body == {
        "inner": {"$": 1, "id": Reference("step_id")},
        "outer": {"a": "$"},
    }


def test_the_document_is_short_for_what_is_not_there_yet() -> None:
    assert document_of(Operation(key(), "s-1", 1)) == "{}"


def test_the_document_of_a_call_says_what_is_not_as_in_a_new_one() -> None:
    operation = Operation(key(), "s-1", 1, calls=(OperationCall(REMOVAL),))
    assert json.loads(document_of(operation)) == {
        "calls": [
            {
                "target": "step",
                "method": "DELETE",
                "path": "/steps/{step_id}",
                "yields": [],
                "state": "planned",
            }
        ]
    }


WHOLE = """{
    "calls": [
        {"target": "step", "method": "POST", "path": "/steps", "body": {"note": "Ring twice"},
         "yields": ["step_id"], "repeatable": false, "state": "done", "sent_at_epoch_ms": 1700,
         "is_uncertain": false},
        {"target": "content", "method": "POST", "path": "/links",
         "body": {"step": {"$": "step_id"}}, "yields": ["link_id"], "repeatable": false,
         "state": "planned", "sent_at_epoch_ms": null, "is_uncertain": false}
    ],
    "undo": null, "ids": {"step_id": 7}, "snapshot": ["9"], "warnings": [], "is_open": false,
    "candidates": null, "looks": 0, "trouble": "", "duplicates": [], "settled_because": ""
}"""
"""A document as it was when it left nothing out."""


def test_a_document_of_before_is_read() -> None:
    operation = Operation(
        key(),
        "s-1",
        1,
        calls=(OperationCall(STEP, CallState.DONE, 1700), OperationCall(LINK)),
        ids={"step_id": 7},
        snapshot=frozenset({"9"}),
    )
    columns = {name: getattr(operation, name) for name in COLUMNS}
    assert Operation(**columns, **facts_in(WHOLE)) == operation
