"""The journal in PostgreSQL, which any number of processes serve from at once.

A new operation, a save, a discard and a renewal are one statement each, which holds only for the
epoch it names, so that no row stays locked while the network is waited for. Only who comes upon
what is known already looks before it takes over, with the row locked for that transaction.
"""

from collections.abc import Collection
from typing import Final

from psycopg.errors import UniqueViolation

from service.application.journal_port import (
    Claim,
    Claimed,
    Due,
    OperationSummary,
    OwnershipLost,
    StepTaken,
    UnsettledCount,
)
from service.domain.operation import Operation, OperationKey, OperationState
from service.domain.step import ConnectionKey, ProviderName
from service.stores.journal_rows import (
    LEASE_MS,
    MS_PER_SECOND,
    HolderRow,
    OperationRow,
    answer_to_claim,
    columns,
    columns_of_new,
    due_at_epoch_ms,
    held_by,
    taken,
    unsettled_count,
    where,
)
from service.stores.key_ring import KeyRing
from service.stores.postgres_connection import PostgresConnection, fetch
from service.stores.postgres_database import PostgresDatabase
from service.stores.sql_files import named_queries
from service.stores.store_failure import store_unavailable

FORGET_ROWS_MAX: Final = 500
"""Deleted in one transaction."""

CLAIMS_MAX: Final = 10
"""How often a claim begins anew, since what was in its way was gone when it looked."""

_QUERIES: Final = {
    name: text.encode() for name, text in named_queries("postgres", "journal.sql").items()
}
_NO_TIME: Final = 0
"""Stands for the database's time, which it adds by itself."""


