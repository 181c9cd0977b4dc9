"""A real server on a free port for each test, with the application's stand-in behind it."""

from collections.abc import AsyncIterator

import pytest

from tests.transport.stand_in import Api, StandIn, servicer_for, serving


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    application = StandIn()
    async with serving(servicer_for(application), application) as running:
        yield running
