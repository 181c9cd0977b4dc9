"""The callers in both languages, a service that says what it is told to, and the real one."""

from collections.abc import AsyncIterator

import pytest

from tests.clients.caller import Caller, python, typescript
from tests.clients.scripted_service import ScriptedService, scripted_service
from tests.replicas import conftest as of_replicas
from tests.service import conftest as of_service

stage = of_replicas.stage
sandbox, control = of_service.sandbox, of_service.control
client, new_account = of_service.client, of_service.new_account


@pytest.fixture(scope="session")
def callers() -> list[Caller]:
    """All of them; the one in TypeScript is built if it has not been."""
    return [python(), typescript()]


@pytest.fixture(params=[python, typescript], ids=lambda caller: caller.__name__)
def caller(request: pytest.FixtureRequest) -> Caller:
    """Each in turn."""
    made: Caller = request.param()
    return made


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedService]:
    async with scripted_service() as running:
        yield running
