"""Files of policy and TLS, a server with each, and the whole service in front of the sandbox."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.server import RunningSandbox
from tests.callers.authority import Authority
from tests.callers.stage import NAMED, TOKENS_ALONE, TWO_FOR_ANY_CUSTOMER, Files, Server, serving
from tests.service import conftest as of_service
from tests.service.conftest import Client, client_of, settings_for

sandbox, control, new_account = of_service.sandbox, of_service.control, of_service.new_account


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> Files:
    """Files that a server can use: two callers with names and tokens."""
    made = Files(tmp_path)
    made.write(NAMED, authority)
    return made


@pytest.fixture
async def server(files: Files, authority: Authority) -> AsyncIterator[Server]:
    """A server that takes only clients with a certificate."""
    async with serving(files, authority, asks_clients=True) as running:
        yield running


@pytest.fixture
async def token_server(files: Files, authority: Authority) -> AsyncIterator[Server]:
    """A server that asks for no certificate, and knows callers by their tokens."""
    files.replace(files.policy, TOKENS_ALONE.encode())
    async with serving(files, authority, asks_clients=False) as running:
        yield running


@pytest.fixture
async def client(sandbox: RunningSandbox, files: Files) -> AsyncIterator[Client]:
    """The whole service with callers by token, over loopback without TLS."""
    files.replace(files.policy, TWO_FOR_ANY_CUSTOMER.encode())
    settings = settings_for(
        sandbox.base_url,
        files.folder / "engagement.db",
        ENGAGEMENT_POLICY=str(files.policy),
    )
    async with client_of(settings) as running:
        yield running
