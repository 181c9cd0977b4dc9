"""The journal's statements: each finds its rows by an index, and few are needed."""

import asyncio

import pytest

from service.domain.operation import OperationState
from service.stores import journal_postgres
from service.stores.journal_postgres import PostgresJournal
from service.stores.postgres_database import PostgresDatabase
from tests.connections.samples import RING
from tests.journal.samples import claimed, key, planned, sending
from tests.postgres.conftest import Opening

PARAMETERS = {
    "caller": "crm",
    "customer_id": "acme",
    "provider": "outreach",
    "request_id": "r-1",
    "sequence_id": "s-1",
    "epoch": 2,
    "known_epoch": 1,
    "known_state": "running",
    "state": "succeeded",
    "holds_sequence": False,
    "step_id": "7",
    "due_after_ms": 30_000,
    "is_sending": True,
    "sent_at_epoch_ms": None,
    "key_id": "k1",
    "document": b"sealed",
    "callers": ["crm"],
    "customer_ids": ["acme"],
    "providers": ["outreach"],
    "request_ids": ["r-1"],
    "epochs": [1],
    "states": ["running"],
    "lease_ms": 30_000,
    "limit": 10,
    "finished_before_ms": 1000,
    "open_before_ms": 1000,
}


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("read", "operations_pkey"),
        ("read_to_change", "operations_pkey"),
        ("holder", "operations_holding_sequence"),
        ("update", "operations_pkey"),
        ("delete", "operations_pkey"),
        ("renew", "operations_pkey"),
        ("due", "operations_due"),
        ("steps_of_others", "operations_step"),
        ("forget", "operations_ended"),
    ],
)
async def test_no_request_searches_the_whole_table(
    opening: Opening, postgres_url: str, name: str, index: str
) -> None:
    """The planner reads a small table as a whole all the same, unless it is told not to."""
    options = "%20-c%20enable_seqscan%3Doff%20-c%20enable_bitmapscan%3Doff"
    database = await opening(postgres_url + options)
    rows = await database.fetch(b"EXPLAIN " + journal_postgres._QUERIES[name], PARAMETERS)
    plan = "\n".join(line for (line,) in rows)
    assert f"using {index} " in plan, plan
    assert "Seq Scan on operations" not in plan


async def test_a_request_costs_three_statements(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim, the step's SENT, and the end; each may share a transaction with those of others."""
    statements: list[bytes] = []
    fetch = database.fetch_grouped

    async def counted(statement: bytes, parameters: dict[str, object]) -> list[tuple[object, ...]]:
        statements.append(statement)
        return await fetch(statement, parameters)

    monkeypatch.setattr(database, "fetch_grouped", counted)
    monkeypatch.delattr(PostgresDatabase, "fetch")
    monkeypatch.delattr(PostgresDatabase, "transaction")
    journal = PostgresJournal(database, RING)
    operation = await sending(journal, await claimed(journal, key()))
    await journal.save(operation.moved(OperationState.IN_DOUBT))
    assert len(statements) == 3


async def test_what_is_locked_is_not_renewed_or_waited_for(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    """The others get their leases all the same."""
    journal = PostgresJournal(database, RING)
    owned = [await claimed(journal, key(f"r-{each}"), f"s-{each}") for each in range(3)]
    await database.fetch(b"UPDATE operations SET due_at_epoch_ms = 5")
    async with other.transaction() as connection:
        await connection.execute(b"SELECT 1 FROM operations WHERE request_id = 'r-1' FOR UPDATE")
        await journal.renew(owned)
    assert [due.key for due in await journal.due(10)] == [key("r-1")]


async def test_a_save_waits_for_whoever_looks_at_the_row(
    database: PostgresDatabase, other: PostgresDatabase
) -> None:
    """A claim elsewhere that finds the operation owned does not make the owner fail."""
    journal = PostgresJournal(database, RING)
    operation = planned(await claimed(journal, key()))
    async with other.transaction() as connection:
        await connection.execute(b"SELECT 1 FROM operations FOR UPDATE")
        saving = asyncio.create_task(journal.save(operation))
        while not await database.fetch(b"SELECT 1 FROM pg_locks WHERE NOT granted"):
            pass
        assert not saving.done()
    await saving
    assert await journal.find(key()) == operation
