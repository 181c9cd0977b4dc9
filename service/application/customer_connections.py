"""Finds a customer's connection for a request, with a token that will last for it."""

from typing import Final

from service.application.connection_cache import ConnectionCache
from service.application.connection_ports import ConnectionStore, TokenEndpoint
from service.application.ports import Clock
from service.application.token_refresh import TokenRefresh
from service.application.usable_connection import usable
from service.domain.connection import Connection, ConnectionKind
from service.domain.errors import Reason, ServiceError
from service.domain.step import ConnectionKey

REFRESH_AHEAD_SECONDS: Final = 60.0
"""A token that ends within this is replaced before it is used."""

_CONNECTION_IS_GONE: Final = frozenset({Reason.CONNECTION_MISSING, Reason.CONNECTION_EXPIRED})


class CustomerConnections:
    """Implements `Connections`; make one inside the running loop, and close it before the store."""

    def __init__(self, store: ConnectionStore, endpoint: TokenEndpoint, clock: Clock) -> None:
        self._clock = clock
        self._cache = ConnectionCache(store, clock)
        self._refresh = TokenRefresh(self._cache, endpoint, clock)

    async def find(self, key: ConnectionKey) -> Connection:
        """See `Connections.find`.

        A refresh ahead of time that fails is no error while the old token still works.
        """
        connection = usable(key, await self._cache.recent(key))
        left_seconds = self._left_seconds(connection)
        if left_seconds is None or left_seconds > REFRESH_AHEAD_SECONDS:
            return connection
        try:
            return await self._refresh.renewed(connection)
        except ServiceError as error:
            left_seconds = self._left_seconds(connection)
            if error.reason in _CONNECTION_IS_GONE or left_seconds is None or left_seconds <= 0:
                raise
            return connection

    async def refresh(self, connection: Connection) -> Connection:
        """See `Connections.refresh`.

        A connection that somebody replaced in the store meanwhile is returned as it is now.
        """
        return await self._refresh.renewed(connection)

    async def aclose(self) -> None:
        """Wait until every refresh that runs is stored."""
        await self._refresh.aclose()

    def _left_seconds(self, connection: Connection) -> float | None:
        """How long the token still lasts; None where it is not known, or cannot be refreshed."""
        ends_at = connection.expires_at_epoch_seconds
        if connection.kind is not ConnectionKind.OAUTH or ends_at is None:
            return None
        return ends_at - self._clock.epoch_seconds()
