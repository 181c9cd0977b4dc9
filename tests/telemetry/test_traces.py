"""A request's trace as a tree, read from memory; the way to a collector; trace ids in the log."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from engagement.v1 import sequence_step_pb2 as step_pb2
from engagement.v1.sequence_step_service_pb2 import CreateSequenceStepRequest
from tests.service.conftest import Client, client_of, environment_for, settings_for
from tests.service.service_process import run_to_its_end
from tests.service.step_messages import AUTO_EMAIL, CALL, step
from tests.service.vendor_account import VendorAccount
from tests.telemetry.collector import collector
from tests.telemetry.stage import stage, vendors

METHOD = "engagement.v1.SequenceStepService/CreateSequenceStep"
TRACE_ID, CALLER_SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = ("traceparent", f"00-{TRACE_ID}-{CALLER_SPAN_ID}-01")
REQUEST_ID = "5d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042"


async def create(
    client: Client, account: VendorAccount, wanted: step_pb2.SequenceStep, *metadata: Any
) -> Any:
    whose = (("x-customer-id", account.name), ("x-provider-name", account.vendor))
    request = CreateSequenceStepRequest(
        sequence_id=account.sequence_id, step=wanted, request_id=REQUEST_ID
    )
    return await client.stub.CreateSequenceStep(request, metadata=(*whose, *metadata), timeout=30)


@dataclass(frozen=True)
class Recorded:
    """What one request left of spans."""

    rpc: ReadableSpan
    calls: tuple[ReadableSpan, ...]
    """Those right below it, in the order in which they began."""


def recorded(exporter: InMemorySpanExporter) -> Recorded:
    """Take what was recorded apart into a tree of two levels, and nothing else."""
    spans = exporter.get_finished_spans()
    exporter.clear()
    (rpc,) = (span for span in spans if span.name == METHOD)
    assert rpc.context is not None
    calls = [span for span in spans if span is not rpc]
    for span in calls:
        assert span.parent is not None
        assert span.parent.span_id == rpc.context.span_id
        assert span.context is not None
        assert span.context.trace_id == rpc.context.trace_id
    return Recorded(rpc, tuple(sorted(calls, key=lambda span: span.start_time or 0)))


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return dict(span.attributes or {})


def in_brief(span: ReadableSpan) -> tuple[str, object, StatusCode]:
    """Return a provider call's name, its status or error, and whether it counts as failed."""
    said = attributes(span)
    answer = said.get("http.response.status_code", said.get("error.type"))
    return span.name, answer, span.status.status_code


@asynccontextmanager
async def traced(folder: Path) -> AsyncIterator[tuple[Client, VendorAccount, InMemorySpanExporter]]:
    """Run a service in this process, with an account at Outreach, its spans kept in memory."""
    exporter = InMemorySpanExporter()
    recording = TracerProvider()
    recording.add_span_processor(SimpleSpanProcessor(exporter))
    async with vendors() as there:
        settings = settings_for(there.url, folder / "engagement.db")
        async with client_of(settings, recording) as client:
            yield client, await there.account(client, "outreach"), exporter


async def test_the_tree_of_a_request_with_a_lost_answer(tmp_path: Path) -> None:
    async with traced(tmp_path) as (client, account, exporter):
        await account.fault(method="POST", path="/sequenceTemplates$", kind="close", when="after")
        wanted = step(AUTO_EMAIL, template_id=account.template_id)
        await create(client, account, wanted, TRACEPARENT)
        tree = recorded(exporter)

    assert tree.rpc.kind is SpanKind.SERVER
    assert tree.rpc.context is not None
    assert tree.rpc.parent is not None
    assert format_trace_id(tree.rpc.context.trace_id) == TRACE_ID
    assert format_span_id(tree.rpc.parent.span_id) == CALLER_SPAN_ID
    assert attributes(tree.rpc) == {
        "rpc.system.name": "grpc",
        "rpc.method": METHOD,
        "rpc.response.status_code": "OK",
        "engagement.provider": "outreach",
        "engagement.request_id": REQUEST_ID,
    }
    base = "/outreach/api/v2"
    done = StatusCode.UNSET
    assert {in_brief(span) for span in tree.calls[:3]} == {
        (f"GET {base}/sequences/{{id}}", 200, done),
        (f"GET {base}/sequenceSteps", 200, done),
        (f"GET {base}/templates/{{id}}", 200, done),
    }
    assert [in_brief(span) for span in tree.calls[3:]] == [
        (f"POST {base}/sequenceSteps", 201, done),
        (f"POST {base}/sequenceTemplates", "lost", StatusCode.ERROR),
        (f"GET {base}/sequenceTemplates", 200, done),
    ]
    write = attributes(tree.calls[3])
    assert tree.calls[3].kind is SpanKind.CLIENT
    assert write["url.full"].endswith(f"{base}/sequenceSteps")
    assert write["server.address"] == "127.0.0.1"
    assert (write["engagement.provider"], write["engagement.call"]) == ("outreach", "write")


