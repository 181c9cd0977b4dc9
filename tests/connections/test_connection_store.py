"""The store of connections, in each database: what comes back, and what is refused."""

import sqlite3

import psycopg
import pytest
from structlog.testing import capture_logs

from service.application.connection_ports import ConnectionState, StoredConnection
from service.domain.connection import Connection, ConnectionKind, Secret
from service.domain.errors import Reason, ServiceError
from service.domain.step import ConnectionKey, ProviderName
from service.stores.connection_rows import ConnectionSummary
from service.stores.key_ring import KeyRing
from tests.connections.kept_rows import FullConnectionStore, KeptRows
from tests.connections.manual_clock import EPOCH_SECONDS, ManualClock
from tests.connections.samples import (
    ACME_OUTREACH,
    ACME_SALESLOFT,
    GLOBEX_OUTREACH,
    KEY_1,
    KEY_2,
    RING,
    api_key,
    oauth,
)

NOW_MS = int(EPOCH_SECONDS * 1000)


@pytest.fixture
def store(kept_rows: KeptRows, clock: ManualClock) -> FullConnectionStore:
    return kept_rows.connections(RING, clock)


@pytest.mark.parametrize(
    "connection",
    [
        oauth(),
        oauth(left_seconds=None),
        oauth(left_seconds=-5.25),
        api_key(),
        Connection(
            ConnectionKey("~!" * 128, ProviderName("apollo")),
            ConnectionKind.BEARER,
            Secret("x" * 8192),
        ),
    ],
)
async def test_what_was_put_comes_back(store: FullConnectionStore, connection: Connection) -> None:
    await store.put(connection)
    assert await store.read(connection.key) == StoredConnection(connection, ConnectionState.USABLE)


async def test_nothing_comes_back_for_another_customer_or_provider(
    store: FullConnectionStore,
) -> None:
    await store.put(oauth())
    assert await store.read(GLOBEX_OUTREACH) is None
    assert await store.read(ACME_SALESLOFT) is None


async def test_a_connection_that_is_put_again_is_another_one(store: FullConnectionStore) -> None:
    await store.put(oauth(ACME_SALESLOFT))
    assert await store.mark_expired(oauth(ACME_SALESLOFT))
    await store.put(api_key())
    assert await store.read(ACME_SALESLOFT) == StoredConnection(api_key(), ConnectionState.USABLE)


async def test_what_was_put_is_there_after_the_process(
    kept_rows: KeptRows, store: FullConnectionStore, clock: ManualClock
) -> None:
    """Read through another connection, without the first being closed."""
    await store.put(oauth())
    async with kept_rows.as_another_process() as other:
        read = await other.connections(KeyRing({"k1": KEY_1}), clock).read(ACME_OUTREACH)
    assert read == StoredConnection(oauth(), ConnectionState.USABLE)


@pytest.mark.parametrize(
    "moved",
    [
        "UPDATE connections SET customer_id = 'globex'",
        "UPDATE connections SET provider = 'salesloft'",
        "UPDATE connections SET credential = refresh_token",
        "UPDATE connections SET refresh_token = credential",
        "UPDATE connections SET credential = substr(credential, 1, 0)",
    ],
)
async def test_a_row_that_was_moved_does_not_decrypt(
    store: FullConnectionStore, kept_rows: KeptRows, moved: str
) -> None:
    await store.put(oauth())
    await kept_rows.execute(moved)
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
    store: FullConnectionStore, kept_rows: KeptRows
) -> None:
    await store.put(oauth())
    await kept_rows.execute("UPDATE connections SET key_id = 'gone'")
    assert [row.key_id for row in await store.summaries()] == ["gone"]
    await store.put(oauth())
    assert await store.read(ACME_OUTREACH) is not None
    assert await store.remove(ACME_OUTREACH)


async def test_keys_are_rotated_by_putting_a_new_one_first(
    kept_rows: KeptRows, clock: ManualClock
) -> None:
    before = kept_rows.connections(KeyRing({"k1": KEY_1}), clock)
    rotated = kept_rows.connections(KeyRing({"k2": KEY_2, "k1": KEY_1}), clock)
    after = kept_rows.connections(KeyRing({"k2": KEY_2}), clock)
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
    store: FullConnectionStore, put: Connection
) -> None:
    await store.put(put)
    assert not await store.replace(oauth(), oauth(credential="access-2"))
    assert not await store.mark_expired(oauth())
    assert await store.read(ACME_OUTREACH) == StoredConnection(put, ConnectionState.USABLE)


async def test_replacing_does_not_bring_back_what_was_removed(store: FullConnectionStore) -> None:
    assert not await store.replace(oauth(), oauth(credential="access-2"))
    assert not await store.mark_expired(oauth())
    assert await store.read(ACME_OUTREACH) is None


async def test_replacing_and_expiring_change_one_row(store: FullConnectionStore) -> None:
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
    store: FullConnectionStore, clock: ManualClock
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


async def test_removing_says_whether_there_was_one(store: FullConnectionStore) -> None:
    await store.put(oauth())
    assert await store.remove(ACME_OUTREACH)
    assert not await store.remove(ACME_OUTREACH)
    assert await store.read(ACME_OUTREACH) is None


async def test_a_store_that_fails_says_so_for_every_method(
    store: FullConnectionStore, kept_rows: KeptRows
) -> None:
    await kept_rows.execute("DROP TABLE connections")
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
        assert isinstance(caught.value.__cause__, sqlite3.Error | psycopg.Error)
