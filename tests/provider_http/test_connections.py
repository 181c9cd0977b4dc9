"""Kept-alive, exhausted, abandoned and poisoned connections."""

import asyncio
import gc
import socket
import warnings
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing

import pytest

from service.domain.provider_call import AnswerLost
from service.providers import http_pool
from service.providers.http_connection import UNACKNOWLEDGED_MS_MAX
from service.providers.http_pool import CONNECTIONS_PER_HOST_MAX
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
NO_CONNECTION = Unsent("no connection in time")


class TestKeptAlive:
    async def test_connection_is_used_again(self, client: ProviderHttp) -> None:
        async with ScriptedServer(answer_every_request) as server:
            for _ in range(3):
                assert await outcome(client, request(server.url())) == Answered(200)
            assert (len(server.peers), len(server.requests)) == (1, 3)

    async def test_connection_closed_while_idle_is_replaced(self, client: ProviderHttp) -> None:
        async def answer_once(peer: Peer) -> None:
            await peer.request()
            peer.send(answer())
            peer.close()

        async with ScriptedServer(answer_once) as server:
            assert await outcome(client, request(server.url())) == Answered(200)
            await server.all_gone()
            assert await outcome(client, request(server.url())) == Answered(200)
            assert (len(server.peers), len(server.requests)) == (2, 2)

    async def test_idle_connections_are_closed_after_a_while(
        self, client: ProviderHttp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Before a gateway does, perhaps just when a request is on its way to it."""
        monkeypatch.setattr(http_pool, "KEEPALIVE_SECONDS", 0.1)
        async with ScriptedServer(answer_every_request) as server:
            calls = [outcome(client, request(server.url())) for _ in range(3)]
            assert await asyncio.gather(*calls) == [Answered(200)] * 3
            await server.all_gone()
            assert await outcome(client, request(server.url())) == Answered(200)
            assert len(server.peers) == 4

    @pytest.mark.parametrize("ending", [Peer.close, Peer.reset])
    @pytest.mark.parametrize("method", ["POST", "GET", "PUT", "DELETE", "PATCH"])
    async def test_connection_that_breaks_under_a_request_is_not_tried_again(
        self, client: ProviderHttp, method: str, ending: Callable[[Peer], None]
    ) -> None:
        """The library underneath would send what it holds for idempotent a second time."""

        async def answer_once_then_read_and_leave(peer: Peer) -> None:
            await peer.request()
            peer.send(answer())
            await peer.request()
            ending(peer)

        async with ScriptedServer(answer_once_then_read_and_leave) as server:
            assert await outcome(client, request(server.url())) == Answered(200)
            assert await outcome(client, request(server.url(), method)) == BROKE
            assert (len(server.peers), len(server.requests)) == (1, 2)

    @pytest.mark.parametrize("method", ["POST", "GET"])
    async def test_answer_that_came_before_the_question_is_not_taken_for_it(
        self, client: ProviderHttp, method: str
    ) -> None:
        """An answer too many would be given to the next request, perhaps another customer's."""

        async def answer_twice(peer: Peer) -> None:
            await peer.request()
            peer.send(answer())
            await answered.wait()
            peer.send(answer(201, b'{"id": "of somebody else"}'))
            await peer.gone()

        answered = asyncio.Event()
        async with ScriptedServer(answer_twice) as server:
            assert await outcome(client, request(server.url())) == Answered(200)
            answered.set()
            await server.all_gone()
            ended = await outcome(client, request(server.url(), method))
            assert ended == Answered(200)
            assert (len(server.peers), len(server.requests)) == (2, 2)

    async def test_two_answers_in_one_packet_end_the_connection(self, client: ProviderHttp) -> None:
        async def answer_twice(peer: Peer) -> None:
            await peer.request()
            peer.send(answer(200, b"mine") + answer(200, b"not asked for"))

        async with ScriptedServer(answer_twice) as server:
            for _ in range(2):
                assert await outcome(client, request(server.url())) == Answered(200, b"mine")
            assert len(server.peers) == 2


class TestPool:
    async def test_wait_for_a_free_connection_is_not_sent(self, client: ProviderHttp) -> None:
        async with ScriptedServer(never_answer) as server:
            holding = [
                asyncio.create_task(outcome(client, request(server.url())))
                for _ in range(CONNECTIONS_PER_HOST_MAX)
            ]
            await server.saw(requests=CONNECTIONS_PER_HOST_MAX)
            ended = await outcome(client, request(server.url()), timeout_seconds=0.1)
            assert ended == NO_CONNECTION
            assert len(server.peers) == CONNECTIONS_PER_HOST_MAX
            await cancel(holding)

    async def test_who_waits_is_not_handed_a_connection_that_has_ended(self) -> None:
        async def answer_once_and_leave(peer: Peer) -> None:
            await peer.request()
            peer.send(answer())
            peer.close()

        async with (
            ScriptedServer(answer_once_and_leave) as server,
            aclosing(ProviderHttp(1)) as client,
        ):
            calls = [outcome(client, request(server.url())) for _ in range(5)]
            assert await asyncio.gather(*calls) == [Answered(200)] * 5
            assert len(server.peers) == 5

    async def test_wait_counts_in_the_time_of_the_call(self, client: ProviderHttp) -> None:
        """0.2 s of waiting and an answer after 0.3 s are too much for a limit of 0.4 s."""
        released = asyncio.Event()

        async def answer_when_released_then_slowly(peer: Peer) -> None:
            await peer.request()
            await released.wait()
            peer.send(answer())
            await peer.request()
            await asyncio.sleep(0.3)
            peer.send(answer())

        async with ScriptedServer(answer_when_released_then_slowly) as server:
            holding = [
                asyncio.create_task(outcome(client, request(server.url())))
                for _ in range(CONNECTIONS_PER_HOST_MAX)
            ]
            await server.saw(requests=CONNECTIONS_PER_HOST_MAX)
            waiting = asyncio.create_task(
                outcome(client, request(server.url()), timeout_seconds=0.4)
            )
            await asyncio.sleep(0.2)
            released.set()
            assert await waiting == Lost("no answer in time")
            assert set(await asyncio.gather(*holding)) == {Answered(200)}

    async def test_wait_has_a_limit_of_its_own(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The rest of the call's time, long as it may be, is not spent on waiting."""
        monkeypatch.setattr(http_pool, "CONNECT_SECONDS_MAX", 0.1)
        client = ProviderHttp()
        async with ScriptedServer(Peer.gone) as server, asyncio.timeout(60):
            url = server.url().replace("http:", "https:")
            assert await outcome(client, request(url), timeout_seconds=600) == NO_CONNECTION
        await client.aclose()

    async def test_hosts_that_hang_leave_room_for_others(self) -> None:
        """Every provider hangs, and a token is fetched from a host of its own."""
        per_host = 16
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(aclosing(ProviderHttp(per_host)))
            hanging = [
                await stack.enter_async_context(ScriptedServer(never_answer)) for _ in range(3)
            ]
            healthy = await stack.enter_async_context(ScriptedServer(answer_every_request))
            holding = [
                asyncio.create_task(outcome(client, request(server.url())))
                for server in hanging
                for _ in range(2 * per_host)
            ]
            for server in hanging:
                await server.saw(requests=per_host)
            assert await outcome(client, request(healthy.url())) == Answered(200)
            assert [len(server.peers) for server in hanging] == [per_host] * 3
            await cancel(holding)


async def cancel(tasks: list[asyncio.Task[Answered | Unsent | Lost]]) -> None:
    """Cancel tasks that all still run; each must end as cancelled, and not as an outcome."""
    for task in tasks:
        assert task.cancel()
    await asyncio.wait(tasks)
    assert [task for task in tasks if not task.cancelled()] == []


LARGE = bytes(16 * 1024 * 1024)


async def half_a_body(peer: Peer) -> None:
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


async def half_the_headers(peer: Peer) -> None:
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nX-Half:")


class TestCancellation:
    """A cancelled call ends as cancelled, and its connection is closed and its place freed."""

    @pytest.mark.parametrize(
        ("scheme", "script", "body"),
        [
            ("https", Peer.gone, b"{}"),
            ("http", never_answer, b"{}"),
            ("http", half_the_headers, b"{}"),
            ("http", half_a_body, b"{}"),
        ],
        ids=["in the TLS handshake", "before the answer", "in the headers", "in the body"],
    )
    async def test_cancelled(
        self, client: ProviderHttp, scheme: str, script: Script, body: bytes
    ) -> None:
        async def misbehave_at_first(peer: Peer) -> None:
            await (answer_every_request if everybody_was_cancelled else script)(peer)

        everybody_was_cancelled = False
        async with ScriptedServer(misbehave_at_first) as server:
            sent = request(server.url().replace("http:", f"{scheme}:"), body=body)
            calls = [
                asyncio.create_task(outcome(client, sent)) for _ in range(CONNECTIONS_PER_HOST_MAX)
            ]
            everyone = CONNECTIONS_PER_HOST_MAX
            await server.saw(peers=everyone, requests=0 if scheme == "https" else everyone)
            await let_clients_read()
            await cancel(calls)
            await server.all_gone()
            everybody_was_cancelled = True
            assert await outcome(client, request(server.url())) == Answered(200)

    async def test_cancelled_at_any_moment_of_connecting(self, client: ProviderHttp) -> None:
        """No socket is left for somebody to find."""
        async with ScriptedServer(never_answer) as server:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                for turns in [*range(10)] * 10:
                    call = asyncio.create_task(outcome(client, request(server.url())))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    call.cancel()
                    await asyncio.wait([call])
                gc.collect()
            assert [str(each.message) for each in caught] == []

    async def test_cancelled_in_the_wait_for_a_connection(self, client: ProviderHttp) -> None:
        released = asyncio.Event()

        async def answer_when_released(peer: Peer) -> None:
            await peer.request()
            await released.wait()
            peer.send(answer())
            await answer_every_request(peer)

        async with ScriptedServer(answer_when_released) as server:
            calls = [
                asyncio.create_task(outcome(client, request(server.url())))
                for _ in range(2 * CONNECTIONS_PER_HOST_MAX)
            ]
            await server.saw(requests=CONNECTIONS_PER_HOST_MAX)
            holding, waiting = calls[:CONNECTIONS_PER_HOST_MAX], calls[CONNECTIONS_PER_HOST_MAX:]
            await cancel(waiting)
            released.set()
            assert set(await asyncio.gather(*holding)) == {Answered(200)}
            assert await outcome(client, request(server.url())) == Answered(200)
            assert len(server.requests) == CONNECTIONS_PER_HOST_MAX + 1


class TestBytesLeftBehind:
    """What was not yet sent when a call ended must not reach the provider afterwards."""

    @pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
    @pytest.mark.parametrize("ending", ["time limit", "cancellation"])
    async def test_request_that_was_half_sent_stays_half_sent(
        self, client: ProviderHttp, ending: str
    ) -> None:
        """A server that reads nothing fills all buffers; it reads on after the call has ended."""
        may_read = asyncio.Event()

        async def read_late(_peer: Peer) -> None:
            await may_read.wait()

        async with ScriptedServer(read_late) as server:
            call = asyncio.create_task(
                client.send(
                    request(server.url(), body=LARGE),
                    timeout_seconds=0.2 if ending == "time limit" else 5,
                )
            )
            if ending == "time limit":
                with pytest.raises(AnswerLost):
                    await call
            else:
                await asyncio.sleep(0.2)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            may_read.set()
            await server.all_gone()
            assert server.peers[0].was_reset
            assert len(server.peers[0].received) < len(LARGE) / 2

    async def test_kernel_gives_up_bytes_that_nobody_acknowledges(
        self, client: ProviderHttp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[socket.socket] = []

        class Recorded(socket.socket):
            def connect(self, address: object) -> None:
                made.append(self)
                super().connect(address)  # type: ignore[arg-type]

        monkeypatch.setattr(socket, "socket", Recorded)
        async with ScriptedServer(answer_every_request) as server:
            assert await outcome(client, request(server.url())) == Answered(200)
            limits = [s.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) for s in made]
        assert limits == [UNACKNOWLEDGED_MS_MAX]


async def test_closing_the_client_closes_every_connection() -> None:
    client = ProviderHttp()
    async with ScriptedServer(answer_every_request) as server:
        calls: list[Awaitable[Answered | Unsent | Lost]] = [
            outcome(client, request(server.url())) for _ in range(5)
        ]
        assert set(await asyncio.gather(*calls)) == {Answered(200)}
        await client.aclose()
        await server.all_gone()


async def test_closing_the_client_ends_the_calls_under_way() -> None:
    """Those who wait for a connection are told too."""
    client = ProviderHttp()
    async with ScriptedServer(never_answer) as server:
        calls = [
            asyncio.create_task(outcome(client, request(server.url())))
            for _ in range(CONNECTIONS_PER_HOST_MAX + 1)
        ]
        await server.saw(requests=CONNECTIONS_PER_HOST_MAX)
        await client.aclose()
        ended = await asyncio.gather(*calls)
        assert ended == [BROKE] * CONNECTIONS_PER_HOST_MAX + [Unsent("could not connect")]
