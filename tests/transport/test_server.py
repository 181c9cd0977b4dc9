"""The server as operators meet it: addresses, probes, reflection, limits, and an orderly stop."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha.reflection_pb2 import (
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from service.application.arrival import Arrival
from service.domain.outcome import StepAnswer
from service.transport.caller_identity import local_caller
from service.transport.server import (
    OPTIONS,
    SERVICE_NAME,
    GrpcServer,
    ListenError,
    StopTimes,
    serve_until_stopped,
    stop_signals,
)
from tests.transport.health_probe import NOT_SERVING, SERVING, check, next_status, watch
from tests.transport.stand_in import (
    METADATA,
    Api,
    StandIn,
    nothing_to_finish,
    servicer_for,
    serving,
    step_request,
)


def new_server(application: StandIn | None = None) -> GrpcServer:
    servicer = servicer_for(application or StandIn())
    return GrpcServer(servicer, local_caller, requests_in_flight_max=10, reflects=False)


@pytest.mark.parametrize("service", ["", SERVICE_NAME])
async def test_a_server_that_started_is_healthy(api: Api, service: str) -> None:
    assert await check(api.channel, service) == SERVING


async def test_the_health_of_an_unknown_service_is_not_found(api: Api) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await check(api.channel, "engagement.v1.Other")

    assert failed.value.code() == grpc.StatusCode.NOT_FOUND


async def test_a_taken_port_is_an_error_and_not_shared() -> None:
    first, second = new_server(), new_server()
    port = await first.start("127.0.0.1:0")
    try:
        with pytest.raises(ListenError, match=f"^Cannot listen at 127.0.0.1:{port}: another proc"):
            await second.start(f"127.0.0.1:{port}")
    finally:
        await first.stop(StopTimes(0, 0, 0), nothing_to_finish, asyncio.Event())


async def test_an_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(ListenError, match=r"none of this machine's\.$"):
        await new_server().start("192.0.2.1:50051")


def reflection(
    channel: grpc.aio.Channel,
) -> "grpc.aio.StreamStreamMultiCallable[ServerReflectionRequest, ServerReflectionResponse]":
    """Return the method that grpcurl asks by."""
    return channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )


async def listed_services(channel: grpc.aio.Channel) -> list[str]:
    """Ask the server for its services, as grpcurl does."""
    call = reflection(channel)(iter([ServerReflectionRequest(list_services="*")]), timeout=5)
    answer = await call.read()
    assert isinstance(answer, ServerReflectionResponse)
    return [service.name for service in answer.list_services_response.service]


async def test_reflection_shows_the_contract_when_it_is_on(api: Api) -> None:
    assert set(await listed_services(api.channel)) == {
        "engagement.v1.SequenceStepService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_reflection_is_not_there_when_it_is_off() -> None:
    async with started() as (_, channel, _):
        # Nothing is sent: the answer may be there before it, and then the library fails otherwise.
        call = reflection(channel)(timeout=5)
        assert await call.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_metadata_over_the_limit_is_refused_by_the_library(api: Api) -> None:
    metadata = (*METADATA, ("x-large", "x" * 20_000))
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await api.send(step_request().SerializeToString(), metadata)

    assert failed.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert api.application.calls == []


def test_the_library_knows_every_option() -> None:
    """It takes what it does not know without a word, and the limit would not be there."""
    (library,) = Path(grpc.__file__).parent.glob("_cython/cygrpc*.so")
    known = library.read_bytes()
    assert [name for name, _ in OPTIONS if name.encode() not in known] == []


@asynccontextmanager
async def started() -> AsyncIterator[tuple[GrpcServer, grpc.aio.Channel, StandIn]]:
    """Run a server that the test stops."""
    application = StandIn()
    server = new_server(application)
    port = await server.start("127.0.0.1:0")
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield server, channel, application
    finally:
        await server.stop(StopTimes(0, 0, 0), nothing_to_finish, asyncio.Event())


class Held:
    """A behaviour that answers when it is let go."""

    def __init__(self) -> None:
        self.running = asyncio.Event()
        self.let_go = asyncio.Event()

    async def __call__(self, call: Arrival) -> StepAnswer:
        del call
        self.running.set()
        await self.let_go.wait()
        return StepAnswer("42", ())


async def test_stopping_goes_in_the_order_that_loses_no_call() -> None:
    order: list[str] = []
    hurry = asyncio.Event()
    held = Held()

    async def finish(seconds: float) -> None:
        order.append(f"finish within {seconds:g} s")

    async with started() as (server, channel, application):
        api = Api(channel, application, [])
        application.behaviour = held
        watching = watch(channel)
        assert await next_status(watching) == SERVING
        running = asyncio.create_task(api.create(step_request()))
        await held.running.wait()

        stopping = asyncio.create_task(server.stop(StopTimes(60, 60, 35), finish, hurry))
        assert await next_status(watching) == NOT_SERVING
        watching.cancel()
        order.append("probes know")
        for service in ("", SERVICE_NAME):
            assert await check(channel, service) == NOT_SERVING
        application.behaviour = StandIn().behaviour
        assert (await api.create(step_request())).id == "42"
        order.append("a call during the drain delay is served")

        hurry.set()
        await new_calls_are_refused(channel)
        order.append("new calls are refused")
        held.let_go.set()
        order.append("the running call goes on")
        assert (await running).id == "42"
        await stopping

    assert order == [
        "probes know",
        "a call during the drain delay is served",
        "new calls are refused",
        "the running call goes on",
        "finish within 35 s",
    ]


async def new_calls_are_refused(channel: grpc.aio.Channel) -> None:
    """Call until the server takes no more calls; it does so a moment after it is told to."""
    code = grpc.StatusCode.OK
    # A call that arrives in that very moment is CANCELLED by the library.
    while code in {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}:
        code = await code_of_check(channel)
    assert code == grpc.StatusCode.UNAVAILABLE


async def code_of_check(channel: grpc.aio.Channel) -> grpc.StatusCode:
    try:
        await check(channel)
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_a_call_that_outlives_its_grace_is_cut_before_the_application_finishes() -> None:
    order: list[str] = []
    running = asyncio.Event()

    async def wait(call: Arrival) -> StepAnswer:
        del call
        running.set()
        try:
            await asyncio.sleep(3600)
        finally:
            order.append("cut")
        raise AssertionError

    async def finish(seconds: float) -> None:
        del seconds
        order.append("finish")

    async with started() as (server, channel, application):
        application.behaviour = wait
        call = asyncio.create_task(Api(channel, application, []).create(step_request()))
        await running.wait()
        await server.stop(StopTimes(0, 0.05, 0), finish, asyncio.Event())
        with pytest.raises(grpc.aio.AioRpcError):
            await call

    assert order == ["cut", "finish"]


async def test_a_stop_without_anything_running_does_not_wait_for_the_grace() -> None:
    async with started() as (server, _, _), asyncio.timeout(30):
        await server.stop(StopTimes(0, 3600, 0), nothing_to_finish, asyncio.Event())


class Stoppable:
    """A server in a process of its own, followed by what it says."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def next_word(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            return (await self.process.stdout.readline()).decode().strip()

    async def words(self) -> list[str]:
        """Everything until the process ends, which it must do by itself and well."""
        output, errors = await asyncio.wait_for(self.process.communicate(), 30)
        assert errors.decode() == ""
        assert self.process.returncode == 0
        return output.decode().splitlines()


