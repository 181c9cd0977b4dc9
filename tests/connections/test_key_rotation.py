"""Changing the key of connections on each database, while somebody else uses them."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from service.application.connection_ports import ConnectionState, StoredConnection
from service.application.customer_connections import CustomerConnections
from service.domain.connection import Connection
from service.domain.errors import ServiceError
from service.domain.provider_call import ProviderAnswer, ProviderRequest
from service.domain.step import ConnectionKey, ProviderName
from service.providers.oauth import OAuthTokenEndpoint
from service.stores import key_rotation
from service.stores.key_ring import KeyRing
from service.stores.key_rotation import TableRotation, rotate
from service.stores.sealed_rows import SealedRows
from tests.connections.interrupted_rows import Interrupted
from tests.connections.kept_rows import FullConnectionStore, KeptRows
from tests.connections.manual_clock import ManualClock
from tests.connections.samples import (
    ACME_OUTREACH,
    ACME_SALESLOFT,
    APPLICATIONS,
    GLOBEX_OUTREACH,
    KEY_1,
    KEY_2,
    api_key,
    oauth,
)
from tests.connections.scripted_http import ScriptedHttp, refusal, tokens

OLD = KeyRing({"k1": KEY_1})
OLD_FIRST = KeyRing({"k1": KEY_1, "k2": KEY_2})
NEW_FIRST = KeyRing({"k2": KEY_2, "k1": KEY_1})
NEW = KeyRing({"k2": KEY_2})

RENEWED = oauth(credential="access-2", refresh_token="refresh-2")


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_rotation, "PAUSE_SECONDS", 0)


@pytest.fixture
def store(kept_rows: KeptRows, clock: ManualClock) -> FullConnectionStore:
    """The store of a process that serves, and has the new key behind the old one."""
    return kept_rows.connections(OLD_FIRST, clock)


@pytest.fixture
def only_new(kept_rows: KeptRows, clock: ManualClock) -> FullConnectionStore:
    """The store of a process from which the old key was taken away."""
    return kept_rows.connections(NEW, clock)


async def rotated(rows: SealedRows) -> TableRotation:
    """Change the key; return what was done with connections."""
    _, connections, _ = await rotate(rows, NEW_FIRST)
    assert connections.table.name == "connections"
    return connections


async def test_afterwards_the_old_key_is_not_needed(
    kept_rows: KeptRows, store: FullConnectionStore, only_new: FullConnectionStore
) -> None:
    for connection in (oauth(), api_key(), oauth(GLOBEX_OUTREACH)):
        await store.put(connection)
    await store.mark_expired(oauth(GLOBEX_OUTREACH))
    before = await store.summaries()

    rotation = await rotated(kept_rows.sealed_rows())

    assert (rotation.replaced, rotation.is_complete) == (3, True)
    assert [row.key_id for row in await only_new.summaries()] == ["k2"] * 3
    assert [
        await only_new.read(key) for key in (ACME_OUTREACH, ACME_SALESLOFT, GLOBEX_OUTREACH)
    ] == [
        StoredConnection(oauth(), ConnectionState.USABLE),
        StoredConnection(api_key(), ConnectionState.USABLE),
        StoredConnection(oauth(GLOBEX_OUTREACH), ConnectionState.EXPIRED),
    ]
    times = [(row.expires_at_epoch_ms, row.updated_at_epoch_ms) for row in before]
    assert times == [
        (row.expires_at_epoch_ms, row.updated_at_epoch_ms) for row in await only_new.summaries()
    ]


async def test_a_second_time_there_is_nothing_to_do(
    kept_rows: KeptRows, store: FullConnectionStore
) -> None:
    await store.put(oauth())
    rows = kept_rows.sealed_rows()
    first, second = await rotated(rows), await rotated(rows)
    assert [(each.replaced, each.is_complete) for each in (first, second)] == [(1, True), (0, True)]


async def test_many_rows_are_changed_in_batches(
    kept_rows: KeptRows, store: FullConnectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those in between that need nothing do not end it."""
    monkeypatch.setattr(key_rotation, "ROWS_MAX", 2)
    keys = [ConnectionKey(f"c-{number}", ProviderName("apollo")) for number in range(9)]
    newer = kept_rows.connections(NEW_FIRST, ManualClock())
    for number, key in enumerate(keys):
        await (newer if 2 <= number < 6 else store).put(api_key(key))
    rotation = await rotated(kept_rows.sealed_rows())
    assert (rotation.replaced, rotation.is_complete) == (5, True)
    assert {row.key_id for row in await store.summaries()} == {"k2"}


@pytest.mark.parametrize("changed", [RENEWED, oauth()], ids=["renewed", "put again"])
async def test_what_is_put_meanwhile_is_kept_and_read_again(
    kept_rows: KeptRows,
    store: FullConnectionStore,
    only_new: FullConnectionStore,
    changed: Connection,
) -> None:
    """Whoever serves writes with the old key: that row is changed too."""
    await store.put(oauth())
    await store.put(api_key())
    rows = Interrupted(kept_rows.sealed_rows(), lambda: store.put(changed))
    rotation = await rotated(rows)
    assert (rotation.replaced, rotation.is_complete) == (2, True)
    assert await only_new.read(ACME_OUTREACH) == StoredConnection(changed, ConnectionState.USABLE)


