"""The one sandbox that all tests here share, and what they build replicas with."""

from collections.abc import AsyncIterator

import httpx
import pytest

from sandbox.server import serve_in_thread
from tests.replicas.stage import Stage


@pytest.fixture(scope="session")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Vendors over real HTTP, in a thread of their own."""
    with serve_in_thread() as sandbox:
        url = f"{sandbox.base_url}/_sandbox"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as control:
            yield Stage(sandbox.base_url, control, tmp_path_factory.mktemp("replicas"))
