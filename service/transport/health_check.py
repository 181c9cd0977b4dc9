"""Asks a server for its health (grpc.health.v1), as an orchestrator's probe does."""

from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.domain.value_class import value_class

CHECK_SECONDS_MAX = 3.0
"""From connecting to the answer; an orchestrator's own limit has to leave time for a start."""

NO_PROXY = ("grpc.enable_http_proxy", 0)
"""The server is on this machine, or close; what the environment says of proxies is not for it."""


class HealthUnknown(Exception):  # noqa: N818 - the class's name reads as the sentence it stands for
    """The server has not said how it is; the text is for a person."""


@value_class
class TlsClient:
    """How to connect to a server that speaks TLS."""

    ca: Path
    """The authorities that may have signed the server's certificate, in PEM."""

    server_name: str | None
    """The name that the certificate has to have; None stands for the address's own."""

    certificate: Path | None
    """The client's own certificate chain, in PEM; None when the server asks for none."""

    key: Path | None


def health_of(address: str, tls: TlsClient | None) -> str:
    """Return what the server at `address` says of itself: `SERVING` or another word.

    Raises:
        HealthUnknown: It gave no answer in time, or there was no connection.
        OSError: A file cannot be read.
    """
    with _channel(address, tls) as channel:
        # What protoc makes has no types.
        check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
        try:
            answer = check(health_pb2.HealthCheckRequest(), timeout=CHECK_SECONDS_MAX)
        except grpc.RpcError as error:
            # What a synchronous call raises is the call itself.
            raise HealthUnknown(f"{error.code().name}: {error.details()}") from error
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


def _channel(address: str, tls: TlsClient | None) -> grpc.Channel:
    if tls is None:
        return grpc.insecure_channel(address, [NO_PROXY])
    credentials = grpc.ssl_channel_credentials(
        tls.ca.read_bytes(),
        None if tls.key is None else tls.key.read_bytes(),
        None if tls.certificate is None else tls.certificate.read_bytes(),
    )
    options: list[tuple[str, int | str]] = [NO_PROXY]
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return grpc.secure_channel(address, credentials, options)
