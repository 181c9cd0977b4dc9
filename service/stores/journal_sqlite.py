"""The journal in SQLite, which one process serves from at a time."""

import sqlite3
from collections.abc import Collection
from typing import Final

from service.application.journal_port import (
    Claim,
    Claimed,
    Due,
    OperationSummary,
    OwnershipLost,
    StepTaken,
    UnsettledCount,
)
from service.application.ports import Clock
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
from service.stores.sql_files import named_queries
from service.stores.sqlite_database import SqliteDatabase

FORGET_ROWS_MAX: Final = 500
"""Deleted at once; the event loop stands still meanwhile."""

_QUERIES: Final = named_queries("sqlite", "journal.sql")


class SqliteJournal:
    """Implements `Journal` and `OperationsForPeople`.

    Its time is that of this machine, which may be set back: see `held_by`.
    """

    def __init__(self, database: SqliteDatabase, key_ring: KeyRing, clock: Clock) -> None:
        self._database = database
        self._key_ring = key_ring
        self._clock = clock

    async def claim(
        self,
        key: OperationKey,
        sequence_id: str,
        fingerprint: str,
        *,
        settle_seconds: float,
    ) -> Claim:
        """See `Journal.claim`."""

        def claim(connection: sqlite3.Connection) -> Claim:
            now_epoch_ms = self._now_epoch_ms()
            new = columns_of_new(key, sequence_id, self._key_ring)
            epoch = _insert(connection, new | {"fingerprint": fingerprint}, now_epoch_ms)
            if epoch is not None:
                return Claimed(Operation(key, sequence_id, epoch), now_epoch_ms)
            row = _row(connection, key)
            if row is not None:
                answer = answer_to_claim(row, fingerprint, now_epoch_ms, self._key_ring)
                if answer is not None:
                    return answer
            held = _other_holder(connection, key, sequence_id)
            if held is not None:
                return held_by(held, key.connection, now_epoch_ms, settle_seconds)
            assert row is not None
            return self._take(connection, row, now_epoch_ms)

        return await self._database.run(claim)

    async def take(self, key: OperationKey, epoch: int) -> Claimed | None:
        """See `Journal.take`."""

        def take(connection: sqlite3.Connection) -> Claimed | None:
            now_epoch_ms = self._now_epoch_ms()
            row = _row(connection, key)
            if row is None or row.epoch != epoch or row.is_owned(now_epoch_ms):
                return None
            if _other_holder(connection, key, row.sequence_id) is not None:
                return None
            return self._take(connection, row, now_epoch_ms)

        return await self._database.run(take)

    async def save(
        self,
        operation: Operation,
        *,
        is_sending: bool = False,
        look_after_seconds: float | None = None,
    ) -> int:
        """See `Journal.save`."""

        def save(connection: sqlite3.Connection) -> int:
            now_epoch_ms = self._now_epoch_ms()
            changed = columns(operation, self._key_ring, is_sending=is_sending) | {
                "due_at_epoch_ms": due_at_epoch_ms(operation, now_epoch_ms, look_after_seconds),
                "now_epoch_ms": now_epoch_ms,
                "known_epoch": operation.epoch,
                "known_state": OperationState.RUNNING.value,
            }
            if is_sending:
                changed["sent_at_epoch_ms"] = now_epoch_ms
            if not _update(connection, changed):
                raise _lost(connection, operation)
            return now_epoch_ms

        return await self._database.run(save)

    async def discard(self, operation: Operation) -> None:
        """See `Journal.discard`."""

        def discard(connection: sqlite3.Connection) -> None:
            mine = where(operation.key) | {"epoch": operation.epoch}
            if connection.execute(_QUERIES["delete"], mine).rowcount == 0:
                raise OwnershipLost

        await self._database.run(discard)

    async def renew(self, operations: Collection[Operation]) -> None:
        """See `Journal.renew`."""

        def renew(connection: sqlite3.Connection) -> None:
            until_epoch_ms = self._now_epoch_ms() + LEASE_MS
            for operation in operations:
                mine = where(operation.key) | {
                    "epoch": operation.epoch,
                    "state": operation.state.value,
                    "due_at_epoch_ms": until_epoch_ms,
                }
                connection.execute(_QUERIES["renew"], mine)

        await self._database.run(renew)

    async def find(self, key: OperationKey) -> Operation | None:
        """See `Journal.find`."""

        def find(connection: sqlite3.Connection) -> Operation | None:
            row = _row(connection, key)
            return None if row is None else row.operation(self._key_ring)

        return await self._database.run(find)

    async def due(self, limit: int) -> tuple[Due, ...]:
        """See `Journal.due`."""

        def due(connection: sqlite3.Connection) -> tuple[Due, ...]:
            bounds = {"now_epoch_ms": self._now_epoch_ms(), "limit": limit}
            rows = connection.execute(_QUERIES["due"], bounds).fetchall()
            return tuple(
                Due(
                    OperationKey(
                        caller, ConnectionKey(customer_id, ProviderName(provider)), request_id
                    ),
                    epoch,
                )
                for caller, customer_id, provider, request_id, epoch in rows
            )

        return await self._database.run(due)

    async def steps_of_others(self, operation: Operation) -> frozenset[str]:
        """See `Journal.steps_of_others`."""

        def steps_of_others(connection: sqlite3.Connection) -> frozenset[str]:
            sequence = where(operation.key) | {"sequence_id": operation.sequence_id}
            rows = connection.execute(_QUERIES["steps_of_others"], sequence).fetchall()
            return frozenset(step_id for (step_id,) in rows)

        return await self._database.run(steps_of_others)

    async def forget(self, *, finished_before_seconds: float, open_before_seconds: float) -> int:
        """See `Journal.forget`."""

        def forget(connection: sqlite3.Connection) -> int:
            now_epoch_ms = self._now_epoch_ms()
            bounds = {
                "finished_until_epoch_ms": now_epoch_ms - finished_before_seconds * MS_PER_SECOND,
                "open_until_epoch_ms": now_epoch_ms - open_before_seconds * MS_PER_SECOND,
                "limit": FORGET_ROWS_MAX,
            }
            return connection.execute(_QUERIES["forget"], bounds).rowcount

        count = last_count = await self._database.run(forget)
        while last_count == FORGET_ROWS_MAX:
            last_count = await self._database.run(forget)
            count += last_count
        return count

    async def expire_leases(self) -> None:
        """End all leases: whoever had one is gone, since only one process serves from the file.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        now = {"now_epoch_ms": self._now_epoch_ms()}
        await self._database.run(
            lambda connection: connection.execute(_QUERIES["expire_leases"], now).close()
        )

    async def unsettled(self) -> tuple[UnsettledCount, ...]:
        """See `OperationsForPeople.unsettled`."""

        def unsettled(connection: sqlite3.Connection) -> tuple[UnsettledCount, ...]:
            return tuple(map(unsettled_count, connection.execute(_QUERIES["unsettled"])))

        return await self._database.run(unsettled)

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
        no_limit = -1
        return await self._list(
            connection, request_id=request_id, only_unsettled=False, limit=no_limit
        )

    async def _list(
        self,
        connection: ConnectionKey | None,
        *,
        request_id: str | None,
        only_unsettled: bool,
        limit: int,
    ) -> tuple[OperationSummary, ...]:
        wanted = {
            "customer_id": None if connection is None else connection.customer_id,
            "provider": None if connection is None else connection.provider,
            "request_id": request_id,
            "only_unsettled": only_unsettled,
            "limit": limit,
        }

        def read(database: sqlite3.Connection) -> tuple[OperationSummary, ...]:
            rows = database.execute(_QUERIES["list"], wanted).fetchall()
            return tuple(OperationRow(*row).summary(self._key_ring) for row in rows)

        return await self._database.run(read)

    def _take(
        self, connection: sqlite3.Connection, row: OperationRow, now_epoch_ms: int
    ) -> Claimed:
        operation = taken(row, _next_epoch(connection), self._key_ring)
        is_updated = _update(
            connection,
            columns(operation, self._key_ring)
            | {
                "due_at_epoch_ms": now_epoch_ms + LEASE_MS,
                "now_epoch_ms": now_epoch_ms,
                "known_epoch": row.epoch,
                "known_state": row.state,
            },
        )
        assert is_updated
        return Claimed(operation, now_epoch_ms)

    def _now_epoch_ms(self) -> int:
        return round(self._clock.epoch_seconds() * MS_PER_SECOND)


def _row(connection: sqlite3.Connection, key: OperationKey) -> OperationRow | None:
    row = connection.execute(_QUERIES["read"], where(key)).fetchone()
    return None if row is None else OperationRow(*row)


def _insert(
    connection: sqlite3.Connection, new: dict[str, object], now_epoch_ms: int
) -> int | None:
    """Insert a new operation; return its epoch, or None when something is in its way."""
    times = {"lease_until_epoch_ms": now_epoch_ms + LEASE_MS, "now_epoch_ms": now_epoch_ms}
    inserted = connection.execute(_QUERIES["insert"], new | times).fetchone()
    if inserted is None:
        return None
    epoch = _next_epoch(connection)
    assert (epoch,) == inserted
    return epoch


def _other_holder(
    connection: sqlite3.Connection, key: OperationKey, sequence_id: str
) -> HolderRow | None:
    sequence = where(key) | {"sequence_id": sequence_id}
    row = connection.execute(_QUERIES["holder"], sequence).fetchone()
    return None if row is None else HolderRow(*row)


def _next_epoch(connection: sqlite3.Connection) -> int:
    (epoch,) = connection.execute(_QUERIES["next_epoch"]).fetchone()
    return int(epoch)


def _update(connection: sqlite3.Connection, changed: dict[str, object]) -> bool:
    """Change a row; say whether it still had the epoch that is known.

    Raises:
        StepTaken: its step is another operation's.
    """
    try:
        return connection.execute(_QUERIES["update"], changed).rowcount == 1
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
            raise
        raise StepTaken from error


def _lost(connection: sqlite3.Connection, operation: Operation) -> OwnershipLost:
    """Return why a row could not be changed; that it has ended in our own epoch is a bug."""
    row = _row(connection, operation.key)
    assert row is None or row.epoch != operation.epoch, "it has ended, and nobody took it since"
    return OwnershipLost()