async def test_what_was_not_asked_for_well_is_no_fault_of_the_server(tmp_path: Path) -> None:
    async with traced(tmp_path) as (client, account, exporter):
        with pytest.raises(grpc.aio.AioRpcError):
            await create(client, account, step(CALL, order=0))
        tree = recorded(exporter)
    assert tree.calls == ()
    assert tree.rpc.parent is None
    assert tree.rpc.status.status_code is StatusCode.UNSET
    said = attributes(tree.rpc)
    assert said["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert said["error.type"] == "INVALID_FIELD"


async def test_providers_are_not_told_of_the_trace(tmp_path: Path) -> None:
    async with traced(tmp_path) as (client, account, _):
        await create(client, account, step(CALL), TRACEPARENT, ("baggage", "user=jo"))
        sent = await account.requests()
    assert sent
    headers = {name.lower() for request in sent for name in request["headers"]}
    assert headers.isdisjoint({"traceparent", "tracestate", "baggage"})


async def test_log_lines_have_the_caller_s_trace_id(tmp_path: Path) -> None:
    """Without an SDK too; what is malformed counts as not given."""
    async with stage(tmp_path) as running:
        account = await running.vendors.account(running.client, "outreach")
        malformed = ("traceparent", "00-zz-00-01")
        for given in ((TRACEPARENT,), (malformed,), ()):
            await create(running.client, account, step(CALL), *given)
        lines = [line for line in running.service.log() if line["event"] == "rpc"]
    assert [line.get("trace_id") for line in lines] == [TRACE_ID, None, None]
    assert [line.get("span_id") for line in lines] == [CALLER_SPAN_ID, None, None]


async def test_traces_reach_a_collector_with_the_log_s_ids(tmp_path: Path) -> None:
    with collector() as received:
        settings = {"ENGAGEMENT_TRACES": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        async with stage(tmp_path, **settings) as running:
            account = await running.vendors.account(running.client, "outreach")
            await create(running.client, account, step(CALL), TRACEPARENT)
            line = await running.service.line("rpc")
            running.service.process.terminate()
            assert await running.service.ended() == 0
    (resource,) = {
        tuple((each.key, each.value.string_value) for each in spans.resource.attributes)
        for request in received.requests
        for spans in request.resource_spans
    }
    assert ("service.name", "sequence-step-service") in resource
    assert ("service.version", version("sequence-step-service")) in resource
    names = {span.name: span for span in received.spans}
    assert names.keys() == {
        METHOD,
        "GET /outreach/api/v2/sequences/{id}",
        "GET /outreach/api/v2/sequenceSteps",
        "POST /outreach/api/v2/sequenceSteps",
    }
    assert {span.trace_id.hex() for span in received.spans} == {TRACE_ID} == {line["trace_id"]}
    assert names[METHOD].span_id.hex() == line["span_id"]


async def test_a_collector_that_does_not_answer_is_not_waited_for_at_the_end(
    tmp_path: Path,
) -> None:
    """The kernel takes its connections, and nobody reads from them."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = {
            "ENGAGEMENT_TRACES": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "600",
        }
        async with stage(tmp_path, **settings) as running:
            account = await running.vendors.account(running.client, "outreach")
            await create(running.client, account, step(CALL), TRACEPARENT)
            running.service.process.terminate()
            assert await running.service.ended() == 0
        assert running.service.log()[-1]["event"] == "traces_dropped"


async def test_variables_that_opentelemetry_does_not_take_are_told(tmp_path: Path) -> None:
    """With the status of settings that are wrong, since to start again would not help."""
    environment = environment_for(
        "http://127.0.0.1:9",
        tmp_path / "engagement.db",
        ENGAGEMENT_TRACES="true",
        OTEL_BSP_MAX_QUEUE_SIZE="0",
    )
    status, said = await run_to_its_end(environment, tmp_path / "log")
    assert status == 2
    assert said.startswith("OpenTelemetry does not take its variables: ")
    assert said.count("\n") == 1
