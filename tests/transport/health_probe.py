"""The health service as an orchestrator calls it."""

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

SERVING = HealthCheckResponse.SERVING
NOT_SERVING = HealthCheckResponse.NOT_SERVING

Watch = grpc.aio.UnaryStreamCall[HealthCheckRequest, HealthCheckResponse]


async def check(channel: grpc.aio.Channel, service: str = "") -> int:
    """Ask once."""
    method: grpc.aio.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse] = (
        channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
    )
    return (await method(HealthCheckRequest(service=service), timeout=5)).status


def watch(channel: grpc.aio.Channel) -> Watch:
    """Ask to be told of every change."""
    method: grpc.aio.UnaryStreamMultiCallable[HealthCheckRequest, HealthCheckResponse] = (
        channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
    )
    return method(HealthCheckRequest(), timeout=60)


async def next_status(watching: Watch) -> int:
    """Wait for the next change."""
    answer = await watching.read()
    assert isinstance(answer, HealthCheckResponse)
    return answer.status
