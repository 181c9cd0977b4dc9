"""A connection as its row in either database: which columns it has, and how its secrets are sealed.

The customer, the provider and the column are part of what a secret is encrypted with.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import structlog

from service.application.connection_ports import ConnectionState, StoredConnection
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.errors import Reason, ServiceError
from service.domain.step import ConnectionKey
from service.domain.value_class import value_class
from service.stores.key_ring import KeyRing, Place, SecretUnreadable

_MS_PER_SECOND: Final = 1000

_log = structlog.get_logger()


@value_class
class ConnectionSummary:
    """What can be said of a stored connection without decrypting it."""

    customer_id: str
    provider: str
    kind: str
    state: str
    key_id: str
    expires_at_epoch_ms: int | None
    updated_at_epoch_ms: int


class ConnectionRows:
    """Turns connections into rows and back."""

    def __init__(self, key_ring: KeyRing) -> None:
        self._key_ring = key_ring

    def columns(self, connection: Connection, *, now_epoch_seconds: float) -> dict[str, object]:
        """Return the values of the query `put`."""
        key, refresh_token = connection.key, connection.refresh_token
        expires_at = connection.expires_at_epoch_seconds
        return where(key) | {
            "kind": connection.kind.value,
            "key_id": self._key_ring.current.id,
            "credential": self._encrypt(connection.credential, key, "credential"),
            "refresh_token": (
                None
                if refresh_token is None
                else self._encrypt(refresh_token, key, "refresh_token")
            ),
            "expires_at_epoch_ms": None if expires_at is None else epoch_ms(expires_at),
            "updated_at_epoch_ms": epoch_ms(now_epoch_seconds),
        }

    def stored(self, key: ConnectionKey, row: Sequence[Any] | None) -> StoredConnection | None:
        """Return what a row of the query `read` says; None when there is none.

        Raises:
            ServiceError: INTERNAL when it cannot be decrypted.
        """
        if row is None:
            return None
        kind, state, key_id, credential, refresh_token, expires_at_epoch_ms = row
        with _unreadable_reported(key):
            connection = Connection(
                key=key,
                kind=ConnectionKind(kind),
                credential=self._decrypt(credential, key, "credential", key_id),
                refresh_token=(
                    None
                    if refresh_token is None
                    else self._decrypt(refresh_token, key, "refresh_token", key_id)
                ),
                expires_at_epoch_seconds=(
                    None if expires_at_epoch_ms is None else expires_at_epoch_ms / _MS_PER_SECOND
                ),
            )
        return StoredConnection(connection, ConnectionState(state))

    def holds(self, row: Sequence[Any] | None, connection: Connection) -> bool:
        """Whether a row of the query `read` has the secrets of the connection.

        Raises:
            ServiceError: as for `stored`.
        """
        stored = self.stored(connection.key, row)
        return (
            stored is not None
            and stored.connection.credential == connection.credential
            and stored.connection.refresh_token == connection.refresh_token
        )

    def _encrypt(self, secret: Secret, key: ConnectionKey, column: str) -> bytes:
        return self._key_ring.encrypt(secret.reveal(), place(key, column))

    def _decrypt(self, sealed: bytes, key: ConnectionKey, column: str, key_id: str) -> Secret:
        return Secret(self._key_ring.decrypt(sealed, place(key, column), key_id))


def where(key: ConnectionKey) -> dict[str, object]:
    """Return the columns that say which row it is."""
    return {"customer_id": key.customer_id, "provider": key.provider}


def epoch_ms(epoch_seconds: float) -> int:
    """Return a time as rows have it."""
    return round(epoch_seconds * _MS_PER_SECOND)


@contextmanager
def _unreadable_reported(key: ConnectionKey) -> Iterator[None]:
    """Tell the operator in the log what is wrong with a row, and the caller whom to ask."""
    try:
        yield
    except SecretUnreadable as error:
        _log.error(
            "connection_unreadable",
            customer=key.customer_id,
            provider=key.provider,
            error=str(error),
        )
        raise ServiceError(
            Reason.INTERNAL,
            f"The stored connection of customer {key.customer_id} at {key.provider.capitalize()} "
            "cannot be decrypted; an operator finds the cause in the log.",
        ) from error


def place(key: ConnectionKey, column: str) -> Place:
    """Return where a secret of a connection is."""
    return Place(key.customer_id, key.provider, column)
