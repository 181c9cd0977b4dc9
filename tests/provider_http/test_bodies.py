"""Bodies that are large, packed, or made to hurt; the status counts in every case."""

import gzip
import os
import tracemalloc

import pytest

from service.domain.provider_call import CallKind, ProviderRequest
from service.providers.http_connection import ANSWER_BYTES_MAX
from service.providers.provider_http import ProviderHttp
from tests.provider_http.calls import Answered, outcome, request
from tests.provider_http.scripted_server import Peer, ScriptedServer, answer

PLAIN = b'{"data": {"id": "4711"}}' * 100
TOO_LARGE = Answered(200, b"", "larger than 1 MiB")
BROKEN = Answered(200, b"", "content encoding is broken")


def until_close(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body


def chunked(body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def packed(body: bytes, encoding: str = "gzip") -> bytes:
    return answer(body=body, Content_Encoding=encoding)


FULL = b"a" * ANSWER_BYTES_MAX
BOMB = gzip.compress(bytes(64 * ANSWER_BYTES_MAX))
NOISE = os.urandom(ANSWER_BYTES_MAX)

ROWS: dict[str, tuple[bytes, Answered]] = {
    "as large as allowed, with a length": (answer(body=FULL), Answered(200, FULL)),
    "as large as allowed, in chunks": (chunked(FULL), Answered(200, FULL)),
    "as large as allowed, until close": (until_close(FULL), Answered(200, FULL)),
    "until close, behind an interim answer with a length": (
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n" + until_close(FULL),
        Answered(200, FULL),
    ),
    "too large, with a length": (answer(body=FULL + b"a"), TOO_LARGE),
    "too large, in chunks": (chunked(FULL + b"a"), TOO_LARGE),
    "too large, until close": (until_close(FULL + b"a"), TOO_LARGE),
    "gzip": (packed(gzip.compress(PLAIN)), Answered(200, PLAIN)),
    "gzip by its old name": (packed(gzip.compress(PLAIN), "x-gzip"), Answered(200, PLAIN)),
    "gzip of nothing": (packed(gzip.compress(b"")), Answered(200, b"")),
    "nothing, said to be gzip": (packed(b""), Answered(200, b"")),
    "gzip as large as allowed": (packed(gzip.compress(FULL)), Answered(200, FULL)),
    "gzip that is too large once unpacked": (packed(gzip.compress(FULL + b"a")), TOO_LARGE),
    "gzip bomb": (packed(BOMB), TOO_LARGE),
    "gzip that is too large as it comes": (packed(gzip.compress(NOISE)), TOO_LARGE),
    "gzip that is no gzip": (packed(PLAIN), BROKEN),
    "gzip that ends early": (packed(gzip.compress(PLAIN)[:-9]), BROKEN),
    "gzip with a wrong checksum": (packed(gzip.compress(PLAIN)[:-8] + bytes(8)), BROKEN),
    "gzip with something behind it": (packed(gzip.compress(PLAIN) + b"more"), BROKEN),
    "an encoding that was not asked for": (packed(PLAIN, "br"), BROKEN),
    "identity": (packed(PLAIN, "identity"), Answered(200, PLAIN)),
}


@pytest.mark.parametrize("row", ROWS)
async def test_body_that_is(client: ProviderHttp, row: str) -> None:
    data, expected = ROWS[row]

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(data)
        if b"Connection: close" in data[:100]:
            peer.close()

    async with ScriptedServer(script) as server:
        assert await outcome(client, request(server.url())) == expected


async def test_endless_body_is_cut_off(client: ProviderHttp) -> None:
    """The client closes the connection instead of reading what it will not use."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(until_close(b"") + bytes(64 * ANSWER_BYTES_MAX))

    async with ScriptedServer(script) as server:
        assert await outcome(client, request(server.url())) == TOO_LARGE
        await server.all_gone()


async def test_bomb_is_never_unpacked(client: ProviderHttp) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(packed(BOMB))

    async with ScriptedServer(script) as server:
        tracemalloc.start()
        try:
            assert await outcome(client, request(server.url())) == TOO_LARGE
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak_bytes < 8 * ANSWER_BYTES_MAX


async def test_request_and_answer_arrive_as_they_were_written(client: ProviderHttp) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 201 Created\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: 2\r\n\r\n{}")

    async with ScriptedServer(script) as server:
        sent = ProviderRequest(
            "outreach",
            CallKind.WRITE,
            "PUT",
            server.url("/steps/a%2Fb?filter%5Bid%5D=1%2B2&q=x%20y"),
            {"Authorization": "Bearer secret", "Content-Type": "application/vnd.api+json"},
            '{"note": "é"}'.encode(),
        )
        received = await client.send(sent, timeout_seconds=5)
        assert (received.status, received.body, received.flaw) == (201, b"{}", "")
        assert received.headers == {"x-two": "a, b", "content-length": "2"}
        head, _, body = server.requests[0].partition(b"\r\n\r\n")
        line, *headers = head.decode("ascii").split("\r\n")
        assert line == "PUT /steps/a%2Fb?filter%5Bid%5D=1%2B2&q=x%20y HTTP/1.1"
        assert {name.lower(): value for name, _, value in (h.partition(": ") for h in headers)} == {
            "host": f"127.0.0.1:{server.port}",
            "authorization": "Bearer secret",
            "content-type": "application/vnd.api+json",
            "content-length": "14",
            "accept-encoding": "gzip",
            "user-agent": "sequence-step-service",
        }
        assert body == sent.body
