"""The service with a provider that it does not have: one folder, `cadencia`, and `REGISTRY`."""

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from service.__main__ import main
from service.providers.registration import Registry, registry_of
from service.providers.registry import PROVIDERS
from service.settings import Settings
from service.stores.key_ring import new_entry
from tests.fourth_provider.cadencia.registration import CADENCIA
from tests.fourth_provider.cadencia_api import API_KEY, CadenciaApi, cadencia_api
from tests.service.conftest import client_of
from tests.service.grpc_failure import Failure, failure_of

REGISTRY = registry_of(*PROVIDERS.values(), CADENCIA)


@dataclass(frozen=True)
class CommandLine:
    """`sequence-step-service` with the service's own settings."""

    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    async def run(
        self, *arguments: str, stdin: object = None, registry: Registry = REGISTRY
    ) -> tuple[int, str, str]:
        """Run a command; return its exit status and what it wrote."""
        given = io.TextIOWrapper(io.BytesIO(json.dumps(stdin).encode()))
        self.monkeypatch.setattr(sys, "stdin", given)
        self.capture.readouterr()
        status = await asyncio.to_thread(_status_of, arguments, registry)
        written = self.capture.readouterr()
        return status, written.out, written.err


def _status_of(arguments: tuple[str, ...], registry: Registry) -> int:
    try:
        return main([*arguments], registry)
    except SystemExit as exited:  # Of arguments that cannot be taken.
        return int(exited.code or 0)


@dataclass(frozen=True)
class Caller:
    """A caller of the service, for customer acme."""

    stub: Any

    async def create(
        self, step: step_pb2.SequenceStep, *, provider: str = "cadencia", **request: Any
    ) -> service_pb2.CreateSequenceStepResponse:
        """Add a step to flow f1."""
        response: service_pb2.CreateSequenceStepResponse = await self.stub.CreateSequenceStep(
            service_pb2.CreateSequenceStepRequest(sequence_id="f1", step=step, **request),
            metadata=(("x-customer-id", "acme"), ("x-provider-name", provider)),
            timeout=30,
        )
        return response

    async def fail(
        self, step: step_pb2.SequenceStep, *, provider: str = "cadencia", **request: Any
    ) -> Failure:
        """Add a step, which has to fail."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.create(step, provider=provider, **request)
        return failure_of(caught.value)


@pytest.fixture
def api() -> Iterator[CadenciaApi]:
    with cadencia_api() as api:
        yield api


@pytest.fixture
def environment(
    api: CadenciaApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The variables of a service that finds Cadencia at its stand-in."""
    variables = {
        "ENGAGEMENT_LISTEN": "127.0.0.1:0",
        "ENGAGEMENT_DATABASE": str(tmp_path / "engagement.db"),
        "ENGAGEMENT_KEYS": new_entry(),
        "ENGAGEMENT_CADENCIA_API_URL": f"{api.url}/v1",
        "ENGAGEMENT_CADENCIA_TOKEN_URL": f"{api.url}/token",
        "ENGAGEMENT_CADENCIA_CLIENT_ID": "cadencia-client",
        "ENGAGEMENT_CADENCIA_CLIENT_SECRET": "cadencia-secret",
        "ENGAGEMENT_CADENCIA_SETTLE_SECONDS": "0.5",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return Settings.from_environment(environment, REGISTRY)


@pytest.fixture
def command_line(
    environment: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> CommandLine:
    del environment  # It is set for the command line too.
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
async def unconnected(settings: Settings) -> AsyncIterator[Caller]:
    """A caller whose customer has no connection yet."""
    async with client_of(settings) as client:
        yield Caller(client.stub)


@pytest.fixture
async def caller(unconnected: Caller, command_line: CommandLine) -> Caller:
    """A caller whose customer has a connection, put by the command line."""
    put = ("connections", "put", "acme", "cadencia", "--kind", "api_key")
    assert await command_line.run(*put, stdin={"credential": API_KEY}) == (0, "", "")
    return unconnected
