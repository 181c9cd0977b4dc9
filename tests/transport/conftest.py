"""A real server on a free port for each test, with the application's stand-in behind it."""

from collections.abc import AsyncIterator

import pytest

from service.transport.sequence_step_servicer import SequenceStepServicer
from tests.transport.stand_in import Api, StandIn, serving


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    application = StandIn()
    async with serving(SequenceStepServicer(application), application) as running:
        yield running
