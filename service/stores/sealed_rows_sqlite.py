"""Encrypted rows of a SQLite file, for who changes keys and for the service's own secrets."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from service.stores.sealed_rows import (
    Replacement,
    SealedRow,
    SealedTable,
    bounds,
    row_of,
    values,
)
from service.stores.sql_files import named_queries
from service.stores.sqlite_database import SqliteDatabase

_QUERIES: Final = named_queries("sqlite", "sealed_rows.sql")


class SqliteSealedRows:
    """Implements `SealedRows`."""

    def __init__(self, database: SqliteDatabase) -> None:
        self._database = database

    async def page(
        self, table: SealedTable, after: Sequence[str], current_key_id: str, limit: int
    ) -> Sequence[SealedRow]:
        """See `SealedRows.page`."""
        query, wanted = _QUERIES[f"{table.name}_after"], bounds(table, after, current_key_id, limit)
        rows = await self._database.run(
            lambda connection: connection.execute(query, wanted).fetchall()
        )
        return [row_of(table, row) for row in rows]

    async def replace(
        self, table: SealedTable, replacements: Sequence[Replacement], current_key_id: str
    ) -> int:
        """See `SealedRows.replace`."""
        changes = [values(table, each, current_key_id) for each in replacements]
        return await self._database.run(
            lambda connection: (
                connection.executemany(_QUERIES[f"replace_{table.name}"], changes).rowcount
            )
        )

    async def keep(self, name: str, key_id: str, secret: bytes) -> SealedRow:
        """See `SealedRows.keep`."""

        def keep(connection: sqlite3.Connection) -> SealedRow:
            new = {"name": name, "key_id": key_id, "secret": secret}
            connection.execute(_QUERIES["keep_service_secret"], new)
            known = connection.execute(_QUERIES["service_secret"], {"name": name}).fetchone()
            known_key_id, known_secret = known
            return SealedRow((name,), known_key_id, (known_secret,))

        return await self._database.run(keep)
