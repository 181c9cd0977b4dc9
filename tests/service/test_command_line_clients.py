"""The service through clients that know it from its reflection or its proto files alone.

Both programs are what a person has at hand: grpcurl, and buf's own curl.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.rpc import error_details_pb2

from tests.service.conftest import Client, NewAccount
from tests.service.programs import PROGRAMS, Finished, run
from tests.service.vendor_account import VendorAccount

METHOD = "engagement.v1.SequenceStepService/CreateSequenceStep"
SERVICES = {
    "engagement.v1.SequenceStepService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
}
WITH_PROTO_FILES = {
    "grpcurl": ("-import-path", "protos", "-proto", "engagement/v1/sequence_step_service.proto"),
    "buf curl": ("--schema", "protos"),
}

# grpcurl ends with 64 + the gRPC code, buf curl with 8 * the code.
INVALID_ARGUMENT_STATUS = {"grpcurl": 64 + 3, "buf curl": 8 * 3}


@dataclass(frozen=True)
class CommandLine:
    """One of the two programs, pointed at the service."""

    name: str
    port: int
    home: Path

    async def services(self) -> Finished:
        """List the services."""
        if self.name == "grpcurl":
            return await self._run("-plaintext", f"127.0.0.1:{self.port}", "list")
        return await self._run("--list-services", f"http://127.0.0.1:{self.port}")

    async def create(
        self, account: VendorAccount, request: Mapping[str, Any], *options: str
    ) -> Finished:
        """Call CreateSequenceStep."""
        metadata = {"x-customer-id": account.name, "x-provider-name": account.vendor}
        headers = [part for name in metadata for part in ("-H", f"{name}: {metadata[name]}")]
        given = (*options, *headers, "-d", json.dumps(request))
        if self.name == "grpcurl":
            return await self._run("-plaintext", *given, f"127.0.0.1:{self.port}", METHOD)
        return await self._run(*given, f"http://127.0.0.1:{self.port}/{METHOD}")

    async def _run(self, *arguments: str) -> Finished:
        if self.name == "grpcurl":
            return await run(PROGRAMS / "grpcurl", *arguments, home=self.home)
        curl = (PROGRAMS / "buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge")
        return await run(*curl, *arguments, home=self.home)


@pytest.fixture(params=["grpcurl", "buf curl"])
def command_line(request: pytest.FixtureRequest, client: Client, tmp_path: Path) -> CommandLine:
    return CommandLine(request.param, client.port, tmp_path)


async def test_it_lists_the_services(command_line: CommandLine) -> None:
    listed = await command_line.services()
    assert (listed.status, set(listed.output.split())) == (0, SERVICES)


@pytest.mark.parametrize("schema", ["reflection", "proto files"])
@pytest.mark.parametrize("vendor", ["outreach", "salesloft", "apollo"])
async def test_it_creates_a_step(
    vendor: str, schema: str, command_line: CommandLine, new_account: NewAccount
) -> None:
    account = await new_account(vendor)
    step = {"type": "STEP_TYPE_CALL", "interval_seconds": 86400}
    options = WITH_PROTO_FILES[command_line.name] if schema == "proto files" else ()
    request = {"sequence_id": account.sequence_id, "step": step}
    finished = await command_line.create(account, request, *options)
    assert (finished.status, finished.errors) == (0, "")
    answer = json.loads(finished.output)
    assert answer["id"] in await account.step_ids()


async def test_it_takes_json_names_and_shows_warnings(
    command_line: CommandLine, new_account: NewAccount
) -> None:
    account = await new_account("outreach")
    step = {
        "type": "STEP_TYPE_TASK",
        "intervalSeconds": 60,
        "taskNote": "Blog",
        "name": "Read",
        "customFields": {"taskAutoskipDelay": 3600},
    }
    request = {"sequenceId": "4711", "step": step}
    finished = await command_line.create(account, request)
    [warning] = json.loads(finished.output)["warnings"]
    assert warning["field"] == "step.name"
    [made] = await account.steps()
    assert made["attributes"]["interval"] == 60
    assert made["attributes"]["taskAutoskipDelay"] == 3600


async def test_it_shows_an_error_with_its_details(
    command_line: CommandLine, new_account: NewAccount
) -> None:
    account = await new_account("outreach")
    request = {"sequence_id": "abc", "step": {"type": "STEP_TYPE_CALL"}}
    finished = await command_line.create(account, request)
    assert finished.status == INVALID_ARGUMENT_STATUS[command_line.name]
    if command_line.name == "grpcurl":
        assert '"reason":"INVALID_FIELD"' in finished.errors
        assert '"field":"sequence_id"' in finished.errors
    else:
        info, bad_request = _details(finished)
        assert error_details_pb2.ErrorInfo.FromString(info).reason == "INVALID_FIELD"
        [violation] = error_details_pb2.BadRequest.FromString(bad_request).field_violations
        assert violation.field == "sequence_id"
    assert await account.requests() == []


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ({"type": "call"}, "call"),
        ({"type": "CALL"}, "CALL"),
        ({"type": "STEP_TYPE_CALL", "nme": "Intro"}, "nme"),
        ({"type": "STEP_TYPE_CALL", "interval_seconds": "soon"}, "soon"),
    ],
)
async def test_what_is_no_json_of_the_contract_is_not_sent(
    step: dict[str, str], complaint: str, command_line: CommandLine, new_account: NewAccount
) -> None:
    """An enum's JSON is its full name; a field that does not exist is refused, not lost."""
    account = await new_account("outreach")
    finished = await command_line.create(account, {"sequence_id": "4711", "step": step})
    assert finished.status == 1
    assert complaint in finished.errors
    assert await account.requests() == []


def _details(finished: Finished) -> list[bytes]:
    """Return the details of an error that buf curl shows, in base64 without padding."""
    details = json.loads(finished.errors)["details"]
    return [base64.b64decode(detail["value"] + "==") for detail in details]
