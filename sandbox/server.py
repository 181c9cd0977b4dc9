"""Serves the three vendors and the control interface on one port.

`serve` runs on the caller's event loop, `serve_in_thread` on one of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount

from sandbox import control
from sandbox.accounts import Account, World
from sandbox.apollo.account import ApolloAccount
from sandbox.outreach.account import OutreachAccount
from sandbox.pipeline import VendorApplication
from sandbox.salesloft.account import SalesloftAccount
from sandbox.wire import ConnectionProtocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sandbox.clock import Clock

VENDORS: dict[str, type[Account]] = {
    account.vendor: account for account in (OutreachAccount, SalesloftAccount, ApolloAccount)
}

START_SECONDS_MOST = 10
STOP_SECONDS_MOST = 1
KEEP_ALIVE_SECONDS = 75
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that accepts connections at `base_url`: scheme, host and port, no last slash."""

    base_url: str
    world: World


def application(world: World) -> Starlette:
    """The ASGI application; it needs the protocol of `sandbox.wire` under it."""
    mounts: list[BaseRoute] = [
        Mount(f"/{vendor}", VendorApplication(world, kind)) for vendor, kind in world.kinds.items()
    ]
    return Starlette(routes=[*mounts, Mount("/_sandbox", routes=control.routes(world))])


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, which says when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leaves signals to whoever started the loop."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to accept."""
        await super().startup(sockets)
        self.ready.set()


@contextlib.asynccontextmanager
async def serve(
    host: str = "127.0.0.1", port: int = 0, clock: Clock = time.time
) -> AsyncIterator[RunningSandbox]:
    """Serves a new world, with its demo accounts, for as long as the context lasts.

    Port 0 is a free one. Requests that still wait at the end get a second, then are cut.

    Raises:
        OSError: the port is taken.
    """
    world = World(VENDORS, clock)
    with socket.create_server((host, port), backlog=BACKLOG) as listener:
        config = uvicorn.Config(
            application(world),
            http=ConnectionProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS_MOST,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        await server.ready.wait()
        try:
            yield RunningSandbox(f"http://{host}:{listener.getsockname()[1]}", world)
        finally:
            server.should_exit = True
            await serving


@contextlib.contextmanager
def serve_in_thread(
    host: str = "127.0.0.1", port: int = 0, clock: Clock = time.time
) -> Iterator[RunningSandbox]:
    """The same as `serve`, in a thread with a loop of its own."""
    started: Future[RunningSandbox] = Future()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        async with serve(host, port, clock) as sandbox:
            started.set_result(sandbox)
            await stop.wait()

    def run_loop() -> None:
        with contextlib.closing(loop):
            try:
                loop.run_until_complete(run())
            except OSError as problem:
                started.set_exception(problem)

    thread = threading.Thread(target=run_loop, name="sandbox", daemon=True)
    thread.start()
    try:
        yield started.result(START_SECONDS_MOST)
    finally:
        with contextlib.suppress(RuntimeError):  # The loop is closed already when it never served.
            loop.call_soon_threadsafe(stop.set)
        thread.join()
