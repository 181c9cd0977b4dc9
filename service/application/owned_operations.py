"""Keeps the operations of this process its own, for as long as their tasks are alive."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import structlog

from service.application.journal_entry import JournalEntry
from service.application.journal_port import LEASE_SECONDS, Claimed, Journal
from service.application.ports import Clock
from service.domain.errors import ServiceError
from service.domain.operation import OperationKey
from service.domain.step import ProviderName

RENEW_SECONDS: Final = LEASE_SECONDS / 3

OWNED_SECONDS_MAX: Final = 420.0
"""The longest wait of a caller and the longest operation together, and some more. What takes longer
hangs, and another owner may do better."""

_log = structlog.get_logger(__name__)


class OwnedOperations:
    """Renews the leases of all operations that this process works on."""

    def __init__(
        self, journal: Journal, settle_seconds: Mapping[ProviderName, float], clock: Clock
    ) -> None:
        """Take the journal, and within how long each provider applies and shows a write."""
        self._journal = journal
        self._settle_seconds = settle_seconds
        self._clock = clock
        self._held: dict[JournalEntry, float] = {}

    def settle_seconds(self, key: OperationKey) -> float:
        """Within how long the operation's provider applies a write or drops it, and shows it."""
        return self._settle_seconds[key.connection.provider]

    @contextmanager
    def owned(self, claimed: Claimed) -> Iterator[JournalEntry]:
        """Own an operation while the block runs."""
        settle_seconds = self.settle_seconds(claimed.operation.key)
        entry = JournalEntry(self._journal, claimed, settle_seconds, self._clock)
        self._held[entry] = self._clock.monotonic_seconds() + OWNED_SECONDS_MAX
        try:
            yield entry
        finally:
            del self._held[entry]

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            await self._clock.sleep(RENEW_SECONDS)
            await self._renew()

    async def _renew(self) -> None:
        now_seconds = self._clock.monotonic_seconds()
        operations = [
            entry.operation
            for entry, until_seconds in self._held.items()
            if not entry.is_ended and now_seconds < until_seconds
        ]
        if not operations:
            return
        try:
            async with asyncio.timeout(RENEW_SECONDS):
                await self._journal.renew(operations)
        except (ServiceError, TimeoutError) as error:
            _log.warning("leases_not_renewed", count=len(operations), error=str(error))
        except Exception:  # noqa: BLE001 - the loop goes on: others would take everything over
            _log.exception("leases_not_renewed")
