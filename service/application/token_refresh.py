"""Replaces an access token, once however many need it, and never loses the new one.

A refresh uses up the refresh token (Salesloft says so [doc], Outreach is treated alike [unknown]),
so that two at once, or one whose answer is not kept, would end the connection. Hence:

- one at a time per connection; who waited finds the token replaced and asks nobody. An asyncio
  lock sees to it within the process, and `ConnectionStore.exclusive` among processes;
- the new tokens are stored before anyone uses them; when the store is down they are kept, and
  stored at the next attempt in place of another refresh;
- it runs in a task of its own, which a caller that leaves does not stop;
- a refresh that failed is never repeated by itself, and by a caller's wish only after a pause. If
  its answer was lost the provider may have used up our token: then the next attempt is answered
  with `invalid_grant`, and the connection has expired;
- only `invalid_grant` marks a connection as expired, and only while the refused tokens are still
  the stored ones.
"""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

import structlog

from service.application.connection_ports import ConnectionStore, GrantRefused, TokenEndpoint
from service.application.ports import Clock
from service.application.usable_connection import connection_expired, usable
from service.domain.connection import Connection, Secret
from service.domain.errors import ServiceError
from service.domain.step import ConnectionKey
from service.domain.value_class import value_class
from service.telemetry.metrics import TOKEN_REFRESHES

PAUSE_SECONDS: Final = 5.0
"""Time between a failed refresh and the next one of the same token, unless the provider said."""

PAUSE_SECONDS_MAX: Final = 60.0
"""A longer wait is told to the caller, but asked about again after this: the hint may be wrong."""

_Attempt: TypeAlias = tuple[ConnectionKey, Secret]
"""Whose token, and which: the one that has to be replaced."""

_log = structlog.get_logger()


@value_class
class _Pause:
    until_seconds: float
    error: ServiceError


@value_class
class _Unsaved:
    old: Connection
    new: Connection


class TokenRefresh:
    """Refreshes OAuth connections; make one inside the running loop."""

    def __init__(self, store: ConnectionStore, endpoint: TokenEndpoint, clock: Clock) -> None:
        self._store = store
        self._endpoint = endpoint
        self._clock = clock
        self._running: dict[_Attempt, asyncio.Task[Connection]] = {}
        self._locks: WeakValueDictionary[ConnectionKey, asyncio.Lock] = WeakValueDictionary()
        self._pauses: dict[_Attempt, _Pause] = {}
        self._unsaved: dict[ConnectionKey, _Unsaved] = {}

    async def renewed(self, failed: Connection) -> Connection:
        """Return the connection with another access token than that of `failed`, and store it.

        Raises:
            ServiceError: As for `Connections.refresh`.
        """
        attempt = (failed.key, failed.credential)
        task = self._running.get(attempt)
        if task is None:
            task = asyncio.create_task(self._renew_alone(failed))
            self._running[attempt] = task
            task.add_done_callback(partial(self._ended, attempt))
        return await asyncio.shield(task)

    def _ended(self, attempt: _Attempt, task: asyncio.Task[Connection]) -> None:
        """Take a refresh off the list; a bug in it is logged even when nobody waits any more."""
        del self._running[attempt]
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, ServiceError):
            _log.error("refresh_failed", **_whose(attempt[0]), exc_info=error)

    async def aclose(self) -> None:
        """Wait for the refreshes that run, and try once more to store what is not stored yet."""
        while self._running:
            await asyncio.wait(self._running.values())
        for unsaved in tuple(self._unsaved.values()):
            try:
                await self._save(unsaved.old, unsaved.new)
            except ServiceError as error:
                _log_failure(unsaved.old.key, error)

    async def _renew_alone(self, failed: Connection) -> Connection:
        lock = self._locks.setdefault(failed.key, asyncio.Lock())
        async with lock, self._store.exclusive(failed.key):
            return await self._renew(failed)

    async def _renew(self, failed: Connection) -> Connection:
        current = usable(failed.key, await self._store.read(failed.key))
        if current.credential != failed.credential:
            return current
        if current.refresh_token is None:
            raise connection_expired(current)
        self._raise_if_paused(current)
        try:
            return await self._save(current, await self._new_tokens(current))
        except GrantRefused:
            return await self._expire(current)
        except ServiceError as error:
            _log_failure(current.key, error)
            self._pause(current, error)
            raise

    async def _new_tokens(self, current: Connection) -> Connection:
        unsaved = self._unsaved.get(current.key)
        if unsaved is not None and unsaved.old == current:
            return unsaved.new
        return await self._endpoint.refresh(current)

    async def _save(self, old: Connection, new: Connection) -> Connection:
        self._unsaved[old.key] = _Unsaved(old, new)
        replaced = await self._store.replace(old, new)
        del self._unsaved[old.key]
        if not replaced:  # A person put or removed the connection meanwhile, which counts more.
            return usable(old.key, await self._store.read(old.key))
        TOKEN_REFRESHES.labels(old.key.provider, "refreshed").inc()
        _log.info("connection_refreshed", **_whose(old.key))
        return new

    async def _expire(self, refused: Connection) -> Connection:
        if not await self._store.mark_expired(refused):
            return usable(refused.key, await self._store.read(refused.key))
        TOKEN_REFRESHES.labels(refused.key.provider, "expired").inc()
        _log.warning("connection_expired", **_whose(refused.key))
        raise connection_expired(refused)

    def _raise_if_paused(self, current: Connection) -> None:
        pause = self._pauses.get((current.key, current.credential))
        if pause is None:
            return
        left_seconds = pause.until_seconds - self._clock.monotonic_seconds()
        if left_seconds > 0:
            helps = pause.error.retry_after_seconds is not None
            raise replace(pause.error, retry_after_seconds=left_seconds if helps else None)

    def _pause(self, current: Connection, error: ServiceError) -> None:
        now_seconds = self._clock.monotonic_seconds()
        wait_seconds = min(error.retry_after_seconds or PAUSE_SECONDS, PAUSE_SECONDS_MAX)
        self._pauses = {
            attempt: pause
            for attempt, pause in self._pauses.items()
            if pause.until_seconds > now_seconds
        }
        self._pauses[current.key, current.credential] = _Pause(now_seconds + wait_seconds, error)


def _log_failure(key: ConnectionKey, error: ServiceError) -> None:
    TOKEN_REFRESHES.labels(key.provider, "failed").inc()
    _log.warning("refresh_failed", **_whose(key), reason=error.reason.value, detail=error.message)


def _whose(key: ConnectionKey) -> dict[str, str]:
    return {"customer": key.customer_id, "provider": key.provider}