@asynccontextmanager
async def stoppable(*seconds: str) -> AsyncIterator[tuple[Stoppable, grpc.aio.Channel]]:
    """Start a server with these seconds of drain delay, grace and finishing."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.transport.stoppable", *seconds, stdout=PIPE, stderr=PIPE
    )
    server = Stoppable(process)
    try:
        port = (await server.next_word()).removeprefix("port ")
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield server, channel
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_the_process_in_order(number: signal.Signals) -> None:
    async with stoppable("0", "0.2", "7") as (server, channel):
        call = asyncio.create_task(Api(channel, StandIn(), []).create(step_request()))
        assert await server.next_word() == "called"

        server.process.send_signal(number)

        assert await server.words() == ["cut", "finish 7", "stopped"]
        with pytest.raises(grpc.aio.AioRpcError):
            await call


async def test_a_second_signal_skips_the_drain_delay() -> None:
    async with stoppable("3600", "0", "7") as (server, channel):
        watching = watch(channel)
        assert await next_status(watching) == SERVING
        server.process.send_signal(signal.SIGTERM)
        assert await next_status(watching) == NOT_SERVING

        server.process.send_signal(signal.SIGTERM)

        assert await server.words() == ["finish 7", "stopped"]
        watching.cancel()


class Failing(GrpcServer):
    """A server whose serving task ends by itself."""

    async def ended(self) -> None:
        raise RuntimeError("the library gave up")


async def test_a_server_that_fails_by_itself_does_not_leave_a_process_that_serves_nobody() -> None:
    finished: list[float] = []

    async def finish(seconds: float) -> None:
        finished.append(seconds)

    servicer = servicer_for(StandIn())
    server = Failing(servicer, local_caller, requests_in_flight_max=10, reflects=False)
    await server.start("127.0.0.1:0")

    with pytest.raises(RuntimeError, match="the library gave up"), stop_signals() as signals:
        await serve_until_stopped(server, signals, StopTimes(0, 0, 7), finish)
    assert finished == [7]


async def test_many_calls_at_once_on_one_connection_are_all_served() -> None:
    application = StandIn()
    async with serving(servicer_for(application), application) as api:
        await asyncio.gather(*(api.create(step_request()) for _ in range(200)))

    assert len(application.calls) == 200


async def test_a_burst_that_the_loop_comes_to_late_is_served_all_the_same() -> None:
    """The library would cancel some of it by itself: more than it lets wait by default."""
    application = StandIn()
    async with serving(servicer_for(application), application) as api, AsyncExitStack() as stack:
        address = f"127.0.0.1:{api.port}"
        own_connection = (("grpc.use_local_subchannel_pool", 1),)
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(address, own_connection))
            for _ in range(5)
        ]
        apis = [replace(api, channel=channel) for channel in channels]
        await asyncio.gather(
            *(each.create(step_request(), timeout_seconds=60) for each in apis * 700)
        )

    assert len(application.calls) == 3_500
