"""The callers in both languages, and the service's processes with the vendors behind them."""

import pytest

from tests.clients.caller import Caller, python, typescript
from tests.replicas import conftest as of_replicas

stage = of_replicas.stage


@pytest.fixture(scope="session")
def callers() -> list[Caller]:
    """All of them; the one in TypeScript is built if it has not been."""
    return [python(), typescript()]


@pytest.fixture(params=[python, typescript], ids=lambda caller: caller.__name__)
def caller(request: pytest.FixtureRequest) -> Caller:
    """Each in turn."""
    made: Caller = request.param()
    return made
