"""Encrypted rows of PostgreSQL, for who changes keys and for the service's own secrets."""

import asyncio
from collections.abc import Sequence
from typing import Final

from service.stores.postgres_database import PostgresDatabase
from service.stores.sealed_rows import (
    Replacement,
    SealedRow,
    SealedTable,
    bounds,
    row_of,
    values,
)
from service.stores.sql_files import named_queries

_QUERIES: Final = {
    name: text.encode() for name, text in named_queries("postgres", "sealed_rows.sql").items()
}


class PostgresSealedRows:
    """Implements `SealedRows`."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def page(
        self, table: SealedTable, after: Sequence[str], current_key_id: str, limit: int
    ) -> Sequence[SealedRow]:
        """See `SealedRows.page`."""
        wanted = bounds(table, after, current_key_id, limit)
        rows = await self._database.fetch(_QUERIES[f"{table.name}_after"], wanted)
        return [row_of(table, row) for row in rows]

    async def replace(
        self, table: SealedTable, replacements: Sequence[Replacement], current_key_id: str
    ) -> int:
        """See `SealedRows.replace`."""
        query = _QUERIES[f"replace_{table.name}"]
        replaced = await asyncio.gather(
            *(
                self._database.fetch_grouped(query, values(table, each, current_key_id))
                for each in replacements
            )
        )
        return sum(map(len, replaced))

    async def keep(self, name: str, key_id: str, secret: bytes) -> SealedRow:
        """See `SealedRows.keep`."""
        new = {"name": name, "key_id": key_id, "secret": secret}
        await self._database.fetch(_QUERIES["keep_service_secret"], new)
        ((known_key_id, known_secret),) = await self._database.fetch(
            _QUERIES["service_secret"], {"name": name}
        )
        return SealedRow((name,), known_key_id, (known_secret,))
