"""What lies encrypted in the database, as who changes keys sees it: tables, rows and places.

Each table is read in the order of its keys, a few rows at a time, and a row is replaced only while
it is what was read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from service.domain.operation import OperationKey
from service.domain.step import ConnectionKey, ProviderName
from service.domain.value_class import value_class
from service.stores import connection_rows, journal_rows
from service.stores.key_ring import Place


@value_class
class SealedTable:
    """A table with encrypted columns; the queries on it are named after it."""

    name: str
    key_columns: tuple[str, ...]
    sealed_columns: tuple[str, ...]
    place: Callable[[Sequence[str], str], Place]
    """Where a column of a row is, by the row's key."""


@value_class
class SealedRow:
    """One row: its key, and what in it is encrypted."""

    key: tuple[str, ...]
    key_id: str
    sealed: tuple[bytes | None, ...]
    """By the table's `sealed_columns`; nothing, or no bytes, where there is nothing to decrypt."""


@value_class
class Replacement:
    """A row as it was read, and its columns encrypted anew."""

    row: SealedRow
    sealed: tuple[bytes | None, ...]


class SealedRows(Protocol):
    """Reads and replaces such rows. Every method may raise ServiceError(STORE_UNAVAILABLE)."""

    async def page(
        self, table: SealedTable, after: Sequence[str], current_key_id: str, limit: int
    ) -> Sequence[SealedRow]:
        """Return the next rows whose keys come after this one.

        What a row under the current key has encrypted may be left out.
        """

    async def replace(
        self, table: SealedTable, replacements: Sequence[Replacement], current_key_id: str
    ) -> int:
        """Replace those that are still what was read; return how many were."""

    async def keep(self, name: str, key_id: str, secret: bytes) -> SealedRow:
        """Store a secret of the service's own if there is none; return the one that is stored."""


def _connection_place(key: Sequence[str], column: str) -> Place:
    customer_id, provider = key
    return connection_rows.place(ConnectionKey(customer_id, ProviderName(provider)), column)


def _operation_place(key: Sequence[str], _column: str) -> Place:
    caller, customer_id, provider, request_id = key
    connection = ConnectionKey(customer_id, ProviderName(provider))
    return journal_rows.document_place(OperationKey(caller, connection, request_id))


def _service_place(key: Sequence[str], _column: str) -> Place:
    (name,) = key
    return Place("", "", name)


CONNECTIONS: Final = SealedTable(
    "connections",
    ("customer_id", "provider"),
    ("credential", "refresh_token"),
    _connection_place,
)
OPERATIONS: Final = SealedTable(
    "operations",
    ("caller", "customer_id", "provider", "request_id"),
    ("document",),
    _operation_place,
)
SERVICE_SECRETS: Final = SealedTable("service_secrets", ("name",), ("secret",), _service_place)

TABLES: Final = (SERVICE_SECRETS, CONNECTIONS, OPERATIONS)


def bounds(
    table: SealedTable, after: Sequence[str], current_key_id: str, limit: int
) -> dict[str, object]:
    """Return the parameters of the query for a page."""
    key = dict(zip(table.key_columns, after, strict=True))
    return {**key, "current_key_id": current_key_id, "limit": limit}


def row_of(table: SealedTable, columns: Sequence[Any]) -> SealedRow:
    """Return a row of the query for a page."""
    end = len(table.key_columns)
    return SealedRow(tuple(columns[:end]), columns[end], tuple(columns[end + 1 :]))


def values(
    table: SealedTable, replacement: Replacement, current_key_id: str
) -> Mapping[str, object]:
    """Return the parameters of the query that replaces a row."""
    row = replacement.row
    return {
        **dict(zip(table.key_columns, row.key, strict=True)),
        **dict(zip(table.sealed_columns, replacement.sealed, strict=True)),
        "current_key_id": current_key_id,
        "known": row.sealed[0],
    }
