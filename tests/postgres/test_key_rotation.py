"""Changing keys beside a process that holds a row just then: nobody waits for anybody."""

import pytest

from service.domain.operation import OperationState
from service.stores import key_rotation
from service.stores.connections_postgres import PostgresConnections
from service.stores.journal_postgres import PostgresJournal
from service.stores.key_ring import KeyRing
from service.stores.key_rotation import rotate
from service.stores.postgres_connection import fetch
from service.stores.postgres_database import PostgresDatabase
from service.stores.sealed_rows_postgres import PostgresSealedRows
from tests.connections.manual_clock import ManualClock
from tests.connections.samples import KEY_1, KEY_2, RING, oauth
from tests.journal.samples import ended, key

NEW_FIRST = KeyRing({"k2": KEY_2, "k1": KEY_1})


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_rotation, "PAUSE_SECONDS", 0)


async def test_a_row_that_is_held_is_passed_over(
    database: PostgresDatabase, other: PostgresDatabase, short_statements: None
) -> None:
    """For as long as it is held, which no process does for long; then it has its turn."""
    assert short_statements is None
    await PostgresConnections(database, RING, ManualClock()).put(oauth())
    await ended(PostgresJournal(database, RING), key(), OperationState.IN_DOUBT)
    await ended(PostgresJournal(database, RING), key("r-2"), OperationState.NO_EFFECT)
    rows = PostgresSealedRows(database)
    async with other.transaction() as holder:
        await fetch(holder, b"SELECT 1 FROM connections FOR UPDATE")
        await fetch(holder, b"SELECT 1 FROM operations WHERE request_id = 'r-1' FOR UPDATE")
        _, connections, operations = await rotate(rows, NEW_FIRST)
    assert [(each.replaced, each.is_complete) for each in (connections, operations)] == [
        (0, False),
        (1, False),
    ]
    _, connections, operations = await rotate(rows, NEW_FIRST)
    assert [(each.replaced, each.is_complete) for each in (connections, operations)] == [
        (1, True),
        (1, True),
    ]
