"""Encrypted rows that somebody changes while their keys are changed."""

from collections.abc import Awaitable, Callable, Sequence

from service.stores import key_rotation
from service.stores.sealed_rows import Replacement, SealedRow, SealedRows, SealedTable

Meanwhile = Callable[[], Awaitable[object]]


class Interrupted:
    """Rows between whose reading and replacing something happens, the first time or always."""

    def __init__(self, rows: SealedRows, meanwhile: Meanwhile, *, always: bool = False) -> None:
        self._rows = rows
        self._meanwhile = meanwhile
        self._times = key_rotation.PASSES_MAX if always else 1
        self.keep = rows.keep

    async def page(
        self, table: SealedTable, after: Sequence[str], current_key_id: str, limit: int
    ) -> Sequence[SealedRow]:
        return await self._rows.page(table, after, current_key_id, limit)

    async def replace(
        self, table: SealedTable, replacements: Sequence[Replacement], current_key_id: str
    ) -> int:
        if self._times:
            self._times -= 1
            await self._meanwhile()
        return await self._rows.replace(table, replacements, current_key_id)
