"""A known series of requests, and what a scrape says of it."""

import asyncio
import socket
import time
import uuid
from importlib import metadata
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from service.application.journal_port import UnsettledCount
from service.domain.errors import Reason, ServiceError
from service.domain.warnings import ProblemType
from service.providers.registry import PROVIDERS
from service.telemetry import metrics
from service.transport import metrics_server
from service.transport.metrics_server import metrics_served
from tests.service.conftest import environment_for
from tests.service.grpc_failure import failure_of
from tests.service.service_process import run_to_its_end
from tests.service.step_messages import CALL, step
from tests.telemetry.stage import Samples, Stage, sample, scrape, stage

OUTREACH = {"provider": "outreach"}
RPC_SECONDS = "grpc_server_call_duration_seconds_count"
CALL_SECONDS = "engagement_provider_call_duration_seconds_count"
UNSETTLED = "engagement_unsettled_operations"
OLDEST = "engagement_oldest_unsettled_operation_timestamp_seconds"
METHOD = "engagement.v1.SequenceStepService/CreateSequenceStep"
SEQUENCES = {"sequences": [{"id": 4711, "count": 4}]}


def of_ours(samples: Samples) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return what is counted of requests: without the process's own, sums and buckets."""
    return {
        (name, labels): value
        for (name, labels), value in samples.items()
        if not name.startswith(("process_", "engagement_build"))
        and not name.endswith(("_sum", "_bucket"))
        and value
    }


