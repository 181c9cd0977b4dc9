"""J14: a request that gets its connection too late is not sent, however it got late."""

import asyncio
import ssl

import pytest

from service.application.clock import boot_seconds
from service.providers import provider_http
from service.providers.http_pool import CONNECTIONS_PER_HOST_MAX
from service.providers.provider_http import ProviderHttp
from tests.provider_http.calls import Answered, Unsent, outcome, request
from tests.provider_http.scripted_server import (
    Peer,
    ScriptedServer,
    answer,
    answer_every_request,
)

TOO_LATE = Unsent("too late to start")


class Clock:
    """Stands in for the clock that runs through suspend."""

    def __init__(self) -> None:
        self.now_seconds = 1_000.0

    def __call__(self) -> float:
        return self.now_seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(provider_http, "boot_seconds", made)
    return made


async def test_in_time_is_sent(client: ProviderHttp) -> None:
    async with ScriptedServer(answer_every_request) as server:
        start_by = boot_seconds() + 5
        ended = await outcome(client, request(server.url()), start_by_seconds=start_by)
        assert ended == Answered(200)


@pytest.mark.parametrize("late_seconds", [0.0, 0.001])
async def test_limit_itself_is_in_time(
    client: ProviderHttp, clock: Clock, late_seconds: float
) -> None:
    async with ScriptedServer(answer_every_request) as server:
        start_by = clock.now_seconds - late_seconds
        ended = await outcome(client, request(server.url()), start_by_seconds=start_by)
        assert ended == (TOO_LATE if late_seconds else Answered(200))


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_late_on_a_new_connection_sends_no_byte(client: ProviderHttp, method: str) -> None:
    async with ScriptedServer(answer_every_request) as server:
        ended = await outcome(
            client, request(server.url(), method), start_by_seconds=boot_seconds() - 0.001
        )
        assert ended == TOO_LATE
        await server.all_gone()
        assert bytes(server.peers[0].received) == b""


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_late_on_a_kept_alive_connection_sends_no_byte(
    client: ProviderHttp, method: str
) -> None:
    async with ScriptedServer(answer_every_request) as server:
        assert await outcome(client, request(server.url())) == Answered(200)
        ended = await outcome(
            client, request(server.url(), method), start_by_seconds=boot_seconds() - 0.001
        )
        assert ended == TOO_LATE
        await server.all_gone()
        assert bytes(server.peers[0].received) == server.requests[0]
        assert len(server.requests) == 1


async def test_late_by_the_tls_handshake_sends_no_byte(
    trusting_client: ProviderHttp, server_tls: ssl.SSLContext, clock: Clock
) -> None:
    """The clock moves in the middle of the handshake, when the server hears the host's name."""

    def move_clock(_connection: object, _name: str | None, _context: ssl.SSLContext) -> None:
        clock.now_seconds += 3

    server_tls.sni_callback = move_clock
    async with ScriptedServer(answer_every_request, tls=server_tls) as server:
        sent = request(server.url(host="localhost"))
        ended = await outcome(trusting_client, sent, start_by_seconds=clock.now_seconds + 2)
        assert ended == TOO_LATE
        await server.all_gone()
        assert bytes(server.peers[0].received) == b""


async def test_late_by_the_wait_for_a_connection_sends_no_byte(
    client: ProviderHttp, clock: Clock
) -> None:
    released = asyncio.Event()

    async def answer_when_released(peer: Peer) -> None:
        await peer.request()
        await released.wait()
        peer.send(answer())
        await answer_every_request(peer)

    async with ScriptedServer(answer_when_released) as server:
        calls = [
            asyncio.create_task(
                outcome(client, request(server.url()), start_by_seconds=clock.now_seconds + 2)
            )
            for _ in range(CONNECTIONS_PER_HOST_MAX + 1)
        ]
        await server.saw(requests=CONNECTIONS_PER_HOST_MAX)
        clock.now_seconds += 3
        released.set()
        ended = await asyncio.gather(*calls)
        assert ended == [Answered(200)] * CONNECTIONS_PER_HOST_MAX + [TOO_LATE]
        assert len(server.requests) == CONNECTIONS_PER_HOST_MAX


async def test_many_late_requests_leave_room_for_one_in_time(client: ProviderHttp) -> None:
    async with ScriptedServer(answer_every_request) as server:
        start_by = boot_seconds() - 0.001
        calls = [
            outcome(client, request(server.url()), start_by_seconds=start_by)
            for _ in range(2 * CONNECTIONS_PER_HOST_MAX)
        ]
        assert set(await asyncio.gather(*calls)) == {TOO_LATE}
        assert await outcome(client, request(server.url())) == Answered(200)
        assert len(server.requests) == 1
