"""The share of inputs that go over real sockets: to a gRPC server, and from an HTTP server."""

import asyncio
import contextlib
from typing import Final

import grpc

from service.domain.provider_call import (
    AnswerLost,
    CallKind,
    NotSent,
    ProviderAnswer,
    ProviderRequest,
)
from service.providers.http_connection import ANSWER_BYTES_MAX
from service.providers.provider_http import ProviderHttp
from service.transport.caller_identity import local_caller
from service.transport.server import GrpcServer, StopTimes
from tests.fuzz.fuzz_input import CUSTOMER, FuzzInput, Kind
from tests.fuzz.fuzz_stage import PATH, Outcome, check_status
from tests.transport.stand_in import REQUEST_ID, StandIn, nothing_to_finish, servicer_for

SECONDS_MAX: Final = 5.0
"""The real limit of one input; nothing in it takes a hundredth of that."""

_BY_THE_LIBRARY: Final = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED})
"""How gRPC ends a call with more metadata than it takes: no code of ours has run."""


def _failed(error: grpc.aio.AioRpcError) -> Outcome:
    code, trailing = error.code(), dict(error.trailing_metadata() or ())
    if "grpc-status-details-bin" in trailing:
        return Outcome(code.name, check_status(code, error.details() or "", trailing))
    assert code in _BY_THE_LIBRARY, error
    return Outcome(code.name, "ended by the library")


_GOOD_ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class OverSockets:
    """A gRPC server with the application's stand-in, and an HTTP server that says what it is told.

    Open it and run it on a loop of its own: the rest is on virtual time.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._open())
        self._answer = b""
        self._visited = asyncio.Event()

    async def _open(self) -> None:
        self._server = GrpcServer(
            servicer_for(StandIn()), local_caller, requests_in_flight_max=10, reflects=False
        )
        port = await self._server.start("127.0.0.1:0")
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}")
        self._method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            PATH
        )
        self._http = ProviderHttp()
        self._vendor = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._url = f"http://127.0.0.1:{self._vendor.sockets[0].getsockname()[1]}/steps"

    def close(self) -> None:
        """Stop everything."""
        self._loop.run_until_complete(self._close())
        self._loop.close()

    async def _close(self) -> None:
        await self._channel.close()
        await self._server.stop(StopTimes(0, 0, 0), nothing_to_finish, asyncio.Event())
        await self._http.aclose()
        self._vendor.close()

    def run(self, given: FuzzInput) -> Outcome:
        """Carry an input out, then check that a good one is answered."""
        return self._loop.run_until_complete(self._run(given))

    async def _run(self, given: FuzzInput) -> Outcome:
        async with asyncio.timeout(SECONDS_MAX):
            if given.kind is Kind.GRPC:
                return await self._call(given)
            outcome = await self._ask(given.answer)
            await self._visited.wait()  # It has closed the connection, which is not to be reused.
            assert await self._ask(_GOOD_ANSWER) == Outcome("answered 2xx", "")
            return outcome

    async def _call(self, given: FuzzInput) -> Outcome:
        metadata = tuple(
            (name, REQUEST_ID if value == CUSTOMER else value) for name, value in given.metadata
        )
        try:
            await self._method(given.raw, metadata=metadata, timeout=SECONDS_MAX)
        except grpc.aio.AioRpcError as error:
            return _failed(error)
        return Outcome("OK", "")

    async def _ask(self, answer: bytes) -> Outcome:
        self._answer = answer
        request = ProviderRequest(
            "outreach", CallKind.WRITE, "POST", self._url, {"authorization": "Bearer x"}, b"{}"
        )
        try:
            answered: ProviderAnswer = await self._http.send(request, timeout_seconds=SECONDS_MAX)
        except NotSent as fact:
            return Outcome("not sent", fact.why)
        except AnswerLost as fact:
            return Outcome("lost", fact.why)
        assert 200 <= answered.status <= 999
        assert len(answered.body) <= ANSWER_BYTES_MAX
        return Outcome(f"answered {answered.status // 100}xx", answered.flaw)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._visited.clear()
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        writer.write(self._answer)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        self._visited.set()
