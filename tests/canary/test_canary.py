"""Nothing that is marked gets where it should not, whatever callers, vendors and bugs do.

A credential gets nowhere but to its own provider. What a caller writes comes back to this caller
alone: as what was wrong with it, as the calls that `validate_only` plans, or in a sentence of the
vendor's that quotes it. What a vendor says is in answers, and in `operations show`. None of it is
logged, counted or traced, and none can be read in the database without the key.
"""

import asyncio
import base64
import hashlib
import json
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import grpc
import httpx

from sandbox.server import RunningSandbox
from service.bootstrap import Stores, opened_stores
from service.domain.operation import OperationState
from service.transport.log_setup import UNLISTED
from tests.canary import command_line, serve_with_bugs
from tests.canary.command_line import Ended
from tests.canary.databases import Database
from tests.canary.marks import Finder, Mark
from tests.canary.situations import Situation
from tests.canary.traffic import CALLER_TOKEN, Customer, Told, Traffic
from tests.service.conftest import environment_for
from tests.service.service_process import ServiceProcess, service_process
from tests.service.vendor_hold import held, hold
from tests.telemetry.collector import collector

KEYS: Final = [
    base64.b64encode((Mark.SECRET * 3).encode()[start : start + 32]).decode() for start in (0, 1)
]
DATABASE_PASSWORD: Final = "canary-database-password"
CLIENT_SECRETS: Final = ("outreach-secret", "salesloft-secret")

POLICY: Final = f"""
[callers.canary]
token_sha256 = ["{hashlib.sha256(CALLER_TOKEN.encode()).hexdigest()}"]
customers = ["*"]
"""

EVENTS: Final = {
    *("serving", "rpc", "stopping", "stopped", "store_failed", "uncaught", "library"),
    *("operation_without_caller", "operations_cut_off", "execution_failed"),
    *("connection_refreshed", "connection_expired", "connection_unreadable", "refresh_failed"),
}
"""What has to have been logged, or too little has happened."""

REASONS: Final = {
    *("", "INVALID_FIELD", "METADATA_INVALID", "PROVIDER_UNKNOWN", "REQUEST_TOO_LARGE"),
    *("CONNECTION_MISSING", "CONNECTION_EXPIRED", "CALLER_UNAUTHENTICATED"),
    *("PROVIDER_REJECTED", "PROVIDER_FORBIDDEN", "PROVIDER_RATE_LIMITED", "PROVIDER_UNAVAILABLE"),
    *("SEQUENCE_NOT_FOUND", "WARNINGS_AS_ERRORS", "OUTCOME_UNKNOWN", "STORE_UNAVAILABLE"),
    "INTERNAL",
}
"""How calls have to have ended, likewise; empty: well, or by a library."""

REQUEST_ID: Final = "5d0f9a3e-27c4-4b8a-9f16-e83b1c6d7042"
HELD_SECONDS: Final = 30.0
SETTLE_SECONDS: Final = "0.3"


async def test_nothing_that_is_marked_gets_out(
    sandbox: RunningSandbox, control: httpx.AsyncClient, database: Database, tmp_path: Path
) -> None:
    log_path = tmp_path / "log"
    program = (serve_with_bugs.__name__,)
    async with AsyncExitStack() as stack:
        traces = stack.enter_context(collector())
        environment = _environment(sandbox, database, tmp_path, traces.url)
        running = service_process(environment, log_path, program)
        process = await stack.enter_async_context(running)
        address = f"127.0.0.1:{await process.port()}"
        async with (
            opened_stores(process.settings) as stores,
            grpc.aio.insecure_channel(address) as channel,
        ):
            traffic = Traffic(control, stores, channel, type(database).__name__.lower())
            await traffic.send_all()
            await _damage(database, traffic)
            await _hold_up(database, traffic)
            in_doubt = await _leave_in_doubt(traffic)
            await _check_kept(stores, in_doubt)
            ended = await command_line.run_all(environment, in_doubt, REQUEST_ID)
            copies = database.copies()
            scraped = await _scraped(process)
            await _stop_in_the_middle(process, traffic)
    copies += database.copies()
    log = log_path.read_bytes()

    _check_that_it_happened(log, traffic.told)
    finder = Finder(_unmarked_secrets(traffic))
    assert finder.found(log) == []
    assert finder.found(scraped) == []
    assert traces.spans
    assert [found for each in traces.bodies for found in finder.found(each)] == []
    assert [found for copy in copies for found in finder.found(copy)] == []
    assert [found for each in traffic.told for found in finder.found(each.said, *_may(each))] == []
    assert [found for each in ended for found in _found_in_command(finder, each)] == []


