"""Looks after operations that nobody runs any more: finishes them, or finds out what they did.

Any process may do it, for whichever process began them. It never writes what makes a step: its
caller may be gone, and a repeat of the request does that.
"""

import asyncio
from collections.abc import Mapping
from typing import Final

import structlog

from service.application.budget import Budget
from service.application.call_record import CallRecord
from service.application.execution import Execution
from service.application.journal_entry import JournalEntry, JournalFailed
from service.application.journal_port import Due, Journal, OwnershipLost
from service.application.owned_operations import OwnedOperations
from service.application.ports import Provider
from service.application.provider_session import ProviderSession, Surroundings
from service.application.reconciliation import Reconciliation
from service.domain.errors import ServiceError
from service.domain.operation import OperationKey, OperationState
from service.domain.step import ProviderName
from service.telemetry.metrics import DUPLICATES_SUSPECTED

SWEEP_SECONDS: Final = 15.0
SWEEP_OPERATIONS_MAX: Final = 100
AT_ONCE_MAX: Final = 4

DAY_SECONDS: Final = 86_400.0
FINISHED_KEPT_SECONDS: Final = 7 * DAY_SECONDS
UNSETTLED_KEPT_SECONDS: Final = 90 * DAY_SECONDS
"""Afterwards a request id is as new."""

_log = structlog.get_logger(__name__)


class Recovery:
    """Takes over what is due in the journal."""

    def __init__(
        self,
        providers: Mapping[ProviderName, Provider],
        journal: Journal,
        owned: OwnedOperations,
        surroundings: Surroundings,
    ) -> None:
        self._providers = providers
        self._journal = journal
        self._owned = owned
        self._surroundings = surroundings
        self._at_once = asyncio.Semaphore(AT_ONCE_MAX)

    async def run(self) -> None:
        """Sweep until cancelled; the first time at once."""
        while True:
            try:
                await self.sweep()
            except ServiceError as error:
                _log.warning("recovery_paused", error=str(error))
            except Exception:  # noqa: BLE001 - without this loop nothing would ever be recovered
                _log.exception("recovery_failed")
            await self._surroundings.clock.sleep(SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Look after everything that is due, and forget what is old.

        What is at a provider that is not known here is left to processes of a newer version.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        due = await self._journal.due(SWEEP_OPERATIONS_MAX)
        async with asyncio.TaskGroup() as group:
            for each in due:
                if each.key.connection.provider in self._providers:
                    group.create_task(self._settle_within_limit(each))
        await self._journal.forget(
            finished_before_seconds=FINISHED_KEPT_SECONDS,
            open_before_seconds=UNSETTLED_KEPT_SECONDS,
        )

    async def _settle_within_limit(self, due: Due) -> None:
        async with self._at_once:
            try:
                await self.settle(due.key, due.epoch)
            except ServiceError as error:
                _log.warning("recovery_paused", error=str(error))
            except Exception:  # noqa: BLE001 - see below
                # The others go on; this one is due again when its lease has run out.
                _log.exception("recovery_failed")

    async def settle(self, key: OperationKey, epoch: int) -> None:
        """Take one operation over and bring it as far as it goes now.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        claimed = await self._journal.take(key, epoch)
        if claimed is None:
            return
        with self._owned.owned(claimed) as entry:
            try:
                await self._look_after(entry)
            except JournalFailed as failure:
                raise failure.error from failure
            except OwnershipLost:
                return
        operation = entry.operation
        _log.info(
            "operation_recovered",
            customer=key.connection.customer_id,
            provider=key.connection.provider,
            sequence=operation.sequence_id,
            request_id=key.request_id,
            state=operation.state.value if entry.may_be_sent else "discarded",
            step_id=operation.step_id or "",
        )

    async def _look_after(self, entry: JournalEntry) -> None:
        if not entry.may_be_sent:
            await entry.discard()
            return
        key = entry.operation.key
        provider = self._providers[key.connection.provider]
        budget = Budget.without_caller(self._surroundings.clock)
        try:
            connection = await self._surroundings.connections.find(key.connection)
            session = ProviderSession(
                provider, connection, budget, CallRecord(), self._surroundings
            )
            await self._second_look(entry, Reconciliation(provider, session, entry))
            if entry.operation.state is OperationState.SUCCEEDED:
                await entry.end(OperationState.SUCCEEDED)
                return
            execution = Execution(provider, session, entry, budget)
            answer = await execution.resume(may_create_step=False)
        except ServiceError as error:
            if not entry.is_ended:
                await entry.give_back(error)
            return
        if answer is None:
            await entry.end(OperationState.NO_EFFECT, "nothing of it is in the sequence")

    async def _second_look(self, entry: JournalEntry, reconciliation: Reconciliation) -> None:
        """Look once more for a step that was adopted early: a second one may have turned up."""
        operation = entry.operation
        if not operation.is_open or operation.step_id is None or entry.settles_in_seconds > 0:
            return
        duplicates = await reconciliation.equal_steps()
        entry.note_open(is_open=False)
        if duplicates:
            entry.note_duplicates(duplicates)
            DUPLICATES_SUSPECTED.labels(operation.key.connection.provider).inc()
            _log.warning(
                "duplicate_suspected",
                customer=operation.key.connection.customer_id,
                provider=operation.key.connection.provider,
                sequence=operation.sequence_id,
                request_id=operation.key.request_id,
                step_id=operation.step_id,
                others=sorted(duplicates),
            )
