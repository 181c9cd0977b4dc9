"""Each test of a journal runs on every store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.journal.stores import STORES, FullJournal, JournalStore


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[JournalStore]:
    async with STORES[request.param](tmp_path) as made:
        yield made


@pytest.fixture
def journal(store: JournalStore) -> FullJournal:
    return store.journal
