"""The store of connections: what comes back, what lies on the disk, and what is refused."""

import base64
import sqlite3
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.application.connection_ports import ConnectionState, StoredConnection
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.errors import Reason, ServiceError
from service.domain.step import ConnectionKey, ProviderName
from service.stores.connections_sqlite import ConnectionSummary, SqliteConnections
from service.stores.key_ring import KeyRing
from service.stores.sqlite_database import SqliteDatabase
from tests.connections.manual_clock import EPOCH_SECONDS, ManualClock
from tests.connections.samples import (
    ACME_OUTREACH,
    ACME_SALESLOFT,
    GLOBEX_OUTREACH,
    KEY_1,
    KEY_2,
    api_key,
    oauth,
)

NOW_MS = int(EPOCH_SECONDS * 1000)


@pytest.mark.parametrize(
    "connection",
    [
        oauth(),
        oauth(left_seconds=None),
        oauth(left_seconds=-5.25),
        api_key(),
        Connection(
            ConnectionKey("~!" * 128, ProviderName.APOLLO),
            ConnectionKind.BEARER,
            Secret("x" * 8192),
        ),
    ],
)
async def test_what_was_put_comes_back(store: SqliteConnections, connection: Connection) -> None:
    await store.put(connection)
    assert await store.read(connection.key) == StoredConnection(connection, ConnectionState.USABLE)


async def test_nothing_comes_back_for_another_customer_or_provider(
    store: SqliteConnections,
) -> None:
    await store.put(oauth())
    assert await store.read(GLOBEX_OUTREACH) is None
    assert await store.read(ACME_SALESLOFT) is None


async def test_a_connection_that_is_put_again_is_another_one(store: SqliteConnections) -> None:
    await store.put(oauth(ACME_SALESLOFT))
    assert await store.mark_expired(oauth(ACME_SALESLOFT))
    await store.put(api_key())
    assert await store.read(ACME_SALESLOFT) == StoredConnection(api_key(), ConnectionState.USABLE)


async def test_what_was_put_is_there_after_the_process(
    path: Path, store: SqliteConnections, clock: ManualClock
) -> None:
    """Read through another connection, without the first being closed."""
    await store.put(oauth())
    other = await SqliteDatabase.open(path)
    read = await SqliteConnections(other, KeyRing({"k1": KEY_1}), clock).read(ACME_OUTREACH)
    await other.aclose()
    assert read == StoredConnection(oauth(), ConnectionState.USABLE)


async def test_secrets_are_in_no_file(path: Path, store: SqliteConnections) -> None:
    """Neither as they are nor in an encoding, in none of SQLite's files."""
    secrets = [b"canary-access-token-0123456789", b"canary-refresh-token-987654321"]
    await store.put(oauth(credential=secrets[0].decode(), refresh_token=secrets[1].decode()))
    await store.replace(
        oauth(credential=secrets[0].decode(), refresh_token=secrets[1].decode()),
        oauth(credential=secrets[1].decode(), refresh_token=secrets[0].decode()),
    )
    files = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert files.keys() == {"engagement.db", "engagement.db-wal", "engagement.db-shm"}
    everything = b"".join(files.values())
    assert b"acme" in everything
    for secret in secrets:
        forms = [secret, secret[::-1], secret.hex().encode(), secret.decode().encode("utf-16-le")]
        # Base64 depends on what stands before: all three alignments, without their ragged ends.
        forms += [base64.b64encode(secret[start:])[:-4] for start in range(3)]
        assert not [form for form in forms if form in everything]


@pytest.mark.parametrize(
    "moved",
    [
        "UPDATE connections SET customer_id = 'globex'",
        "UPDATE connections SET provider = 'salesloft'",
        "UPDATE connections SET credential = refresh_token",
        "UPDATE connections SET refresh_token = credential",
        "UPDATE connections SET credential = x''",
    ],
)
async def test_a_row_that_was_moved_does_not_decrypt(
    store: SqliteConnections, database: SqliteDatabase, moved: str
) -> None:
    await store.put(oauth())
    await database.write(lambda connection: connection.execute(moved))
    (row,) = await store.summaries()
    key = ConnectionKey(row.customer_id, ProviderName(row.provider))
    with capture_logs() as events, pytest.raises(ServiceError) as caught:
        await store.read(key)
    assert caught.value.reason is Reason.INTERNAL
    (event,) = events
    assert event["event"] == "connection_unreadable"
    assert (event["customer"], event["provider"]) == (row.customer_id, row.provider)
    assert "does not decrypt with key 'k1'" in event["error"]


