"""Connections that were read a moment ago, so that a request does not cost a read of the store."""

from contextlib import AbstractAsyncContextManager

from service.application.connection_ports import ConnectionStore, StoredConnection
from service.application.ports import Clock
from service.domain.connection import Connection
from service.domain.step import ConnectionKey
from service.domain.value_class import value_class

CACHE_SECONDS = 5.0
"""How long another process's change of a connection can go unseen."""

CACHE_ENTRIES_MAX = 1024
"""Beyond this the oldest is forgotten, which costs one more read."""


@value_class
class _Entry:
    stored: StoredConnection
    read_at_seconds: float


class ConnectionCache:
    """Implements `ConnectionStore` on top of one: changes made through it are seen at once."""

    def __init__(self, store: ConnectionStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._entries: dict[ConnectionKey, _Entry] = {}
        self._changes = 0

    async def recent(self, key: ConnectionKey) -> StoredConnection | None:
        """Return what was stored at most `CACHE_SECONDS` ago; absence is not remembered."""
        entry = self._entries.get(key)
        if entry and self._clock.monotonic_seconds() - entry.read_at_seconds <= CACHE_SECONDS:
            return entry.stored
        return await self.read(key)

    async def read(self, key: ConnectionKey) -> StoredConnection | None:
        """See `ConnectionStore.read`."""
        changes = self._changes
        read_at_seconds = self._clock.monotonic_seconds()
        stored = await self._store.read(key)
        self._entries.pop(key, None)
        # A change that was made while this read was under way may not be in its answer.
        if stored is not None and changes == self._changes:
            self._keep(key, _Entry(stored, read_at_seconds))
        return stored

    async def replace(self, old: Connection, new: Connection) -> bool:
        """See `ConnectionStore.replace`."""
        try:
            return await self._store.replace(old, new)
        finally:
            self._forget(old.key)

    async def mark_expired(self, refused: Connection) -> bool:
        """See `ConnectionStore.mark_expired`."""
        try:
            return await self._store.mark_expired(refused)
        finally:
            self._forget(refused.key)

    def exclusive(self, key: ConnectionKey) -> AbstractAsyncContextManager[None]:
        """See `ConnectionStore.exclusive`."""
        return self._store.exclusive(key)

    def _keep(self, key: ConnectionKey, entry: _Entry) -> None:
        self._entries[key] = entry
        if len(self._entries) > CACHE_ENTRIES_MAX:
            del self._entries[next(iter(self._entries))]

    def _forget(self, key: ConnectionKey) -> None:
        self._changes += 1
        self._entries.pop(key, None)