async def test_what_is_removed_meanwhile_stays_removed(
    kept_rows: KeptRows, store: FullConnectionStore
) -> None:
    await store.put(oauth())
    rotation = await rotated(
        Interrupted(kept_rows.sealed_rows(), lambda: store.remove(ACME_OUTREACH))
    )
    assert (rotation.replaced, rotation.is_complete) == (0, True)
    assert await store.summaries() == ()


async def test_a_connection_that_expires_meanwhile_stays_so(
    kept_rows: KeptRows, store: FullConnectionStore, only_new: FullConnectionStore
) -> None:
    await store.put(oauth())
    await rotated(Interrupted(kept_rows.sealed_rows(), lambda: store.mark_expired(oauth())))
    assert await only_new.read(ACME_OUTREACH) == StoredConnection(oauth(), ConnectionState.EXPIRED)


async def test_a_process_that_goes_on_writing_with_the_old_key_is_told_of(
    kept_rows: KeptRows, store: FullConnectionStore
) -> None:
    await store.put(oauth())
    rotation = await rotated(
        Interrupted(kept_rows.sealed_rows(), lambda: store.put(oauth()), always=True)
    )
    assert (rotation.replaced, rotation.is_done, rotation.is_complete) == (0, False, False)


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("customer_id = 'initech'", "initech at outreach does not decrypt with key 'k1'"),
        ("provider = 'apollo'", "globex at apollo does not decrypt with key 'k1'"),
        ("key_id = 'k0'", "globex at outreach is encrypted with key 'k0', which is not among"),
    ],
)
async def test_a_row_that_does_not_decrypt_is_named_and_left(
    kept_rows: KeptRows, store: FullConnectionStore, damage: str, why: str
) -> None:
    await store.put(oauth())
    await store.put(oauth(GLOBEX_OUTREACH))
    await kept_rows.execute(f"UPDATE connections SET {damage} WHERE customer_id = 'globex'")  # noqa: S608 - the test's own
    rotation = await rotated(kept_rows.sealed_rows())
    assert (rotation.replaced, rotation.is_done, rotation.is_complete) == (1, True, False)
    (named,) = rotation.unreadable_named
    assert f"the credential of customer {why}" in named
    assert (rotation.unreadable, {row.key_id for row in await store.summaries()}) == (
        1,
        {"k2", "k0" if "k0" in damage else "k1"},
    )


async def test_only_the_first_of_very_many_are_named(
    kept_rows: KeptRows, store: FullConnectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "UNREADABLE_NAMED_MAX", 2)
    for number in range(3):
        await store.put(api_key(ConnectionKey(f"c-{number}", ProviderName("apollo"))))
    await kept_rows.execute("UPDATE connections SET key_id = 'k0'")
    rotation = await rotated(kept_rows.sealed_rows())
    assert (rotation.unreadable, len(rotation.unreadable_named)) == (3, 2)


class WhileRefreshing(ScriptedHttp):
    """A token endpoint in whose time the key is changed: a token was read and not yet replaced."""

    def __init__(self, rows: SealedRows) -> None:
        super().__init__()
        self._rows = rows
        self.rotation: TableRotation | None = None

    async def send(
        self,
        request: ProviderRequest,
        *,
        timeout_seconds: float,
        start_by_seconds: float | None = None,
    ) -> ProviderAnswer:
        self.rotation = await rotated(self._rows)
        return await super().send(
            request, timeout_seconds=timeout_seconds, start_by_seconds=start_by_seconds
        )


@pytest.fixture
def http(kept_rows: KeptRows) -> WhileRefreshing:
    return WhileRefreshing(kept_rows.sealed_rows())


@pytest.fixture(params=[OLD_FIRST, NEW_FIRST], ids=["old first", "new first"])
async def connections(
    request: pytest.FixtureRequest, kept_rows: KeptRows, http: WhileRefreshing, clock: ManualClock
) -> AsyncIterator[CustomerConnections]:
    """A service that has both keys, in either order."""
    serving = kept_rows.connections(request.param, clock)
    made = CustomerConnections(serving, OAuthTokenEndpoint(http, APPLICATIONS, clock), clock)
    yield made
    await made.aclose()


async def test_a_token_that_is_refreshed_meanwhile_is_replaced(
    connections: CustomerConnections, http: WhileRefreshing, store: FullConnectionStore
) -> None:
    """The one in the service's memory is known again, encrypted with whatever."""
    await store.put(oauth())
    cached = await connections.find(ACME_OUTREACH)
    http.add(tokens())

    assert await connections.refresh(cached) == RENEWED

    assert http.rotation is not None
    assert http.rotation.replaced == 1
    assert await store.read(ACME_OUTREACH) == StoredConnection(RENEWED, ConnectionState.USABLE)
    assert http.sent_refresh_tokens == ["refresh-1"]


async def test_a_grant_that_is_refused_meanwhile_expires(
    connections: CustomerConnections, http: WhileRefreshing, store: FullConnectionStore
) -> None:
    await store.put(oauth())
    http.add(refusal(400, "invalid_grant"))
    with capture_logs(), pytest.raises(ServiceError, match="CONNECTION_EXPIRED"):
        await connections.refresh(oauth())
    assert await store.read(ACME_OUTREACH) == StoredConnection(oauth(), ConnectionState.EXPIRED)


async def test_what_is_in_the_memory_of_a_service_goes_on_being_used(
    connections: CustomerConnections, kept_rows: KeptRows, store: FullConnectionStore
) -> None:
    await store.put(oauth())
    cached = await connections.find(ACME_OUTREACH)
    await rotated(kept_rows.sealed_rows())
    assert await connections.find(ACME_OUTREACH) is cached
