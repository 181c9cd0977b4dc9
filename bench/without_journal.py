"""The same service with a journal that keeps nothing: what the real ones are compared with.

`python -m bench.without_journal` serves as `python -m service serve` does. It must not be used for
anything else: it promises nothing.
"""

import itertools
import sys
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, cast
from unittest import mock

from service import bootstrap
from service.__main__ import main
from service.application.journal_port import Claim, Claimed, Due, Journal
from service.bootstrap import Stores, opened_stores
from service.domain.operation import Operation, OperationKey
from service.settings import Settings

if TYPE_CHECKING:
    from service.stores.journal_sqlite import SqliteJournal


class JournalOfNothing(Journal):
    """Every request is new, and every commit is done at once."""

    def __init__(self) -> None:
        self._epochs = itertools.count(1)

    async def claim(
        self,
        key: OperationKey,
        sequence_id: str,
        fingerprint: str,
        *,
        settle_seconds: float,
    ) -> Claim:
        """See `Journal.claim`."""
        del fingerprint, settle_seconds
        return Claimed(Operation(key, sequence_id, next(self._epochs)), _now_epoch_ms())

    async def take(self, key: OperationKey, epoch: int) -> Claimed | None:
        """See `Journal.take`."""
        del key, epoch
        return None

    async def save(
        self,
        operation: Operation,
        *,
        is_sending: bool = False,
        look_after_seconds: float | None = None,
    ) -> int:
        """See `Journal.save`."""
        del operation, is_sending, look_after_seconds
        return _now_epoch_ms()

    async def discard(self, operation: Operation) -> None:
        """See `Journal.discard`."""

    async def renew(self, operations: Collection[Operation]) -> None:
        """See `Journal.renew`."""

    async def find(self, key: OperationKey) -> Operation | None:
        """See `Journal.find`."""
        del key
        return None

    async def due(self, limit: int) -> tuple[Due, ...]:
        """See `Journal.due`."""
        del limit
        return ()

    async def steps_of_others(self, operation: Operation) -> frozenset[str]:
        """See `Journal.steps_of_others`."""
        del operation
        return frozenset()

    async def forget(self, *, finished_before_seconds: float, open_before_seconds: float) -> int:
        """See `Journal.forget`."""
        del finished_before_seconds, open_before_seconds
        return 0


def _now_epoch_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def _stores(settings: Settings) -> AsyncIterator[Stores]:
    """Open the database for the connections alone."""
    async with opened_stores(settings) as stores:
        # What only the command line uses of a journal is not there.
        yield replace(stores, journal=cast("SqliteJournal", JournalOfNothing()))


if __name__ == "__main__":
    with mock.patch.object(bootstrap, "opened_stores", _stores):
        sys.exit(main(["serve"]))
