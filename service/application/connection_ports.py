"""What connections need from outside: the store that keeps them and the token endpoints."""

import enum
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from service.domain.connection import Connection
from service.domain.step import ConnectionKey
from service.domain.value_class import value_class


class ConnectionState(enum.StrEnum):
    """Whether a stored connection is worth a try."""

    USABLE = "usable"
    """Nothing is known against it."""

    EXPIRED = "expired"
    """The provider refused its refresh token for good; it has to be put again."""


@value_class
class StoredConnection:
    """A connection as the store has it, decrypted."""

    connection: Connection
    state: ConnectionState


class ConnectionStore(Protocol):
    """Keeps connections, encrypted. Every method may raise ServiceError(STORE_UNAVAILABLE)."""

    async def read(self, key: ConnectionKey) -> StoredConnection | None:
        """Return what is stored now, or None.

        Raises:
            ServiceError: INTERNAL when it is stored but cannot be decrypted.
        """

    async def replace(self, old: Connection, new: Connection) -> bool:
        """Store `new` durably if `old` is still what is stored; say whether it was.

        `old` counts by its secrets, so that a connection that a person put meanwhile is kept.
        """

    async def mark_expired(self, refused: Connection) -> bool:
        """Set the state to expired if `refused` is still what is stored; say whether it was."""

    def exclusive(self, key: ConnectionKey) -> AbstractAsyncContextManager[None]:
        """Hold the right to refresh this connection, across processes."""


class TokenEndpoint(Protocol):
    """A provider's OAuth token endpoint."""

    async def refresh(self, connection: Connection) -> Connection:
        """Ask once for a new access token; return the connection with it, not yet stored.

        The old refresh token may be worth nothing from the moment that the request is sent.

        Raises:
            GrantRefused: The provider says that the refresh token is not valid.
            ServiceError: PROVIDER_UNAVAILABLE when there was no answer or none that can be used,
                PROVIDER_RATE_LIMITED, or PROVIDER_REJECTED when the settings are wrong.
        """


class GrantRefused(Exception):  # noqa: N818 - a fact about the connection, not a fault of ours
    """The provider answered `invalid_grant`: this refresh token is not valid (any more)."""
