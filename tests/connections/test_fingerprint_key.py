"""The key of fingerprints in each database: one for all processes, encrypted under the ring."""

import asyncio

import pytest

from service.stores import key_rotation
from service.stores.fingerprint_key import fingerprint_key
from service.stores.key_ring import KeyRing
from service.stores.key_rotation import rotate
from service.stores.store_failure import DatabaseUnusable
from tests.connections.kept_rows import KeptRows
from tests.connections.samples import KEY_1, KEY_2, RING

NEW_FIRST = KeyRing({"k2": KEY_2, "k1": KEY_1})
NEW = KeyRing({"k2": KEY_2})


async def test_it_is_made_once(kept_rows: KeptRows) -> None:
    key = await fingerprint_key(kept_rows.sealed_rows(), RING)
    async with kept_rows.as_another_process() as other:
        assert await fingerprint_key(other.sealed_rows(), RING) == key
    assert len(key) == 32


async def test_processes_that_start_at_once_have_the_same(kept_rows: KeptRows) -> None:
    async with kept_rows.as_another_process() as other:
        keys = await asyncio.gather(
            *(
                fingerprint_key(each.sealed_rows(), RING)
                for each in (kept_rows, other)
                for _ in range(8)
            )
        )
    assert len(set(keys)) == 1


async def test_databases_have_different_ones(kept_rows: KeptRows) -> None:
    key = await fingerprint_key(kept_rows.sealed_rows(), RING)
    await kept_rows.execute("DELETE FROM service_secrets")
    assert await fingerprint_key(kept_rows.sealed_rows(), RING) != key


async def test_it_survives_a_change_of_keys(
    kept_rows: KeptRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_rotation, "PAUSE_SECONDS", 0)
    rows = kept_rows.sealed_rows()
    key = await fingerprint_key(rows, RING)
    service_secrets, *_ = await rotate(rows, NEW_FIRST)
    assert (service_secrets.replaced, service_secrets.is_complete) == (1, True)
    assert await fingerprint_key(rows, NEW) == key


@pytest.mark.parametrize(
    ("ring", "why"),
    [
        (NEW, "is encrypted with key 'k1', which is not among the given keys"),
        (KeyRing({"k1": KEY_2}), "does not decrypt with key 'k1'"),
    ],
)
async def test_without_its_key_nothing_is_made_in_its_place(
    kept_rows: KeptRows, ring: KeyRing, why: str
) -> None:
    key = await fingerprint_key(kept_rows.sealed_rows(), RING)
    with pytest.raises(DatabaseUnusable, match=f"the fingerprint_key of the service {why}"):
        await fingerprint_key(kept_rows.sealed_rows(), ring)
    assert await fingerprint_key(kept_rows.sealed_rows(), RING) == key


async def test_a_database_that_fails_is_unusable(kept_rows: KeptRows) -> None:
    await kept_rows.execute("DROP TABLE service_secrets")
    with pytest.raises(DatabaseUnusable, match=r"cannot use the database: .*service_secrets"):
        await fingerprint_key(kept_rows.sealed_rows(), RING)
