"""Whether a stored connection can be used, and what the caller is told when it cannot."""

from service.application.connection_ports import ConnectionState, StoredConnection
from service.domain.connection import Connection
from service.domain.errors import Reason, ServiceError
from service.domain.step import ConnectionKey


def usable(key: ConnectionKey, stored: StoredConnection | None) -> Connection:
    """Return the connection that the store has for `key`.

    Raises:
        ServiceError: CONNECTION_MISSING, or CONNECTION_EXPIRED.
    """
    if stored is None:
        raise ServiceError(
            Reason.CONNECTION_MISSING,
            f"Customer {key.customer_id} has no connection at {key.provider.capitalize()}; "
            "an operator stores one with `connections put`.",
        )
    if stored.state is ConnectionState.EXPIRED:
        raise connection_expired(stored.connection)
    return stored.connection


def connection_expired(connection: Connection) -> ServiceError:
    """Return the error for credentials that the provider refuses and nobody here can renew."""
    key = connection.key
    return ServiceError(
        Reason.CONNECTION_EXPIRED,
        f"{key.provider.capitalize()} refuses the {connection.kind} connection of customer "
        f"{key.customer_id}; an operator stores a new one with `connections put`.",
    )
