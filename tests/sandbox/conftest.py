"""One sandbox for all tests of it, on a clock that stands still; accounts that share nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from sandbox.server import RunningSandbox, serve
from tests.sandbox.tenant import Tenant

MakeTenant = Callable[..., Awaitable[Tenant]]

NOON = datetime(2026, 11, 24, 10, 0, tzinfo=UTC).timestamp()


class HandClock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="session")
async def running() -> AsyncIterator[RunningSandbox]:
    async with serve(clock=HandClock()) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
async def http(running: RunningSandbox) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=running.base_url) as client:
        yield client


@pytest.fixture(scope="session")
def tenant(http: httpx.AsyncClient) -> MakeTenant:
    """Return what makes an account: called with a vendor, options and perhaps a seed."""
    return maker(http)


def maker(http: httpx.AsyncClient) -> MakeTenant:
    """Return what makes accounts on the sandbox behind a client."""

    async def make(vendor: str, seed: dict[str, Any] | None = None, **options: Any) -> Tenant:
        body = {"vendor": vendor, "options": options, "seed": seed}
        response = await http.post("/_sandbox/accounts", json=body)
        assert response.status_code == 201, response.text
        return Tenant(http, response.json())

    return make


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def timed(clock: HandClock) -> AsyncIterator[MakeTenant]:
    """Make accounts on a sandbox of their own, whose clock the test moves."""
    async with (
        serve(clock=clock) as sandbox,
        httpx.AsyncClient(base_url=sandbox.base_url) as client,
    ):
        yield maker(client)
