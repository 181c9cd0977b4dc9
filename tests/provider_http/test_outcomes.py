"""The split that decides about doubles: nothing sent, perhaps acted on, or answered.

Each row is a real socket that misbehaves in one way. It names what the client must say, and how
many requests the server had read in full by then.
"""

import asyncio
import socket
import ssl
from collections.abc import Iterator

import pytest

from service.providers.provider_http import ProviderHttp
from tests.provider_http.calls import Answered, Lost, Unsent, outcome, request
from tests.provider_http.scripted_server import (
    Peer,
    Script,
    ScriptedServer,
    answer,
    answer_every_request,
    let_clients_read,
    never_answer,
)

BROKE = Lost("the connection broke before the answer")
NOT_HTTP = Lost("the answer was not HTTP")
TIMED_OUT = "timed out"
NO_ANSWER = Lost("no answer in time")


async def close_at_once(peer: Peer) -> None:
    peer.close()


async def close_after_request(peer: Peer) -> None:
    await peer.request()
    peer.close()


async def reset_after_request(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def drip_headers(peer: Peer) -> None:
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await asyncio.sleep(0.02)
        peer.send(b"X-More: header\r\n")


async def drip_body(peer: Peer) -> None:
    await peer.request()
    peer.send(b"HTTP/1.1 201 Created\r\nContent-Length: 100000\r\n\r\n")
    while True:
        await asyncio.sleep(0.02)
        peer.send(b"x")


def say(data: bytes) -> Script:
    """Answer with these bytes and keep the connection open."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(data)

    return script


def say_and_close(data: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(data)
        peer.close()

    return script


def say_and_reset(data: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(data)
        peer.reset()

    return script


def say_byte_by_byte(data: bytes) -> Script:
    async def script(peer: Peer) -> None:
        await peer.request()
        for byte in data:
            peer.send(bytes([byte]))
            await let_clients_read()

    return script


HALF_A_BODY = b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf"
HALF_A_CHUNK = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nhalf"
HUGE_HEADER = b"HTTP/1.1 200 OK\r\nX-Huge: " + b"a" * 20_000 + b"\r\n\r\n"
MANY_HEADERS = b"HTTP/1.1 200 OK\r\n" + b"X-Many: 1\r\n" * 1_000 + b"\r\n"

EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n"
CREATED = b"HTTP/1.1 201 Created\r\n"
LENGTH_AND_CHUNKS = (
    CREATED + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
)
TWO_LENGTHS = CREATED + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"
BAD_CHUNK = CREATED + b"Transfer-Encoding: chunked\r\n\r\nx\r\n{}\r\n0\r\n\r\n"
TRAILER = CREATED + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Late: 1\r\n\r\n"
OFFER = CREATED + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}"

ROWS: dict[str, tuple[Script, Answered | Lost, int]] = {
    "closes before it reads": (close_at_once, BROKE, 0),
    "closes after it read all": (close_after_request, BROKE, 1),
    "resets after it read all": (reset_after_request, BROKE, 1),
    "never answers": (never_answer, NO_ANSWER, 1),
    "half a status line, then nothing": (say(b"HTTP/1.1 20"), NO_ANSWER, 1),
    "half a status line, then closes": (say_and_close(b"HTTP/1.1 20"), BROKE, 1),
    "half the headers, then closes": (say_and_close(b"HTTP/1.1 200 OK\r\nX-A: b\r\n"), BROKE, 1),
    "half the headers, then resets": (say_and_reset(b"HTTP/1.1 200 OK\r\nX-A: b\r\n"), BROKE, 1),
    "headers that never end": (drip_headers, NO_ANSWER, 1),
    "garbage": (say(b"\x00\xff garbage \r\n\r\n"), NOT_HTTP, 1),
    "another protocol": (say(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), NOT_HTTP, 1),
    "a status that is no number": (say(b"HTTP/1.1 2x0 OK\r\n\r\n"), NOT_HTTP, 1),
    "a huge header": (say(HUGE_HEADER), NOT_HTTP, 1),
    "very many headers": (say(MANY_HEADERS), NOT_HTTP, 1),
    "100 and nothing more": (say(b"HTTP/1.1 100 Continue\r\n\r\n"), NO_ANSWER, 1),
    "103 and then closes": (say_and_close(b"HTTP/1.1 103 Early Hints\r\n\r\n"), BROKE, 1),
    "103 before the answer": (
        say(b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(201)),
        Answered(201),
        1,
    ),
    "closes in the body": (say_and_close(HALF_A_BODY), Answered(201, b"", "broke off"), 1),
    "resets in the body": (say_and_reset(HALF_A_BODY), Answered(201, b"", "broke off"), 1),
    "closes in a chunk": (say_and_close(HALF_A_CHUNK), Answered(201, b"", "broke off"), 1),
    "a body that drips": (drip_body, Answered(201, b"", TIMED_OUT), 1),
    "a body that never comes": (say(HALF_A_BODY), Answered(201, b"", TIMED_OUT), 1),
    "interim answers that never end": (say(EARLY_HINTS * 1_000), NOT_HTTP, 1),
    "interim answers that do end": (say(EARLY_HINTS * 10 + answer(201)), Answered(201), 1),
    "a status that no answer has": (say(b"HTTP/1.1 099 OK\r\n\r\n"), NOT_HTTP, 1),
    "a length and chunks": (say(LENGTH_AND_CHUNKS), NOT_HTTP, 1),
    "two lengths": (say(TWO_LENGTHS), NOT_HTTP, 1),
    "a chunk of no size": (say(BAD_CHUNK), Answered(201, b"", "broke off"), 1),
    "byte by byte": (say_byte_by_byte(EARLY_HINTS + answer(201)), Answered(201), 1),
    "byte by byte in chunks": (say_byte_by_byte(TRAILER), Answered(201), 1),
    "fields behind the body": (say(TRAILER), Answered(201), 1),
    "an offer of another protocol": (say(OFFER), Answered(201), 1),
    "another protocol from here on": (
        say(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nabc"),
        NOT_HTTP,
        1,
    ),
    "an error status": (say(answer(503, b"down")), Answered(503, b"down"), 1),
    "no content": (say(b"HTTP/1.1 204 No Content\r\n\r\n"), Answered(204, b""), 1),
    "a plain answer": (answer_every_request, Answered(200), 1),
}


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("row", ROWS)
async def test_outcome_when_the_server(client: ProviderHttp, row: str, method: str) -> None:
    script, expected, requests_seen = ROWS[row]
    async with ScriptedServer(script) as server:
        sent = request(server.url(), method, b"{}" if method == "POST" else None)
        short = expected == NO_ANSWER or (
            isinstance(expected, Answered) and expected.flaw == TIMED_OUT
        )
        ended = await outcome(client, sent, timeout_seconds=0.3 if short else 5)
        assert ended == expected
        assert len(server.requests) == requests_seen
        assert len(server.peers) == 1


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """A port that is taken, so that no other process can have it, and does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


async def test_refused_is_not_sent(client: ProviderHttp, refusing_port: int) -> None:
    ended = await outcome(client, request(f"http://127.0.0.1:{refusing_port}/steps"))
    assert ended == Unsent("could not connect")


async def test_unknown_host_name_is_not_sent(client: ProviderHttp) -> None:
    """The second phrase is for a machine whose name server does not answer."""
    ended = await outcome(client, request("https://provider.invalid/steps"), timeout_seconds=30)
    assert ended in {Unsent("the host name was not found"), Unsent("no connection in time")}


async def test_closed_client_sends_nothing(client: ProviderHttp) -> None:
    async with ScriptedServer(answer_every_request) as server:
        await client.aclose()
        assert await outcome(client, request(server.url())) == Unsent("could not connect")
        assert server.peers == []


class TestTls:
    async def test_trusted_certificate_is_spoken_to(
        self, trusting_client: ProviderHttp, server_tls: ssl.SSLContext
    ) -> None:
        """Shows that the failures below are about what they say they are about."""
        async with ScriptedServer(answer_every_request, tls=server_tls) as server:
            url = server.url(host="localhost")
            assert await outcome(trusting_client, request(url)) == Answered(200)

    async def test_untrusted_certificate_is_not_sent(
        self, client: ProviderHttp, server_tls: ssl.SSLContext
    ) -> None:
        async with ScriptedServer(answer_every_request, tls=server_tls) as server:
            url = server.url(host="localhost")
            assert await outcome(client, request(url)) == Unsent("TLS failed")
            assert server.requests == []

    async def test_certificate_for_another_host_is_not_sent(
        self, trusting_client: ProviderHttp, server_tls: ssl.SSLContext
    ) -> None:
        async with ScriptedServer(answer_every_request, tls=server_tls) as server:
            url = server.url(host="127.0.0.1")
            assert await outcome(trusting_client, request(url)) == Unsent("TLS failed")
            assert server.requests == []

    @pytest.mark.parametrize(
        ("greeting", "why"),
        [(b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS failed"), (b"", "could not connect")],
    )
    async def test_server_without_tls_is_not_sent(
        self, client: ProviderHttp, greeting: bytes, why: str
    ) -> None:
        async def reject(peer: Peer) -> None:
            peer.send(greeting)
            peer.close()

        async with ScriptedServer(reject) as server:
            ended = await outcome(client, request(server.url().replace("http:", "https:")))
            assert ended == Unsent(why)
            assert server.requests == []

    async def test_handshake_that_hangs_is_not_sent(self, client: ProviderHttp) -> None:
        async with ScriptedServer(Peer.gone) as server:
            url = server.url().replace("http:", "https:")
            ended = await outcome(client, request(url), timeout_seconds=0.2)
            assert ended == Unsent("no connection in time")
            await server.all_gone()
            assert b"secret" not in server.peers[0].received
