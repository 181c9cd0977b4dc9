"""Rows of the journal: how operations become rows and are read again, and what a row means.

All of it is pure, and the same whichever database has the rows.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from service.application.journal_port import (
    LEASE_SECONDS,
    Finished,
    OperationSummary,
    Reused,
    RunsElsewhere,
    SequenceHeld,
    UnsettledCount,
)
from service.domain.errors import Reason, ServiceError
from service.domain.operation import UNDO, CallState, Operation, OperationKey, OperationState
from service.domain.step import ConnectionKey, ProviderName
from service.domain.value_class import value_class
from service.stores.key_ring import KeyRing, Place, SecretUnreadable
from service.stores.operation_document import document_of, facts_in

MS_PER_SECOND: Final = 1000
NOTHING_KNOWN: Final = b""
"""The document of an operation that has only been claimed: there is nothing to encrypt."""

LEASE_MS: Final = round(LEASE_SECONDS * MS_PER_SECOND)

_log = structlog.get_logger()


@value_class
class OperationRow:
    """One row, its columns in the order in which they are selected."""

    caller: str
    customer_id: str
    provider: str
    request_id: str
    sequence_id: str
    fingerprint: str
    state: str
    epoch: int
    holds_sequence: bool
    step_id: str | None
    due_at_epoch_ms: int | None
    sent_at_epoch_ms: int | None
    created_at_epoch_ms: int
    updated_at_epoch_ms: int
    key_id: str
    document: bytes

    @property
    def key(self) -> OperationKey:
        """Which request it is."""
        connection = ConnectionKey(self.customer_id, ProviderName(self.provider))
        return OperationKey(self.caller, connection, self.request_id)

    def is_owned(self, now_epoch_ms: int) -> bool:
        """Whether it runs, and its owner's lease has not run out."""
        if self.state != OperationState.RUNNING:
            return False
        assert self.due_at_epoch_ms is not None
        return self.due_at_epoch_ms > now_epoch_ms

    def operation(self, key_ring: KeyRing) -> Operation:
        """Read the row.

        Raises:
            ServiceError: INTERNAL when its document does not decrypt.
        """
        operation = Operation(
            key=self.key,
            sequence_id=self.sequence_id,
            epoch=self.epoch,
            state=OperationState(self.state),
            sent_at_epoch_ms=self.sent_at_epoch_ms,
            **(facts_in(self._decrypted(key_ring)) if self.document != NOTHING_KNOWN else {}),
        )
        assert (operation.step_id, operation.holds_sequence) == (self.step_id, self.holds_sequence)
        return _with_time_sent(operation)

    def _decrypted(self, key_ring: KeyRing) -> str:
        try:
            return key_ring.decrypt(self.document, document_place(self.key), self.key_id)
        except SecretUnreadable as error:
            _log.error("operation_unreadable", error=str(error))
            raise ServiceError(
                Reason.INTERNAL,
                f"What is stored of request {self.request_id} cannot be decrypted; "
                "an operator finds the cause in the log.",
            ) from error

    def summary(self, key_ring: KeyRing) -> OperationSummary:
        """Read the row for people, as far as it can be read."""
        try:
            operation, unreadable = self.operation(key_ring), ""
        except ServiceError as error:
            operation, unreadable = self._without_document(), str(error.__cause__)
        return OperationSummary(
            operation,
            self.created_at_epoch_ms,
            self.updated_at_epoch_ms,
            self.due_at_epoch_ms,
            unreadable,
        )

    def _without_document(self) -> Operation:
        """Return what the columns say of the operation."""
        state = OperationState(self.state)
        return Operation(
            key=self.key,
            sequence_id=self.sequence_id,
            epoch=self.epoch,
            state=state,
            sent_at_epoch_ms=self.sent_at_epoch_ms,
            ids={} if self.step_id is None else {"step_id": self.step_id},
            is_open=bool(self.holds_sequence) and state is not OperationState.RUNNING,
        )


@value_class
class HolderRow:
    """What is selected of an operation that holds a sequence."""

    caller: str
    request_id: str
    epoch: int
    state: str
    due_at_epoch_ms: int | None
    sent_at_epoch_ms: int | None


def where(key: OperationKey) -> dict[str, object]:
    """Return the columns that name a row."""
    return {
        "caller": key.caller,
        "customer_id": key.connection.customer_id,
        "provider": key.connection.provider,
        "request_id": key.request_id,
    }


