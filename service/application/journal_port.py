"""The journal as the application needs it: one row per operation, changed only by its owner.

Times are the store's own: `sent_at_epoch_ms`, leases and settle times are never compared with the
clock of a process.
"""

from collections.abc import Collection
from typing import Protocol, TypeAlias

from service.domain.operation import Operation, OperationKey, OperationState
from service.domain.step import ConnectionKey
from service.domain.value_class import value_class

LEASE_SECONDS = 30.0
"""How long an owner may be silent before another one takes its operation over."""


class OwnershipLost(Exception):  # noqa: N818 - a fact about the row, not a fault
    """The row has another epoch than ours, or is gone: whoever meets this sends nothing more."""


class StepTaken(Exception):  # noqa: N818 - a fact about another row
    """Another operation made the step that an operation says it made: one of them is wrong."""


@value_class
class Claimed:
    """The operation is ours, and RUNNING."""

    operation: Operation
    """As it was found, with its new epoch: `calls` is empty when it is new. A call that was SENT
    has become LOST (`Operation.taken_over`)."""

    now_epoch_ms: int


@value_class
class Finished:
    """The operation has SUCCEEDED before."""

    operation: Operation


@value_class
class Reused:
    """The key belongs to another request."""

    fingerprint: str
    """That of the other request."""


@value_class
class RunsElsewhere:
    """Somebody else owns the operation, and its lease has not run out."""


@value_class
class SequenceHeld:
    """Another operation holds the sequence."""

    holder: OperationKey
    holder_epoch: int
    is_running: bool
    """Else it has ended, and a step of it may still appear."""

    wait_seconds: float
    """Until it may be taken over: its lease has run out, or its step has had `settle_seconds` to
    appear. At most 0 when it may be taken over now."""


Claim: TypeAlias = Claimed | Finished | Reused | RunsElsewhere | SequenceHeld


@value_class
class Due:
    """An operation that has to be looked after: nobody owns it, or it is time to look again."""

    key: OperationKey
    epoch: int


class Journal(Protocol):
    """Keeps operations. What a method has done is durable when it returns.

    Every method may raise ServiceError(STORE_UNAVAILABLE); then it may have been done or not.
    """

    async def claim(
        self,
        key: OperationKey,
        sequence_id: str,
        fingerprint: str,
        *,
        settle_seconds: float,
    ) -> Claim:
        """Insert the operation, or find out what is there; take it over if nobody owns it.

        A new or taken operation is RUNNING with a new epoch and a lease of `LEASE_SECONDS`, and
        holds its sequence. An operation that SUCCEEDED, or has another fingerprint, is left alone.
        """

    async def take(self, key: OperationKey, epoch: int) -> Claimed | None:
        """Take an operation over that was found due; None when somebody else was faster, or has it.

        As `claim`, but one that SUCCEEDED stays so: it is taken for a second look. None also when
        another operation holds its sequence now.
        """

    async def save(
        self,
        operation: Operation,
        *,
        is_sending: bool = False,
        look_after_seconds: float | None = None,
    ) -> int:
        """Store it as it is now, and return the store's time in epoch milliseconds.

        `is_sending` sets `sent_at_epoch_ms` to that time. An operation that is not RUNNING is no
        longer owned; it is due after `look_after_seconds`, or never.

        Raises:
            OwnershipLost: the row has another epoch; nothing was stored.
            StepTaken: the row of another operation has its `step_id`; nothing was stored.
        """

    async def discard(self, operation: Operation) -> None:
        """Delete the row of an operation of which nothing was ever SENT.

        Raises:
            OwnershipLost: the row has another epoch, or a write of it was SENT.
        """

    async def renew(self, operations: Collection[Operation]) -> None:
        """Give those that are still owned with these epochs a new lease."""

    async def find(self, key: OperationKey) -> Operation | None:
        """Return the operation as it is stored, whoever owns it."""

    async def due(self, limit: int) -> tuple[Due, ...]:
        """Return operations whose lease has run out or whose next look is due, longest first."""

    async def steps_of_others(self, operation: Operation) -> frozenset[str]:
        """Return the steps that other operations made on the same sequence, ended how they may."""

    async def forget(self, *, finished_before_seconds: float, open_before_seconds: float) -> int:
        """Delete what was last changed so many seconds ago; return how many rows.

        The first bound is for SUCCEEDED and NO_EFFECT, the second for INCOMPLETE and IN_DOUBT. What
        still holds its sequence is kept.
        """


@value_class
class OperationSummary:
    """What people are shown of an operation, with its times."""

    operation: Operation
    created_at_epoch_ms: int
    updated_at_epoch_ms: int
    due_at_epoch_ms: int | None
    unreadable: str = ""
    """Why all but its columns cannot be read; `operation` says then only what those say."""


@value_class
class UnsettledCount:
    """How many operations are in one unsettled state."""

    state: OperationState
    is_looked_after: bool
    """Whether the service goes on by itself; else only a caller or a person can."""

    count: int
    oldest_created_at_epoch_ms: int


class OperationsForPeople(Protocol):
    """What people need of the journal besides; see `Journal` for errors."""

    async def unsettled(self) -> tuple[UnsettledCount, ...]:
        """Count what is RUNNING, INCOMPLETE or IN_DOUBT; it reads no settled row."""

    async def summaries(
        self, *, connection: ConnectionKey | None, only_unsettled: bool, limit: int
    ) -> tuple[OperationSummary, ...]:
        """Return operations, the last changed first; unsettled: INCOMPLETE, IN_DOUBT, RUNNING."""

    async def show(
        self, connection: ConnectionKey, request_id: str
    ) -> tuple[OperationSummary, ...]:
        """Return the operations with this request id, one per caller."""
