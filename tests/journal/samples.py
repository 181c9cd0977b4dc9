"""Operations that the tests of this folder share, and the ways in which they go."""

from dataclasses import replace

from service.application.journal_port import Claim, Claimed, Journal
from service.domain.operation import (
    CallState,
    Operation,
    OperationKey,
    OperationState,
)
from service.domain.plan import Reference, Target, Write
from service.domain.step import ConnectionKey, ProviderName

SETTLE_SECONDS = 120.0
LOOK_AFTER_SECONDS = 40.0
ACME = ConnectionKey("acme", ProviderName("outreach"))
ACME_AT_APOLLO = ConnectionKey("acme", ProviderName("apollo"))
GLOBEX = ConnectionKey("globex", ProviderName("outreach"))

STEP = Write(Target.STEP, "POST", "/steps", {"note": "Ring twice"}, ("step_id",))
LINK = Write(Target.CONTENT, "POST", "/links", {"step": Reference("step_id")}, ("link_id",))
REMOVAL = Write(Target.STEP, "DELETE", "/steps/{step_id}", None, ())


def key(
    request_id: str = "r-1", connection: ConnectionKey = ACME, caller: str = "crm"
) -> OperationKey:
    return OperationKey(caller, connection, request_id)


async def claim(
    journal: Journal, key: OperationKey, sequence_id: str = "s-1", fingerprint: str = "print"
) -> Claim:
    return await journal.claim(key, sequence_id, fingerprint, settle_seconds=SETTLE_SECONDS)


async def claimed(
    journal: Journal, key: OperationKey, sequence_id: str = "s-1", fingerprint: str = "print"
) -> Operation:
    """Claim an operation that nobody has."""
    answer = await claim(journal, key, sequence_id, fingerprint)
    assert isinstance(answer, Claimed)
    return answer.operation


def planned(operation: Operation) -> Operation:
    return operation.planned_anew((STEP, LINK), frozenset({"9"}))


async def sending(journal: Journal, operation: Operation) -> Operation:
    """Plan a step and a link, and commit that the step is about to be sent."""
    operation = planned(operation)
    call = operation.calls[0].moved(CallState.SENT)
    sent_at_epoch_ms = await journal.save(operation.with_call(0, call), is_sending=True)
    call = replace(call, sent_at_epoch_ms=sent_at_epoch_ms)
    return replace(operation.with_call(0, call), sent_at_epoch_ms=sent_at_epoch_ms)


def noted(operation: Operation, state: CallState) -> Operation:
    """Take down what became of the step that was sent."""
    return operation.with_call(0, operation.calls[0].moved(state))


async def ended(
    journal: Journal,
    key: OperationKey,
    state: OperationState,
    *,
    sequence_id: str = "s-1",
    step_id: int = 1,
    is_open: bool = False,
    look_after_seconds: float | None = None,
) -> Operation:
    """Bring a new operation to an end."""
    operation = await sending(journal, await claimed(journal, key, sequence_id))
    match state:
        case OperationState.SUCCEEDED | OperationState.INCOMPLETE:
            operation = replace(noted(operation, CallState.DONE), ids={"step_id": step_id})
        case OperationState.IN_DOUBT:
            operation = noted(operation, CallState.LOST)
        case _:
            operation = noted(operation, CallState.REFUSED)
    operation = replace(operation, is_open=is_open).moved(state)
    await journal.save(operation, look_after_seconds=look_after_seconds)
    return operation