def columns_of_new(key: OperationKey, sequence_id: str, key_ring: KeyRing) -> dict[str, object]:
    """Return what the row of a new operation says, but for what the store adds."""
    return {
        **where(key),
        "sequence_id": sequence_id,
        "key_id": key_ring.current.id,
        "document": NOTHING_KNOWN,
    }


def columns(
    operation: Operation, key_ring: KeyRing, *, is_sending: bool = False
) -> dict[str, object]:
    """Return what an operation's row says of it.

    `is_sending`: `sent_at_epoch_ms` is not known yet, and has to be replaced by the store's time.
    """
    assert is_sending or operation.sent_at_epoch_ms is not None or not _is_sent(operation)
    return {
        **where(operation.key),
        "sequence_id": operation.sequence_id,
        "state": operation.state.value,
        "epoch": operation.epoch,
        "holds_sequence": operation.holds_sequence,
        "step_id": operation.step_id,
        "sent_at_epoch_ms": operation.sent_at_epoch_ms,
        "key_id": key_ring.current.id,
        "document": key_ring.encrypt(document_of(operation), document_place(operation.key)),
    }


def answer_to_claim(
    row: OperationRow, fingerprint: str, now_epoch_ms: int, key_ring: KeyRing
) -> Finished | Reused | RunsElsewhere | None:
    """Say what a known operation means for who claims it; None when it may be taken over.

    Raises:
        ServiceError: as for `OperationRow.operation`.
    """
    if row.fingerprint != fingerprint:
        return Reused(row.fingerprint)
    if row.state == OperationState.SUCCEEDED:
        return Finished(row.operation(key_ring))
    return RunsElsewhere() if row.is_owned(now_epoch_ms) else None


def taken(row: OperationRow, epoch: int, key_ring: KeyRing) -> Operation:
    """Return the operation as a new owner has it.

    Raises:
        ServiceError: as for `OperationRow.operation`.
    """
    operation = replace(row.operation(key_ring).taken_over(), epoch=epoch)
    if operation.state is OperationState.SUCCEEDED:
        return operation
    return operation.moved(OperationState.RUNNING)


def held_by(
    holder: HolderRow, connection: ConnectionKey, now_epoch_ms: int, settle_seconds: float
) -> SequenceHeld:
    """Say who holds the sequence, and how long one has to wait for it.

    A clock that went back before a write counts it as just sent.
    """
    is_running = holder.state == OperationState.RUNNING
    if is_running:
        assert holder.due_at_epoch_ms is not None
        wait_ms: float = holder.due_at_epoch_ms - now_epoch_ms
    else:
        assert holder.sent_at_epoch_ms is not None
        elapsed_ms = max(now_epoch_ms - holder.sent_at_epoch_ms, 0)
        wait_ms = settle_seconds * MS_PER_SECOND - elapsed_ms
    return SequenceHeld(
        OperationKey(holder.caller, connection, holder.request_id),
        holder.epoch,
        is_running,
        wait_ms / MS_PER_SECOND,
    )


def due_at_epoch_ms(
    operation: Operation, now_epoch_ms: int, look_after_seconds: float | None
) -> int | None:
    """Return the end of a running operation's lease; else when to look after it, or None."""
    if operation.state is OperationState.RUNNING:
        assert look_after_seconds is None
        return now_epoch_ms + LEASE_MS
    if look_after_seconds is None:
        return None
    return now_epoch_ms + round(look_after_seconds * MS_PER_SECOND)


def _is_sent(operation: Operation) -> bool:
    calls = (*operation.calls, operation.undo)
    return any(call is not None and call.state is CallState.SENT for call in calls)


def _with_time_sent(operation: Operation) -> Operation:
    """Say when the call was sent that is SENT: its document was made before that was known."""
    calls = {**dict(enumerate(operation.calls)), UNDO: operation.undo}
    for index, call in calls.items():
        if call is not None and call.state is CallState.SENT:
            assert operation.sent_at_epoch_ms is not None
            sent = replace(call, sent_at_epoch_ms=operation.sent_at_epoch_ms)
            operation = operation.with_call(index, sent)
    return operation


def document_place(key: OperationKey) -> Place:
    """Return where the document of an operation is."""
    return Place(
        key.connection.customer_id,
        key.connection.provider,
        f"operation {key.request_id!r} of caller {key.caller!r}",
    )


def unsettled_count(row: Sequence[Any]) -> UnsettledCount:
    """Return what a row of the query `unsettled` says."""
    state, is_looked_after, count, oldest_created_at_epoch_ms = row
    return UnsettledCount(
        OperationState(state), bool(is_looked_after), count, oldest_created_at_epoch_ms
    )
