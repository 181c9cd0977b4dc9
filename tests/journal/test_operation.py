"""How an operation changes: copies that are like the standard ones, and its ends."""

import dataclasses
from typing import TYPE_CHECKING

import pytest

from service.domain.operation import UNDO, CallState, Operation, OperationCall, OperationState
from service.domain.plan import Write
from service.domain.value_class import changed
from tests.journal.samples import LINK, REMOVAL, STEP, key

SENT = Operation(
    key(),
    "s-1",
    1,
    sent_at_epoch_ms=1700,
    calls=(OperationCall(STEP, CallState.SENT, 1700), OperationCall(LINK)),
    undo=OperationCall(REMOVAL, CallState.SENT),
    ids={"step_id": 7},
    snapshot=frozenset({"9"}),
)


def test_a_changed_copy_is_the_standard_one() -> None:
    assert changed(SENT, looks=3, trouble="x") == dataclasses.replace(SENT, looks=3, trouble="x")
    call = SENT.calls[0]
    assert changed(call, sent_at_epoch_ms=None) == dataclasses.replace(call, sent_at_epoch_ms=None)
    assert changed(STEP, body=None) == dataclasses.replace(STEP, body=None)
    assert (SENT.looks, call.sent_at_epoch_ms, STEP.body) == (0, 1700, {"note": "Ring twice"})


@pytest.mark.parametrize("kind", [Operation, OperationCall, Write])
def test_what_is_copied_is_made_of_its_fields_alone(
    kind: type[Operation | OperationCall | Write],
) -> None:
    assert all(field.init and not field.kw_only for field in dataclasses.fields(kind))
    assert not hasattr(kind, "__post_init__")


if TYPE_CHECKING:  # The check of types fails here where it would not refuse an assignment.
    SENT.looks = 4  # type: ignore[misc]


@pytest.mark.parametrize("index", [0, UNDO])
def test_the_time_of_a_call_that_was_sent_is_that_of_the_operation(index: int) -> None:
    operation = SENT.sent(index, 1800)
    assert (operation.sent_at_epoch_ms, operation.call(index).sent_at_epoch_ms) == (1800, 1800)
    others = {0, 1, UNDO} - {index}
    assert all(operation.call(other) == SENT.call(other) for other in others)


@pytest.mark.parametrize(
    ("state", "is_open", "has_contents", "looks"),
    [
        (OperationState.SUCCEEDED, False, False, 0),
        (OperationState.SUCCEEDED, True, True, 0),
        (OperationState.NO_EFFECT, False, False, 1),
        (OperationState.NO_EFFECT, True, True, 1),
        (OperationState.INCOMPLETE, False, True, 1),
        (OperationState.IN_DOUBT, True, True, 1),
    ],
)
def test_an_end_keeps_contents_only_while_something_may_read_them(
    state: OperationState, *, is_open: bool, has_contents: bool, looks: int
) -> None:
    ended = changed(SENT, is_open=is_open).ended(state, "why")
    assert (ended.state, ended.trouble, ended.looks) == (state, "why", looks)
    assert [call.write.body is not None for call in ended.calls] == [has_contents] * 2


def test_an_end_may_be_ended_again_but_not_otherwise() -> None:
    ended = SENT.ended(OperationState.SUCCEEDED, "")
    assert ended.ended(OperationState.SUCCEEDED, "looked again").trouble == "looked again"
    with pytest.raises(AssertionError, match="moved from succeeded to no_effect"):
        ended.ended(OperationState.NO_EFFECT, "")