def _environment(
    sandbox: RunningSandbox, database: Database, folder: Path, traces_url: str
) -> dict[str, str]:
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    vendors = ("OUTREACH", "SALESLOFT", "APOLLO")
    return environment_for(
        sandbox.base_url,
        folder,
        ENGAGEMENT_DATABASE=database.setting,
        ENGAGEMENT_KEYS=f"k1:{KEYS[0]},k0:{KEYS[1]}",
        ENGAGEMENT_POLICY=str(policy),
        ENGAGEMENT_LOG_LEVEL="debug",
        ENGAGEMENT_METRICS_LISTEN="127.0.0.1:0",
        ENGAGEMENT_TRACES="true",
        OTEL_EXPORTER_OTLP_ENDPOINT=traces_url,
        ENGAGEMENT_DRAIN_DELAY_SECONDS="0",
        ENGAGEMENT_GRACE_SECONDS="0.3",
        ENGAGEMENT_FINISH_SECONDS="0.3",
        **{f"ENGAGEMENT_{vendor}_SETTLE_SECONDS": SETTLE_SECONDS for vendor in vendors},
    )


async def _scraped(process: ServiceProcess) -> bytes:
    """Return all metrics."""
    port = (await process.line("metrics_served"))["port"]
    async with httpx.AsyncClient(trust_env=False) as prometheus:
        answer = await prometheus.get(f"http://127.0.0.1:{port}/metrics")
    assert b"engagement_provider_call_duration_seconds_count" in answer.content
    return answer.content


def _unmarked_secrets(traffic: Traffic) -> dict[str, str]:
    return {
        "key of Salesloft": traffic.salesloft_key,
        "database password": DATABASE_PASSWORD,
        **{f"client secret {number}": secret for number, secret in enumerate(CLIENT_SECRETS)},
        **{f"key {number}": key for number, key in enumerate(KEYS)},
    }


async def _damage(database: Database, traffic: Traffic) -> None:
    """Call for a customer whose stored credential was moved there from elsewhere."""
    customer = await traffic.customer("outreach")
    database.damage(customer.id)
    assert (await traffic.create(customer, Situation("outreach"))).reason == "INTERNAL"


async def _hold_up(database: Database, traffic: Traffic) -> None:
    """Call while the store cannot be used."""
    customer = await traffic.customer("apollo")
    with database.held():
        told = await traffic.create(customer, Situation("apollo"))
    assert told.reason == "STORE_UNAVAILABLE"


async def _leave_in_doubt(traffic: Traffic) -> Customer:
    """Make a request whose contents are kept, since nobody knows what became of it."""
    customer = await traffic.customer("salesloft")
    await customer.account.fault(method="POST", kind="no_id", hidden_seconds=3600)
    told = await traffic.create(customer, Situation("salesloft"), REQUEST_ID)
    assert told.reason == "OUTCOME_UNKNOWN"
    return customer


async def _check_kept(stores: Stores, customer: Customer) -> None:
    """Check that what is searched for is there, and with the key can be read."""
    stored = await stores.connections.read(customer.key)
    assert stored is not None
    assert stored.connection.credential == customer.account.connection().credential
    (summary,) = await stores.journal.show(customer.key, REQUEST_ID)
    assert summary.operation.state is OperationState.IN_DOUBT
    assert Mark.CONTENT in str([call.write.body for call in summary.operation.calls])


async def _stop_in_the_middle(process: ServiceProcess, traffic: Traffic) -> None:
    """Stop the service while a vendor has not answered to a write."""
    customer = await traffic.customer("outreach")
    await hold(customer.account, "POST", "/sequenceSteps$", seconds=HELD_SECONDS)
    asking = asyncio.create_task(traffic.create(customer, Situation("outreach")))
    await held(customer.account)
    process.process.send_signal(signal.SIGTERM)
    assert await process.ended() == 0
    await asking


def _check_that_it_happened(log: bytes, told: list[Told]) -> None:
    lines = [json.loads(line) for line in log.splitlines()]
    assert {each.reason for each in told} >= REASONS
    assert {line["event"] for line in lines} >= EVENTS
    assert [line for line in lines if UNLISTED in line] == []


def _may(told: Told) -> list[Mark]:
    """Return which marks a caller may get."""
    is_quoted = Mark.VENDOR.encode() in told.said
    shows_own_fields = told.is_dry or told.code == "INVALID_ARGUMENT"
    return [Mark.VENDOR, *([Mark.CONTENT] if is_quoted or shows_own_fields else [])]


def _found_in_command(finder: Finder, ended: Ended) -> list[str]:
    shows_trouble = ended.arguments[:2] == ("operations", "show")
    allowed = [Mark.VENDOR, Mark.CONTENT] if shows_trouble else []
    assert b"Traceback" not in ended.err
    return [
        f"{' '.join(ended.arguments)}: {found}"
        for written in (ended.out, ended.err)
        for found in finder.found(written, *allowed)
    ]
