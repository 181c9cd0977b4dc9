"""Adds steps from the command line: a request on each line of standard input, as JSON.

Prints a line of JSON for each as it is settled: the answer, with the step's id and warnings, or the
error. A request without `request_id` gets one, which is told on standard error before the first
call: keep it, and give it when you run this again. Exit status: 0, or 1 if one failed.
"""

import argparse
import json
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import grpc
from google.protobuf import json_format

from engagement.v1 import sequence_step_service_pb2 as service_pb2
from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub
from examples.python.create_step import SETTLE_SECONDS, StepFailed, Tenant, create_step

CHANNEL_OPTIONS = (
    # Each call goes to the next replica; without it all go to the first address.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.keepalive_time_ms", 30_000),  # The service takes no more than one in 10 seconds.
)


def main() -> int:
    """Read the requests, make the calls, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.python", description=__doc__)
    parser.add_argument("address", help="such as 127.0.0.1:50051, or dns:///host:port")
    parser.add_argument("--customer", required=True)
    parser.add_argument("--provider", required=True)
    parser.add_argument("--at-once", type=int, default=1, help="how many calls run side by side")
    parser.add_argument("--settle-seconds", type=float, default=SETTLE_SECONDS)
    options = parser.parse_args()
    requests = [_request(line) for line in sys.stdin if line.strip()]
    with (
        grpc.insecure_channel(options.address, CHANNEL_OPTIONS) as channel,
        ThreadPoolExecutor(options.at_once) as calls,
    ):
        stub = SequenceStepServiceStub(channel)  # type: ignore[no-untyped-call]
        running = [calls.submit(_outcome, stub, request, options) for request in requests]
        outcomes = [_shown(future.result()) for future in as_completed(running)]
    return 1 if any("error" in outcome for outcome in outcomes) else 0


def _request(line: str) -> service_pb2.CreateSequenceStepRequest:
    request = json_format.Parse(line, service_pb2.CreateSequenceStepRequest())
    if not request.request_id:
        request.request_id = str(uuid.uuid4())
        print(f"request_id {request.request_id} for {line.strip()}", file=sys.stderr, flush=True)
    return request


def _outcome(
    stub: Any, request: service_pb2.CreateSequenceStepRequest, options: argparse.Namespace
) -> dict[str, Any]:
    tenant = Tenant(options.customer, options.provider)
    try:
        answer = create_step(stub, request, tenant, settle_seconds=options.settle_seconds)
    except StepFailed as failed:
        failure = failed.failure
        error = {
            "code": failure.code.name,
            "reason": failure.reason,
            "message": failure.message,
            "fields": failure.fields,
            "is_final": failed.is_final,
        }
        return {"request_id": request.request_id, "error": error}
    shown = json_format.MessageToDict(answer, preserving_proto_field_name=True)
    return {"request_id": request.request_id, "answer": shown}


def _shown(outcome: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(outcome), flush=True)
    return outcome


if __name__ == "__main__":
    sys.exit(main())
