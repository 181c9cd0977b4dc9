"""Encrypts anew, with the first key of the ring, what is stored under another key.

Processes serve meanwhile. A batch of a few rows is read, encrypted anew and written, and only over
rows that are still what was read; a row that somebody changed is read again in the next pass. The
passes end with one that finds nothing to do: that is the proof that no row needs another key.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from service.stores.key_ring import KeyRing, SecretUnreadable
from service.stores.sealed_rows import TABLES, Replacement, SealedRow, SealedRows, SealedTable

ROWS_MAX: Final = 100
"""Rows of a batch: a request may wait for as long as it takes to write them."""

PAUSE_SECONDS: Final = 0.01
"""Between two batches, so that a process that waits for a SQLite file gets it: it asks every 3 ms,
and gives up after 5 s."""

PASSES_MAX: Final = 10
"""After so many passes somebody goes on writing under another key."""

UNREADABLE_NAMED_MAX: Final = 100


@dataclass(slots=True)
class TableRotation:
    """What was done with one table."""

    table: SealedTable
    replaced: int = 0
    unreadable_named: list[str] = field(default_factory=list)
    """Sentences on the first rows that do not decrypt."""

    unreadable: int = 0
    is_done: bool = False
    """Whether every row that decrypts is under the first key."""

    @property
    def is_complete(self) -> bool:
        """Whether no row needs another key."""
        return self.is_done and not self.unreadable


async def rotate(rows: SealedRows, key_ring: KeyRing) -> tuple[TableRotation, ...]:
    """Encrypt everything anew that is not under the ring's first key.

    Raises:
        ServiceError: STORE_UNAVAILABLE; what was done until then is kept.
    """
    return tuple([await _rotate(rows, table, key_ring) for table in TABLES])


async def _rotate(rows: SealedRows, table: SealedTable, key_ring: KeyRing) -> TableRotation:
    rotation = TableRotation(table)
    for _ in range(PASSES_MAX):
        await _pass(rows, rotation, key_ring)
        if rotation.is_done:
            break
    return rotation


async def _pass(rows: SealedRows, rotation: TableRotation, key_ring: KeyRing) -> None:
    """Go through the table once; it is done if there was nothing to do."""
    table, current_key_id = rotation.table, key_ring.current.id
    rotation.is_done = True
    rotation.unreadable, rotation.unreadable_named = 0, []
    after: Sequence[str] = [""] * len(table.key_columns)
    while page := await rows.page(table, after, current_key_id, ROWS_MAX):
        after = page[-1].key
        if replacements := _encrypted_anew(page, rotation, key_ring):
            rotation.is_done = False
            rotation.replaced += await rows.replace(table, replacements, current_key_id)
        await asyncio.sleep(PAUSE_SECONDS)


def _encrypted_anew(
    page: Sequence[SealedRow], rotation: TableRotation, key_ring: KeyRing
) -> list[Replacement]:
    replacements = []
    for row in page:
        if row.key_id == key_ring.current.id or not any(row.sealed):
            continue
        try:
            replacements.append(_replacement(row, rotation.table, key_ring))
        except SecretUnreadable as error:
            rotation.unreadable += 1
            if rotation.unreadable <= UNREADABLE_NAMED_MAX:
                rotation.unreadable_named.append(str(error))
    return replacements


def _replacement(row: SealedRow, table: SealedTable, key_ring: KeyRing) -> Replacement:
    """Encrypt what a row has.

    Raises:
        SecretUnreadable: it does not decrypt.
    """
    sealed: list[bytes | None] = []
    for column, value in zip(table.sealed_columns, row.sealed, strict=True):
        if value is None:
            sealed.append(None)
            continue
        place = table.place(row.key, column)
        sealed.append(key_ring.encrypt(key_ring.decrypt(value, place, row.key_id), place))
    return Replacement(row, tuple(sealed))