async def fails(running: Stage, *arguments: Any, **request: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await running.client.create(*arguments, **request)
    return failure_of(caught.value).reason


async def test_a_series_of_requests_is_counted(tmp_path: Path) -> None:
    async with stage(tmp_path) as running:
        assert of_ours(await running.scrape()) == {}
        outreach = await running.vendors.account(running.client, "outreach", seed=SEQUENCES)
        create = running.client.create

        # Two reads and a write; and again, from the journal.
        request_id = str(uuid.uuid4())
        await create(outreach, step(CALL, name="Ring"), request_id=request_id)
        await create(outreach, step(CALL, name="Ring"), request_id=request_id)
        # Nothing asked of the provider; then two reads.
        assert await fails(running, outreach, step(CALL, order=0)) == "INVALID_FIELD"
        missing = await fails(running, outreach, step(CALL), sequence_id="999")
        assert missing == "SEQUENCE_NOT_FOUND"
        # A write that is applied and whose answer is lost; a look finds it.
        await outreach.fault(method="POST", path="/sequenceSteps$", kind="close", when="after")
        await create(outreach, step(CALL, task_note="Lost"), sequence_id="4712")
        # A token that has ended: two refused reads, one refresh, and all anew.
        await outreach.expire_access_tokens()
        await create(outreach, step(CALL), sequence_id="4713")

        samples = await running.scrape()

    assert of_ours(samples) == {
        sample("grpc_server_call_started_total", grpc_method=METHOD): 6,
        sample(RPC_SECONDS, grpc_method=METHOD, grpc_status="OK"): 4,
        sample(RPC_SECONDS, grpc_method=METHOD, grpc_status="INVALID_ARGUMENT"): 1,
        sample(RPC_SECONDS, grpc_method=METHOD, grpc_status="NOT_FOUND"): 1,
        sample("engagement_errors_total", **OUTREACH, reason="INVALID_FIELD"): 1,
        sample("engagement_errors_total", **OUTREACH, reason="SEQUENCE_NOT_FOUND"): 1,
        sample("engagement_replays_total", **OUTREACH): 1,
        sample("engagement_warnings_total", **OUTREACH, problem_type="FIELD_NOT_SUPPORTED"): 2,
        sample(CALL_SECONDS, **OUTREACH, kind="read", outcome="2xx"): 2 + 1 + 3 + 2,
        sample(CALL_SECONDS, **OUTREACH, kind="read", outcome="4xx"): 1 + 2,
        sample(CALL_SECONDS, **OUTREACH, kind="write", outcome="2xx"): 2,
        sample(CALL_SECONDS, **OUTREACH, kind="write", outcome="lost"): 1,
        sample(CALL_SECONDS, **OUTREACH, kind="refresh", outcome="2xx"): 1,
        sample("engagement_operations_ended_total", **OUTREACH, state="succeeded"): 3,
        sample("engagement_reconciliations_total", **OUTREACH, finding="found"): 1,
        sample("engagement_token_refreshes_total", **OUTREACH, outcome="refreshed"): 1,
    }


async def test_counters_are_there_before_their_first_event(tmp_path: Path) -> None:
    """Else nobody sees the first: the increase of a counter that begins at 1 is 0."""
    async with stage(tmp_path) as running:
        samples = await running.scrape()
    expected = {
        *(
            sample("engagement_errors_total", provider=provider, reason=reason)
            for provider in ("", *PROVIDERS)
            for reason in Reason
        ),
        *(
            sample(f"engagement_{name}_total", provider=provider, **{label: value})
            for provider in PROVIDERS
            for name, label, values in (
                ("warnings", "problem_type", ProblemType.__members__),
                ("operations_ended", "state", ("succeeded", "no_effect", "incomplete", "in_doubt")),
                ("reconciliations", "finding", metrics.FINDINGS),
                ("token_refreshes", "outcome", ("refreshed", "expired", "failed")),
            )
            for value in values
        ),
        *(
            sample(f"engagement_{name}_total", provider=provider)
            for provider in PROVIDERS
            for name in ("replays", "duplicates_suspected")
        ),
    }
    counters = {
        each for each in samples if each[0].startswith("engagement_") and each[0].endswith("_total")
    }
    assert counters == expected
    assert {samples[each] for each in expected} == {0}


async def test_what_is_not_settled_is_in_the_journal_s_gauges(tmp_path: Path) -> None:
    async with stage(tmp_path) as running:
        apollo = await running.vendors.account(running.client, "apollo")
        before = await running.scrape()
        await apollo.fault(method="POST", path="/emailer_steps$", kind="close", when="before")
        assert await fails(running, apollo, step(CALL)) == "OUTCOME_UNKNOWN"
        after = await running.scrape()

    for state in ("running", "incomplete", "in_doubt"):
        for next_look in ("scheduled", "none"):
            assert before[sample(UNSETTLED, state=state, next_look=next_look)] == 0
    in_doubt = {"state": "in_doubt", "next_look": "scheduled"}
    assert after[sample(UNSETTLED, **in_doubt)] == 1
    assert sample(OLDEST, **in_doubt) not in before
    assert 0 <= time.time() - after[sample(OLDEST, **in_doubt)] < 60
    ended = sample("engagement_operations_ended_total", provider="apollo", state="in_doubt")
    assert after[ended] == 1


async def test_without_the_journal_the_other_metrics_are_there() -> None:
    async def fail() -> tuple[UnsettledCount, ...]:
        raise ServiceError(Reason.STORE_UNAVAILABLE, "the database is down")

    with metrics_served("127.0.0.1:0", fail) as port:
        samples = await scrape(f"http://127.0.0.1:{port}/metrics")
    names = {name for name, _ in samples}
    assert "engagement_build_info" in names
    assert UNSETTLED not in names


async def test_a_probe_sees_whether_the_event_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked(port: int) -> int:
        return httpx.get(f"http://127.0.0.1:{port}/live", trust_env=False).status_code

    with metrics_served("127.0.0.1:0", no_counts) as port:
        assert await asyncio.to_thread(asked, port) == 200
        monkeypatch.setattr(metrics_server, "ALIVE_SECONDS_MAX", 0.1)
        assert asked(port) == 503  # Who asks stands in the loop's way.


async def no_counts() -> tuple[UnsettledCount, ...]:
    return ()


async def test_a_taken_metrics_port_is_told_and_nothing_serves(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        environment = environment_for(
            "http://127.0.0.1:9", tmp_path / "engagement.db", ENGAGEMENT_METRICS_LISTEN=taken
        )
        status, said = await run_to_its_end(environment, tmp_path / "log")
    assert status == 1
    assert said == f"Cannot serve metrics at {taken}: Address already in use.\n"


def test_the_version_is_the_distribution_s() -> None:
    version = metadata.version("sequence-step-service")
    assert metrics.REGISTRY.get_sample_value("engagement_build_info", {"version": version}) == 1
