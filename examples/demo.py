"""The whole path once, on this machine: stand-ins of the vendors, the service, three steps.

Starts the sandbox and the service as processes of their own, gives one demo customer a connection
at each provider, adds a step at each through the generated client, and prints request and answer.
Without `--serve` it ends there: exit status 0, or 1 if any of the three failed. With `--serve` it
goes on serving until Ctrl-C. With SANDBOX_URL set it uses a sandbox that runs already.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub

CUSTOMER = "demo"
SERVICE_PORT = 50051
SANDBOX_PORT = 8080
START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 60
CALL_SECONDS = 60


@dataclass(frozen=True)
class Account:
    """One of the sandbox's accounts: where it is, how to get in, and what is in it."""

    vendor: str
    connection_kind: str
    secrets: Mapping[str, str]
    sequence_id: str
    template_id: str


def main() -> int:
    """Run the demo and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="go on serving until Ctrl-C")
    serve = parser.parse_args().serve
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack:
            return _demo(stack, serve=serve)
    except DemoFailed as failure:
        print(f"demo failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


class DemoFailed(Exception):  # noqa: N818 - it reads as the sentence it stands for
    """The demo could not be set up; the text says why."""


def _demo(stack: ExitStack, *, serve: bool) -> int:
    sandbox_url = os.environ.get("SANDBOX_URL") or stack.enter_context(
        _sandbox(SANDBOX_PORT if serve else 0)
    )
    accounts = [_new_account(sandbox_url, vendor) for vendor in ("outreach", "salesloft", "apollo")]
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sequence-step-demo-")))
    port = SERVICE_PORT if serve else _free_port()
    environment = _environment(sandbox_url, folder, port)
    if not serve:
        # Not `warning`: that callers are not identified is as it should be here.
        environment["ENGAGEMENT_LOG_LEVEL"] = "error"
    for account in accounts:
        _connect(account, environment)
    process = stack.enter_context(_service(environment))
    channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
    _wait_until_serving(channel, process)
    steps = [_add_step(channel, account) for account in accounts]
    if serve:
        _print_how_to_call(port, sandbox_url)
        process.wait()
    return 0 if all(steps) else 1


def _add_step(channel: grpc.Channel, account: Account) -> bool:
    """Add one step; print the request and its answer; say whether it was made."""
    request = service_pb2.CreateSequenceStepRequest(
        request_id=str(uuid.uuid4()),  # A real caller stores it first, and repeats with it.
        sequence_id=account.sequence_id,
        step=step_pb2.SequenceStep(
            type=step_pb2.STEP_TYPE_AUTO_EMAIL,
            name="Introduction",
            interval_seconds=3 * 86_400,
            template=step_pb2.Template(id=account.template_id),
        ),
    )
    metadata = (("x-customer-id", CUSTOMER), ("x-provider-name", account.vendor))
    print(f"\n── {account.vendor} ──\nrequest {_json(request)}")
    try:
        stub: Any = SequenceStepServiceStub(channel)  # type: ignore[no-untyped-call]
        answer = stub.CreateSequenceStep(request, metadata=metadata, timeout=CALL_SECONDS)
    except grpc.RpcError as raised:
        error: Any = raised  # It is a grpc.Call too, which has code and details.
        print(f"error   {error.code().name} {_reason(error)}: {error.details()}")
        return False
    print(f"answer  {_json(answer)}")
    return True


def _reason(error: Any) -> str:
    """Return the machine-readable reason of an error; empty when the service did not send it."""
    status = rpc_status.from_call(error)
    info = error_details_pb2.ErrorInfo()
    for detail in status.details if status is not None else ():
        if detail.Unpack(info):
            return str(info.reason)
    return ""


def _json(message: Any) -> str:
    return json_format.MessageToJson(message, preserving_proto_field_name=True)


@contextmanager
def _sandbox(port: int) -> Iterator[str]:
    """Start the stand-ins of the vendors; yields their URL."""
    command = [sys.executable, "-m", "sandbox", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, _stopped(process):
        assert process.stdout is not None
        line = process.stdout.readline()
        if "http://" not in line:
            raise DemoFailed(f"the sandbox did not start on port {port}")
        yield line.split()[-1]


@contextmanager
def _service(environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "service", "serve"]
    with subprocess.Popen(command, env=environment, text=True) as process, _stopped(process):
        yield process


@contextmanager
def _stopped(process: subprocess.Popen[str]) -> Iterator[None]:
    """End a process that was started here, however the demo ends."""
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()


def _new_account(sandbox_url: str, vendor: str) -> Account:
    """Make an account of the demo's own, so that the demo can be run again on the same sandbox."""
    request = urllib.request.Request(  # noqa: S310 - the sandbox's own URL
        f"{sandbox_url}/_sandbox/accounts", json.dumps({"vendor": vendor}).encode()
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - likewise
            made = json.load(answer)
    except OSError as error:
        raise DemoFailed(f"no sandbox answers at {sandbox_url} ({error})") from error
    state = made["state"]
    sequence_id, template_id = (str(state[part][0]["id"]) for part in ("sequences", "templates"))
    return Account(vendor, *_connection(made["credentials"]), sequence_id, template_id)


def _connection(credentials: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Return the kind of connection that an account allows, and its secrets."""
    if "refresh_token" not in credentials:
        return "api_key", {"credential": credentials["api_key"]}
    secrets = {
        "credential": credentials["access_token"],
        "refresh_token": credentials["refresh_token"],
    }
    return "oauth", secrets


def _environment(sandbox_url: str, folder: Path, port: int) -> dict[str, str]:
    """Return the service's settings: everything on this machine, in a folder of its own."""
    new_key = subprocess.run(
        [sys.executable, "-m", "service", "keys", "new"], check=True, capture_output=True, text=True
    )
    return {
        **{name: text for name, text in os.environ.items() if not name.startswith("ENGAGEMENT_")},
        "ENGAGEMENT_LISTEN": f"127.0.0.1:{port}",
        "ENGAGEMENT_DATABASE": str(folder / "engagement.db"),
        "ENGAGEMENT_KEYS": new_key.stdout.strip(),
        "ENGAGEMENT_REFLECTION": "true",
        "ENGAGEMENT_DRAIN_DELAY_SECONDS": "0",
        "ENGAGEMENT_OUTREACH_API_URL": f"{sandbox_url}/outreach/api/v2",
        "ENGAGEMENT_OUTREACH_TOKEN_URL": f"{sandbox_url}/outreach/oauth/token",
        "ENGAGEMENT_OUTREACH_CLIENT_ID": "outreach-client",
        "ENGAGEMENT_OUTREACH_CLIENT_SECRET": "outreach-secret",
        "ENGAGEMENT_SALESLOFT_API_URL": f"{sandbox_url}/salesloft/v2",
        "ENGAGEMENT_SALESLOFT_TOKEN_URL": f"{sandbox_url}/salesloft/oauth/token",
        "ENGAGEMENT_SALESLOFT_CLIENT_ID": "salesloft-client",
        "ENGAGEMENT_SALESLOFT_CLIENT_SECRET": "salesloft-secret",
        "ENGAGEMENT_APOLLO_API_URL": f"{sandbox_url}/apollo/api/v1",
    }


def _connect(account: Account, environment: Mapping[str, str]) -> None:
    """Store the demo customer's connection with the command line, secrets on standard input."""
    command = [sys.executable, "-m", "service", "connections", "put", CUSTOMER, account.vendor]
    subprocess.run(
        [*command, "--kind", account.connection_kind],
        check=True,
        env=environment,
        input=json.dumps(account.secrets),
        text=True,
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_serving(channel: grpc.Channel, process: subprocess.Popen[str]) -> None:
    """Wait until the service says that it serves; it has said why if it does not."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest()
    deadline = time.monotonic() + START_SECONDS_MAX
    while process.poll() is None and time.monotonic() < deadline:
        try:
            answer = stub.Check(request, timeout=1, wait_for_ready=True)
        except grpc.RpcError:
            continue
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            return
    raise DemoFailed("the service did not start")


def _print_how_to_call(port: int, sandbox_url: str) -> None:
    request = json.dumps(
        {"sequence_id": "4711", "step": {"type": "STEP_TYPE_CALL", "task_note": "Ask for budget"}}
    )
    method = "engagement.v1.SequenceStepService"
    headers = f"-H 'x-customer-id: {CUSTOMER}' -H 'x-provider-name: outreach'"
    print(
        f"\nServing at 127.0.0.1:{port}, with the vendors' stand-ins at {sandbox_url}. Call it:\n\n"
        f"  .venv/bin/grpcurl -plaintext {headers} \\\n"
        f"      -d '{request}' 127.0.0.1:{port} {method}/CreateSequenceStep\n\n"
        f"  .venv/bin/buf curl --protocol grpc --http2-prior-knowledge {headers} \\\n"
        f"      -d '{request}' http://127.0.0.1:{port}/{method}/CreateSequenceStep\n\n"
        "Ctrl-C ends it.",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
