"""How the sandbox is started and stopped: on a loop, in a thread, from the command line."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from sandbox.server import serve, serve_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def command_line(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m sandbox` until the end of the block."""
    command = [sys.executable, "-m", "sandbox", *arguments]
    with subprocess.Popen(  # noqa: S603  (our own module)
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_line(signal_number: signal.Signals) -> None:
    with command_line("--port", "0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("sandbox listening on http://127.0.0.1:")
        with httpx.Client(base_url=line.split()[-1]) as http:
            assert http.get("/_sandbox/accounts").status_code == 200
            process.send_signal(signal_number)
            rest, problems = process.communicate(timeout=10)
    assert (process.returncode, rest, problems) == (0, "", "")


def test_a_taken_port_is_told_in_one_line() -> None:
    with serve_in_thread() as sandbox:
        port = sandbox.base_url.rpartition(":")[2]
        with command_line("--port", port) as process:
            _, problems = process.communicate(timeout=10)
        assert process.returncode == 1
        assert problems.startswith("sandbox: ")
        assert problems.count("\n") == 1
        with pytest.raises(OSError, match="in use"), serve_in_thread(port=int(port)):
            pass


def test_help_shows_how_to_use_it() -> None:
    with command_line("--help") as process:
        text, _ = process.communicate(timeout=10)
    assert "_sandbox/accounts" in text
    assert "curl" in text


def test_in_a_thread() -> None:
    with serve_in_thread() as sandbox:
        assert httpx.get(f"{sandbox.base_url}/_sandbox/accounts").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(sandbox.base_url)


async def test_two_sandboxes_on_one_loop_share_nothing() -> None:
    async with serve() as one, serve() as other, httpx.AsyncClient() as http:
        for url in (one.base_url, one.base_url, other.base_url):
            await http.post(f"{url}/_sandbox/accounts", json={"vendor": "apollo"})
        listed = [
            len((await http.get(f"{url}/_sandbox/accounts")).json()["accounts"])
            for url in (one.base_url, other.base_url)
        ]
    assert listed == [5, 4]


async def test_requests_that_still_wait_do_not_hold_up_the_end() -> None:
    async with asyncio.timeout(10), httpx.AsyncClient() as http, serve() as sandbox:
        url = f"{sandbox.base_url}/apollo/v1/emailer_campaigns/search"
        headers = {"x-sandbox-fault": '{"kind": "none", "before_seconds": 600}'}
        with pytest.raises(httpx.ReadTimeout):
            await http.post(url, headers=headers, timeout=0.05)
