"""Locks by name that all replicas share, for what takes longer than a transaction should.

A process holds all of its locks in one session of its own: one that is waited for takes no
connection from requests, and the server lets go of all when the process ends, however it ends. Of
one that is frozen it lets go after `SESSION_SECONDS_MAX`.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog

from service.domain.errors import ServiceError
from service.stores.postgres_connection import (
    PostgresConnection,
    connect,
    connection_text,
    failures_reported,
    fetch,
    hanging_up_on_silence,
    is_closing,
)
from service.stores.store_failure import store_unavailable

WAIT_SECONDS_MAX: Final = 30.0
"""How long a lock is waited for; longer than a refresh of a token takes."""

PAUSE_SECONDS: Final = 0.05
"""Between two tries. The server could wait, but would hold up the session meanwhile."""

SESSION_SECONDS_MAX: Final = 60.0
"""How long a session may send nothing; longer than any lock is held."""

_log = structlog.get_logger()

_TAKE: Final = b"SELECT pg_try_advisory_lock(%(number)s)"
_RELEASE: Final = b"SELECT pg_advisory_unlock(%(number)s)"


class PostgresLocks:
    """Takes and releases locks; make one inside the running loop."""

    def __init__(self, url: str) -> None:
        self._text = connection_text(url, idle_session_timeout=f"{SESSION_SECONDS_MAX:g}s")
        self._session: PostgresConnection | None = None
        self._using_session = asyncio.Lock()
        self._taken: set[int] = set()
        """What this process holds or tries to take: the server would give it to a session twice."""

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[None]:
        """Hold the lock of this name.

        Raises:
            ServiceError: STORE_UNAVAILABLE when the database is, or somebody else keeps the lock.
        """
        number = _number(name)
        session = await self._take(number, name)
        try:
            yield
        finally:
            self._taken.discard(number)
            if session is self._session and not session.closed:  # Else it is let go of already.
                await self._release(number)

    async def aclose(self) -> None:
        """Close the session, which releases all that is held."""
        if self._session is not None:
            await self._session.close()

    async def _take(self, number: int, name: str) -> PostgresConnection:
        """Wait for the lock, and return the session that holds it."""
        loop = asyncio.get_running_loop()
        give_up_at_seconds = loop.time() + WAIT_SECONDS_MAX
        while not await self._is_taken(number):
            if loop.time() > give_up_at_seconds:
                _log.warning("lock_kept_by_another", lock=name)
                raise store_unavailable()
            await asyncio.sleep(PAUSE_SECONDS)
        assert self._session is not None
        return self._session

    async def _is_taken(self, number: int) -> bool:
        if number in self._taken:
            return False
        self._taken.add(number)
        is_taken = False
        try:
            is_taken = await self._ask(_TAKE, number)
        finally:
            if not is_taken:
                self._taken.discard(number)
        return is_taken

    async def _release(self, number: int) -> None:
        """Let go of the lock; what was done under it counts, whether this succeeds or not."""
        with suppress(ServiceError):
            await self._ask(_RELEASE, number)

    async def _ask(self, statement: bytes, number: int) -> bool:
        async with self._using_session:
            with failures_reported():
                session = await self._open_session()
                try:
                    with hanging_up_on_silence(session):
                        ((answer,),) = await fetch(session, statement, {"number": number})
                except BaseException:
                    await session.close()  # What it holds now is not known: then nothing.
                    raise
        return bool(answer)

    async def _open_session(self) -> PostgresConnection:
        if self._session is not None and not self._session.closed and is_closing(self._session):
            await self._session.close()
        if self._session is None or self._session.closed:
            self._session = await connect(self._text)
        return self._session


def _number(name: str) -> int:
    """Return the lock of a name: PostgreSQL numbers them, with 64 bits."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
