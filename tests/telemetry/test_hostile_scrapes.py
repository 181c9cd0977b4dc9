"""What whoever reaches the metrics' port can do: take a thread for good, or write to the log."""

import select
import socket
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from service.application.journal_port import UnsettledCount
from service.transport import metrics_server
from service.transport.metrics_server import metrics_served
from tests.telemetry.stage import scrape, stage

ANSWER_SECONDS_MAX = 30

RESET = struct.pack("ii", 1, 0)
"""To linger for no time: closing then drops what was not sent, and tells the other side."""

HOSTILE = (
    b"",
    b"GET /metr",
    b"\x16\x03\x01\x02\x00\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text; version=z.z\r\n\r\n",
    b"GET /metrics?name[]=%ff HTTP/1.1\r\n\r\n",
    b"GET //[ HTTP/1.1\r\n\r\n",
    b"POST /metrics HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi",
    b"GET /metrics HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
)


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), ANSWER_SECONDS_MAX)


async def nothing() -> tuple[UnsettledCount, ...]:
    return ()


async def test_who_says_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_SECONDS_MAX", 0.1)
    with metrics_served("127.0.0.1:0", nothing) as port, connected(port) as silent:
        assert silent.recv(1) == b""


async def test_who_says_a_little_at_a_time_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server, "REQUEST_SECONDS_MAX", 0.1)
    with metrics_served("127.0.0.1:0", nothing) as port, connected(port) as slow:
        for _ in range(ANSWER_SECONDS_MAX * 100):
            try:
                slow.sendall(b"x")
            except ConnectionError:
                return
            if select.select([slow], [], [], 0.01)[0]:
                return
    pytest.fail("it may go on for ever")


async def test_connections_above_the_limit_are_closed_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics_server, "CONNECTIONS_MAX", 1)
    with (
        metrics_served("127.0.0.1:0", nothing) as port,
        connected(port),
        connected(port) as second,
    ):
        assert second.recv(1) == b""


async def test_the_log_stays_as_it_was(tmp_path: Path) -> None:
    """Whether a request is answered, or its connection reset before."""
    async with stage(tmp_path) as running:
        port = int(running.metrics_url.split(":")[2].partition("/")[0])
        for sent in HOSTILE:
            with connected(port) as answered, connected(port) as reset:
                for connection in (answered, reset):
                    connection.sendall(sent)
                reset.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                reset.close()
                answered.shutdown(socket.SHUT_WR)
                with suppress(ConnectionError):  # What it did not read makes its end a reset.
                    while answered.recv(65_536):
                        pass
        assert await running.scrape()
        events = {line["event"] for line in running.service.log()}
    assert events == {"metrics_served", "serving", "callers_not_identified"}


async def test_a_bug_in_counting_leaves_the_other_metrics() -> None:
    """Such as a state that only a newer version knows."""

    async def fail() -> tuple[UnsettledCount, ...]:
        raise ValueError("no such state")

    with metrics_served("127.0.0.1:0", fail) as port:
        samples = await scrape(f"http://127.0.0.1:{port}/metrics")
    assert "engagement_build_info" in {name for name, _ in samples}
