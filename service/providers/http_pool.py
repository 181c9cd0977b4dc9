"""Connections to providers, kept open between exchanges and limited for each host.

Who gets a connection here is the first and only one to send on it until it is given back. What
fails before that is `NotSent`, for certain.
"""

import asyncio
import socket
import ssl
from collections import deque
from typing import Final, NamedTuple

import httpx

from service.domain.loopback import is_loopback
from service.domain.provider_call import NotSent
from service.providers.http_connection import HttpConnection

CONNECTIONS_PER_HOST_MAX: Final = 256
"""Unless told otherwise. There is no limit on all hosts together: they are few, those of the
settings, and one that hangs would use up what the others need."""

CONNECT_SECONDS_MAX: Final = 10
"""Longest wait for a free connection, or for name lookup, TCP and TLS; part of the call's time."""

KEEPALIVE_SECONDS: Final = 20
"""An idle connection is given up before gateways usually do, after 60 to 75 s [inferred]."""


class Origin(NamedTuple):
    """What a connection leads to; `host` is a name in ASCII, or an address without brackets."""

    scheme: str
    host: str
    port: int


class HttpPool:
    """The connections to all hosts."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connections_per_host_max: int) -> None:
        self._loop = loop
        self._connections_per_host_max = connections_per_host_max
        self._tls = httpx.create_ssl_context()
        self._tls.set_alpn_protocols(["http/1.1"])
        self._hosts: dict[Origin, _Host] = {}
        self._is_closed = False

    async def take(self, origin: Origin, end_by_seconds: float) -> HttpConnection:
        """Return a connection for one exchange, until a time on the event loop's clock.

        Raises:
            NotSent: There is none in time, or none can be opened.
        """
        if self._is_closed:
            raise NotSent("could not connect")
        host = self._hosts.get(origin)
        if host is None:
            host = self._hosts[origin] = self._host(origin)
        return host.take_idle() or await host.take(end_by_seconds)

    async def aclose(self) -> None:
        """Close every connection; exchanges under way fail as they stand."""
        self._is_closed = True
        for host in self._hosts.values():
            host.close()
        await asyncio.sleep(0)  # In this turn of the loop the sockets are closed.

    def _host(self, origin: Origin) -> "_Host":
        is_tls = origin.scheme == "https"
        if not is_tls and not is_loopback(origin.host):
            raise NotSent("the address is not allowed")
        return _Host(
            self._loop, origin, self._connections_per_host_max, self._tls if is_tls else None
        )


class _Host:
    """The connections to one host: idle ones, those in use, and who waits for one."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        origin: Origin,
        connections_max: int,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._loop = loop
        self._origin = origin
        self._connections_max = connections_max
        self._tls = tls
        self._open: set[HttpConnection] = set()
        self._idle: deque[HttpConnection] = deque()
        """The one that was used last is at the end, and is used first."""
        self._places_taken = 0
        self._waiting: deque[asyncio.Future[HttpConnection | None]] = deque()
        """Each is handed a connection, or None: a place to open one."""
        self._sweep: asyncio.TimerHandle | None = None
        self._is_closed = False

    def take_idle(self) -> HttpConnection | None:
        """Return the connection that was used last, where one is idle."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
        return None

    async def take(self, end_by_seconds: float) -> HttpConnection:
        """Open a connection, or wait for one where there are as many as may be.

        Raises:
            NotSent: See `HttpPool.take`.
        """
        now_seconds = self._loop.time()
        try:
            async with asyncio.timeout_at(min(end_by_seconds, now_seconds + CONNECT_SECONDS_MAX)):
                while (given := await self._wait_for_place()) is not None:
                    if given.is_usable:  # Else it has ended since it was given.
                        return given
                return await self._opened()
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing was sent
            why = _why_not_sent(error)
        # Raised out here so that nothing is chained.
        raise NotSent(why)

    def close(self) -> None:
        """Close everything, and turn away who waits."""
        self._is_closed = True
        for connection in self._open:
            connection.abort()
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(ConnectionAbortedError())
        if self._sweep is not None:
            self._sweep.cancel()

    async def _wait_for_place(self) -> HttpConnection | None:
        if self._places_taken < self._connections_max:
            self._places_taken += 1
            return None
        waiting: asyncio.Future[HttpConnection | None] = self._loop.create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.exception() is None:
                self._pass_on(waiting.result())
            raise

    async def _opened(self) -> HttpConnection:
        """Open a connection in a place that is taken for it.

        A host's addresses are tried one after the other: asyncio loses a socket when it tries two
        at once (RFC 8305) and is cancelled.
        """
        connection = HttpConnection(self._loop, self._give_back, self._forget)
        try:
            await self._loop.create_connection(
                lambda: connection,
                self._origin.host,
                self._origin.port,
                ssl=self._tls,
            )
        except BaseException:
            if connection.was_opened:
                connection.abort()
            else:
                self._pass_on(None)
            raise
        self._open.add(connection)
        if self._is_closed or not connection.is_usable:
            connection.abort()
            raise ConnectionAbortedError
        return connection

    def _give_back(self, connection: HttpConnection) -> None:
        connection.idle_since_seconds = self._loop.time()
        self._pass_on(connection)

    def _forget(self, connection: HttpConnection) -> None:
        self._open.discard(connection)
        self._pass_on(None)

    def _pass_on(self, given: HttpConnection | None) -> None:
        """Hand a connection, or a place for one, to who waits longest, or keep it."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(given)
                return
        if given is None:
            self._places_taken -= 1
        else:
            self._idle.append(given)
            if self._sweep is None:
                self._sweep_later(KEEPALIVE_SECONDS)

    def _sweep_later(self, seconds: float) -> None:
        self._sweep = self._loop.call_later(seconds, self._close_idle)

    def _close_idle(self) -> None:
        """Close what has been idle for too long; the longest are first."""
        self._sweep = None
        now_seconds = self._loop.time()
        while self._idle:
            left_seconds = self._idle[0].idle_since_seconds + KEEPALIVE_SECONDS - now_seconds
            if left_seconds > 0:
                self._sweep_later(left_seconds)
                return
            self._idle.popleft().abort()


def _why_not_sent(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "no connection in time"
        case socket.gaierror():
            return "the host name was not found"
        case ssl.SSLError():
            return "TLS failed"
        case _:
            return "could not connect"
