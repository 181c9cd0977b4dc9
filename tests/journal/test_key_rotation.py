"""Changing the key of the journal's documents on each store, while operations run."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from service.domain.operation import CallState, Operation, OperationState
from service.stores import key_rotation
from service.stores.key_ring import KeyRing
from service.stores.key_rotation import TableRotation, rotate
from service.stores.sealed_rows import SealedRows
from tests.connections.interrupted_rows import Interrupted
from tests.connections.samples import KEY_1, KEY_2
from tests.journal.samples import claimed, ended, key, noted, sending
from tests.journal.stores import FullJournal, JournalStore

NEW_FIRST = KeyRing({"k2": KEY_2, "k1": KEY_1})
NEW = KeyRing({"k2": KEY_2})


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_rotation, "PAUSE_SECONDS", 0)


@pytest.fixture
def only_new(store: JournalStore) -> FullJournal:
    """The journal of a process from which the old key was taken away."""
    return store.journal_with(NEW)


async def rotated(rows: SealedRows) -> TableRotation:
    """Change the key; return what was done with operations."""
    *_, operations = await rotate(rows, NEW_FIRST)
    assert operations.table.name == "operations"
    return operations


async def test_afterwards_the_old_key_is_not_needed(
    store: JournalStore,
    journal: FullJournal,
    only_new: FullJournal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of an operation nothing but the encryption changes: not when it was last changed either."""
    monkeypatch.setattr(key_rotation, "ROWS_MAX", 2)
    for number, state in enumerate(OperationState):
        if state is not OperationState.RUNNING:
            await ended(journal, key(state.value), state, sequence_id=f"s-{number}")
    await sending(journal, await claimed(journal, key("running"), "s-9"))
    before = await journal.summaries(connection=None, only_unsettled=False, limit=9)

    first, second = await rotated(store.sealed_rows), await rotated(store.sealed_rows)

    assert [(each.replaced, each.is_complete) for each in (first, second)] == [(5, True), (0, True)]
    after = await only_new.summaries(connection=None, only_unsettled=False, limit=9)
    assert after == before
    assert not any(summary.unreadable for summary in after)


async def test_an_operation_that_was_only_claimed_has_nothing_encrypted(
    store: JournalStore, journal: FullJournal, only_new: FullJournal
) -> None:
    operation = await claimed(journal, key())
    rotation = await rotated(store.sealed_rows)
    assert (rotation.replaced, rotation.is_complete) == (0, True)
    assert await only_new.find(key()) == operation


async def test_its_owner_goes_on(store: JournalStore, journal: FullJournal) -> None:
    operation = await sending(journal, await claimed(journal, key()))
    await rotated(store.sealed_rows)
    await journal.renew([operation])
    done = replace(noted(operation, CallState.DONE), ids={"step_id": "1"})
    await journal.save(done.moved(OperationState.SUCCEEDED))
    found = await journal.find(key())
    assert found is not None
    assert (found.epoch, found.state) == (operation.epoch, OperationState.SUCCEEDED)


def _save(journal: FullJournal, operation: Operation) -> Callable[[], Awaitable[int]]:
    return lambda: journal.save(replace(operation, trouble="meanwhile"))


async def test_what_its_owner_saves_meanwhile_is_kept_and_read_again(
    store: JournalStore, journal: FullJournal, only_new: FullJournal
) -> None:
    operation = await sending(journal, await claimed(journal, key()))
    rotation = await rotated(Interrupted(store.sealed_rows, _save(journal, operation)))
    assert (rotation.replaced, rotation.is_complete) == (1, True)
    found = await only_new.find(key())
    assert found is not None
    assert (found.trouble, found.epoch) == ("meanwhile", operation.epoch)


async def test_one_that_is_discarded_meanwhile_stays_away(
    store: JournalStore, journal: FullJournal
) -> None:
    operation = await claimed(journal, key())
    await journal.save(replace(operation, trouble="something"))
    rotation = await rotated(Interrupted(store.sealed_rows, lambda: journal.discard(operation)))
    assert (rotation.replaced, rotation.is_complete) == (0, True)
    assert await journal.find(key()) is None


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ("customer_id = 'globex'", "customer globex at outreach does not decrypt with key 'k1'"),
        ("provider = 'apollo'", "customer acme at apollo does not decrypt with key 'k1'"),
        ("key_id = 'k0'", "customer acme at outreach is encrypted with key 'k0', which is not"),
    ],
)
async def test_a_row_that_does_not_decrypt_is_named_and_left(
    store: JournalStore, journal: FullJournal, damage: str, why: str
) -> None:
    await ended(journal, key("r-1"), OperationState.IN_DOUBT)
    await ended(journal, key("r-2"), OperationState.IN_DOUBT, sequence_id="s-2")
    await store.execute(f"UPDATE operations SET {damage} WHERE request_id = 'r-1'")  # noqa: S608 - the test's own
    documents = set(await store.documents())
    rotation = await rotated(store.sealed_rows)
    assert (rotation.replaced, rotation.is_done, rotation.is_complete) == (1, True, False)
    (named,) = rotation.unreadable_named
    assert f"the operation 'r-1' of caller 'crm' of {why}" in named
    assert len(documents & set(await store.documents())) == 1