class PostgresJournal:
    """Implements `Journal` and `OperationsForPeople`; its time is the server's."""

    def __init__(self, database: PostgresDatabase, key_ring: KeyRing) -> None:
        self._database = database
        self._key_ring = key_ring

    async def claim(
        self,
        key: OperationKey,
        sequence_id: str,
        fingerprint: str,
        *,
        settle_seconds: float,
    ) -> Claim:
        """See `Journal.claim`."""
        for _ in range(CLAIMS_MAX):
            claim = await self._insert(key, sequence_id, fingerprint) or await self._claim_known(
                key, sequence_id, fingerprint, settle_seconds
            )
            if claim is not None:
                return claim
        raise store_unavailable()

    async def take(self, key: OperationKey, epoch: int) -> Claimed | None:
        """See `Journal.take`."""
        try:
            async with self._database.transaction() as connection:
                row, now_epoch_ms = await _locked_row(connection, key)
                if row is None or row.epoch != epoch or row.is_owned(now_epoch_ms):
                    return None
                if await _other_holder(connection, key, row.sequence_id) is not None:
                    return None
                return await self._take(connection, row)
        except UniqueViolation:
            return None

    async def save(
        self,
        operation: Operation,
        *,
        is_sending: bool = False,
        look_after_seconds: float | None = None,
    ) -> int:
        """See `Journal.save`."""
        changed = columns(operation, self._key_ring, is_sending=is_sending) | {
            "due_after_ms": due_at_epoch_ms(operation, _NO_TIME, look_after_seconds),
            "is_sending": is_sending,
            "known_epoch": operation.epoch,
            "known_state": OperationState.RUNNING.value,
        }
        try:
            rows = await self._database.fetch_grouped(_QUERIES["update"], changed)
        except UniqueViolation as error:
            raise StepTaken from error
        if not rows:
            raise await self._lost(operation)
        return int(rows[0][0])

    async def discard(self, operation: Operation) -> None:
        """See `Journal.discard`."""
        mine = where(operation.key) | {"epoch": operation.epoch}
        if not await self._database.fetch_grouped(_QUERIES["delete"], mine):
            raise OwnershipLost

    async def renew(self, operations: Collection[Operation]) -> None:
        """See `Journal.renew`."""
        keys = [operation.key for operation in operations]
        mine = {
            "callers": [key.caller for key in keys],
            "customer_ids": [key.connection.customer_id for key in keys],
            "providers": [key.connection.provider for key in keys],
            "request_ids": [key.request_id for key in keys],
            "epochs": [operation.epoch for operation in operations],
            "states": [operation.state.value for operation in operations],
            "lease_ms": LEASE_MS,
        }
        await self._database.fetch(_QUERIES["renew"], mine)

    async def find(self, key: OperationKey) -> Operation | None:
        """See `Journal.find`."""
        rows = await self._database.fetch(_QUERIES["read"], where(key))
        return OperationRow(*rows[0]).operation(self._key_ring) if rows else None

    async def due(self, limit: int) -> tuple[Due, ...]:
        """See `Journal.due`."""
        rows = await self._database.fetch(_QUERIES["due"], {"limit": limit})
        return tuple(
            Due(
                OperationKey(
                    caller, ConnectionKey(customer_id, ProviderName(provider)), request_id
                ),
                epoch,
            )
            for caller, customer_id, provider, request_id, epoch in rows
        )

    async def steps_of_others(self, operation: Operation) -> frozenset[str]:
        """See `Journal.steps_of_others`."""
        sequence = where(operation.key) | {"sequence_id": operation.sequence_id}
        rows = await self._database.fetch(_QUERIES["steps_of_others"], sequence)
        return frozenset(step_id for (step_id,) in rows)

    async def forget(self, *, finished_before_seconds: float, open_before_seconds: float) -> int:
        """See `Journal.forget`."""
        bounds = {
            "finished_before_ms": round(finished_before_seconds * MS_PER_SECOND),
            "open_before_ms": round(open_before_seconds * MS_PER_SECOND),
            "limit": FORGET_ROWS_MAX,
        }
        count = last_count = len(await self._database.fetch(_QUERIES["forget"], bounds))
        while last_count == FORGET_ROWS_MAX:
            last_count = len(await self._database.fetch(_QUERIES["forget"], bounds))
            count += last_count
        return count

    async def unsettled(self) -> tuple[UnsettledCount, ...]:
        """See `OperationsForPeople.unsettled`."""
        return tuple(map(unsettled_count, await self._database.fetch(_QUERIES["unsettled"])))

    async def summaries(
        self, *, connection: ConnectionKey | None, only_unsettled: bool, limit: int
    ) -> tuple[OperationSummary, ...]:
        """See `OperationsForPeople.summaries`."""
        return await self._list(
            connection, request_id=None, only_unsettled=only_unsettled, limit=limit
        )

    async def show(
        self, connection: ConnectionKey, request_id: str
    ) -> tuple[OperationSummary, ...]:
        """See `OperationsForPeople.show`."""
        return await self._list(connection, request_id=request_id, only_unsettled=False, limit=None)

    async def _list(
        self,
        connection: ConnectionKey | None,
        *,
        request_id: str | None,
        only_unsettled: bool,
        limit: int | None,
    ) -> tuple[OperationSummary, ...]:
        wanted = {
            "customer_id": None if connection is None else connection.customer_id,
            "provider": None if connection is None else connection.provider,
            "request_id": request_id,
            "only_unsettled": only_unsettled,
            "limit": limit,
        }
        rows = await self._database.fetch(_QUERIES["list"], wanted)
        return tuple(OperationRow(*row).summary(self._key_ring) for row in rows)

    async def _insert(
        self, key: OperationKey, sequence_id: str, fingerprint: str
    ) -> Claimed | None:
        """Insert a new operation; None when something is in its way."""
        new = columns_of_new(key, sequence_id, self._key_ring) | {
            "fingerprint": fingerprint,
            "due_after_ms": LEASE_MS,
        }
        rows = await self._database.fetch_grouped(_QUERIES["insert"], new)
        if not rows:
            return None
        ((epoch, now_epoch_ms),) = rows
        return Claimed(Operation(key, sequence_id, epoch), now_epoch_ms)

    async def _claim_known(
        self, key: OperationKey, sequence_id: str, fingerprint: str, settle_seconds: float
    ) -> Claim | None:
        """Find out what is in the way of a new operation; None when it has gone meanwhile."""
        try:
            async with self._database.transaction() as connection:
                row, now_epoch_ms = await _locked_row(connection, key)
                if row is not None:
                    answer = answer_to_claim(row, fingerprint, now_epoch_ms, self._key_ring)
                    if answer is not None:
                        return answer
                held = await _other_holder(connection, key, sequence_id)
                if held is not None:
                    return held_by(held, key.connection, now_epoch_ms, settle_seconds)
                return None if row is None else await self._take(connection, row)
        except UniqueViolation:  # Another operation got the sequence in between.
            return None

    async def _take(self, connection: PostgresConnection, row: OperationRow) -> Claimed:
        """Make a locked row ours.

        Raises:
            UniqueViolation: another operation holds its sequence.
        """
        ((epoch,),) = await fetch(connection, _QUERIES["next_epoch"])
        operation = taken(row, epoch, self._key_ring)
        changed = columns(operation, self._key_ring) | {
            "due_after_ms": LEASE_MS,
            "is_sending": False,
            "known_epoch": row.epoch,
            "known_state": row.state,
        }
        ((now_epoch_ms,),) = await fetch(connection, _QUERIES["update"], changed)
        return Claimed(operation, now_epoch_ms)

    async def _lost(self, operation: Operation) -> OwnershipLost:
        """Return why a row could not be changed; that it has ended in our own epoch is a bug."""
        rows = await self._database.fetch(_QUERIES["read"], where(operation.key))
        is_ours = rows and OperationRow(*rows[0]).epoch == operation.epoch
        assert not is_ours, "it has ended, and nobody took it since"
        return OwnershipLost()


async def _locked_row(
    connection: PostgresConnection, key: OperationKey
) -> tuple[OperationRow | None, int]:
    """Lock an operation and return it, with the time after the lock was waited for."""
    rows = await fetch(connection, _QUERIES["read_to_change"], where(key))
    ((now_epoch_ms,),) = await fetch(connection, _QUERIES["now"])
    return (OperationRow(*rows[0]) if rows else None), now_epoch_ms


async def _other_holder(
    connection: PostgresConnection, key: OperationKey, sequence_id: str
) -> HolderRow | None:
    sequence = where(key) | {"sequence_id": sequence_id}
    rows = await fetch(connection, _QUERIES["holder"], sequence)
    return HolderRow(*rows[0]) if rows else None