async def test_an_unreadable_row_can_be_put_again_listed_and_removed(
    store: SqliteConnections, database: SqliteDatabase
) -> None:
    await store.put(oauth())
    await database.write(
        lambda connection: connection.execute("UPDATE connections SET key_id = 'gone'")
    )
    assert [row.key_id for row in await store.summaries()] == ["gone"]
    await store.put(oauth())
    assert await store.read(ACME_OUTREACH) is not None
    assert await store.remove(ACME_OUTREACH)


async def test_keys_are_rotated_by_putting_a_new_one_first(
    database: SqliteDatabase, clock: ManualClock
) -> None:
    before = SqliteConnections(database, KeyRing({"k1": KEY_1}), clock)
    rotated = SqliteConnections(database, KeyRing({"k2": KEY_2, "k1": KEY_1}), clock)
    after = SqliteConnections(database, KeyRing({"k2": KEY_2}), clock)
    await before.put(oauth())
    await rotated.put(oauth(GLOBEX_OUTREACH))
    assert await rotated.read(ACME_OUTREACH) is not None
    assert await after.read(GLOBEX_OUTREACH) is not None
    with capture_logs() as events, pytest.raises(ServiceError):
        await after.read(ACME_OUTREACH)
    assert "with key 'k1', which is not among the given keys" in events[0]["error"]
    assert KEY_1.reveal() not in str(events)


@pytest.mark.parametrize(
    "put",
    [
        oauth(credential="put", refresh_token="put-too"),
        oauth(credential="put"),
        oauth(refresh_token="put"),
    ],
)
async def test_replacing_keeps_what_somebody_put_meanwhile(
    store: SqliteConnections, put: Connection
) -> None:
    await store.put(put)
    assert not await store.replace(oauth(), oauth(credential="access-2"))
    assert not await store.mark_expired(oauth())
    assert await store.read(ACME_OUTREACH) == StoredConnection(put, ConnectionState.USABLE)


async def test_replacing_does_not_bring_back_what_was_removed(store: SqliteConnections) -> None:
    assert not await store.replace(oauth(), oauth(credential="access-2"))
    assert not await store.mark_expired(oauth())
    assert await store.read(ACME_OUTREACH) is None


async def test_replacing_and_expiring_change_one_row(store: SqliteConnections) -> None:
    for key in (ACME_OUTREACH, ACME_SALESLOFT, GLOBEX_OUTREACH):
        await store.put(oauth(key))
    assert await store.replace(oauth(), oauth(credential="access-2"))
    assert await store.mark_expired(oauth(ACME_SALESLOFT))
    assert [await store.read(key) for key in (ACME_OUTREACH, ACME_SALESLOFT, GLOBEX_OUTREACH)] == [
        StoredConnection(oauth(credential="access-2"), ConnectionState.USABLE),
        StoredConnection(oauth(ACME_SALESLOFT), ConnectionState.EXPIRED),
        StoredConnection(oauth(GLOBEX_OUTREACH), ConnectionState.USABLE),
    ]


async def test_the_list_says_all_but_the_secrets(
    store: SqliteConnections, clock: ManualClock
) -> None:
    await store.put(oauth(GLOBEX_OUTREACH))
    clock.passed_seconds = 1.5
    await store.put(api_key())
    clock.passed_seconds = 3.0
    await store.mark_expired(oauth(GLOBEX_OUTREACH))
    assert await store.summaries() == (
        ConnectionSummary("acme", "salesloft", "api_key", "usable", "k1", None, NOW_MS + 1500),
        ConnectionSummary(
            "globex", "outreach", "oauth", "expired", "k1", NOW_MS + 7_200_000, NOW_MS + 3000
        ),
    )


async def test_removing_says_whether_there_was_one(store: SqliteConnections) -> None:
    await store.put(oauth())
    assert await store.remove(ACME_OUTREACH)
    assert not await store.remove(ACME_OUTREACH)
    assert await store.read(ACME_OUTREACH) is None


async def test_a_store_that_fails_says_so_for_every_method(
    store: SqliteConnections, database: SqliteDatabase
) -> None:
    await database.write(lambda connection: connection.execute("DROP TABLE connections"))
    for failing in (
        store.read(ACME_OUTREACH),
        store.put(oauth()),
        store.replace(oauth(), oauth()),
        store.mark_expired(oauth()),
        store.remove(ACME_OUTREACH),
        store.summaries(),
    ):
        with pytest.raises(ServiceError) as caught:
            await failing
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
