"""The README: its lines run as they are written, and its table is true."""

import asyncio
import json
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from engagement.v1 import sequence_step_pb2 as step_pb2
from service.bootstrap import opened_stores
from tests.service.conftest import Client, NewAccount
from tests.service.programs import PROGRAM_SECONDS_MAX, ROOT, environment_of, run
from tests.service.step_fates import ALL, EMAILS, FATES
from tests.service.step_messages import CALL, LINKEDIN, TASK

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
CALLS = [block for block in BLOCKS if "CreateSequenceStep" in block]
[CAPABILITIES] = [block for block in BLOCKS if "ListProviderCapabilities" in block]

ROW = r"^\| `([\w.]+)` \| (.*) \| (.*) \| (.*) \|$"
"""A row of the table of providers: the field, and a cell for each provider."""

TYPES = {"e-mails": EMAILS, "calls": (CALL,), "tasks": (TASK,), "LinkedIn": (LINKEDIN,)}
"""How the table calls types of steps."""


@pytest.mark.parametrize("block", CALLS, ids=lambda block: " ".join(block.split()[:2]))
async def test_a_call_runs_as_it_is_written(
    block: str, client: Client, new_account: NewAccount, tmp_path: Path
) -> None:
    """With the demo's customer, who has a connection at each provider."""
    for vendor in ("outreach", "salesloft", "apollo"):
        account = await new_account(vendor)
        async with opened_stores(client.settings) as stores:
            await stores.connections.put(replace(account, name="demo").connection())
    command = block.replace("127.0.0.1:50051", f"127.0.0.1:{client.port}")
    finished = await run("sh", "-c", command, home=tmp_path)
    assert (finished.status, finished.errors) == (0, "")
    assert json.loads(finished.output)["id"]


async def test_capabilities_are_asked_for_as_it_is_written(client: Client, tmp_path: Path) -> None:
    command = CAPABILITIES.replace("127.0.0.1:50051", f"127.0.0.1:{client.port}")
    finished = await run("sh", "-c", command, home=tmp_path)
    assert (finished.status, finished.errors) == (0, "")
    [provider] = json.loads(finished.output)["providers"]
    assert provider["provider"] == "apollo"
    assert len(provider["step_types"]) == len(ALL)


def test_both_clients_are_shown() -> None:
    assert [call.split()[0] for call in CALLS] == [".venv/bin/grpcurl", ".venv/bin/buf"]


async def test_the_service_starts_as_it_is_written(tmp_path: Path) -> None:
    [block] = [block for block in BLOCKS if "sequence-step-service serve" in block]
    *lines, serve = block.strip().splitlines()
    settings = {
        "ENGAGEMENT_LISTEN": "127.0.0.1:0",
        "ENGAGEMENT_DATABASE": str(tmp_path / "engagement.db"),
        "ENGAGEMENT_DRAIN_DELAY_SECONDS": "0",
    }
    service = await asyncio.create_subprocess_exec(
        *("bash", "-e", "-c", "\n".join([*lines, f"exec {serve}"])),
        cwd=ROOT,
        env=environment_of(tmp_path, settings),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert service.stdin is not None
    assert service.stdout is not None
    service.stdin.write(b'{"credential": "what-a-person-would-type"}')
    service.stdin.close()
    try:
        line = await asyncio.wait_for(service.stdout.readline(), PROGRAM_SECONDS_MAX)
        await _is_serving(json.loads(line)["port"])
        service.send_signal(signal.SIGTERM)
        await asyncio.wait_for(service.communicate(), PROGRAM_SECONDS_MAX)
    finally:
        if service.returncode is None:
            service.kill()
            await service.wait()
    assert service.returncode == 0


async def _is_serving(port: int) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=PROGRAM_SECONDS_MAX)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_what_the_table_says_is_dropped_or_refused_is() -> None:
    table = {
        (vendor, kind, field): word
        for field, *cells in re.findall(ROW, README, re.MULTILINE)
        for vendor, cell in zip(("outreach", "salesloft", "apollo"), cells, strict=True)
        for kind, word in _words(cell).items()
    }
    fates = {
        (vendor, kind, fate.path.removeprefix("step.")): fate.support
        for vendor, vendor_fates in FATES.items()
        for fate in vendor_fates
        for kind in fate.types
    }
    compared = {
        (vendor, kind, field): support
        for (vendor, kind, field), support in fates.items()
        if field != "template.content.subject"  # A part that every message has: no row.
    }
    assert {key: _is_lost(table[key]) for key in compared} == {
        key: _is_lost(support) for key, support in compared.items()
    }


def _words(cell: str) -> dict[step_pb2.StepType, str]:
    """Read `native (calls, tasks: dropped)`: the word for each type."""
    word, _, rest = cell.removesuffix(")").partition(" (")
    words = dict.fromkeys(ALL, word)
    if rest:
        names, other = rest.split(": ")
        words |= {kind: other for name in names.split(", ") for kind in TYPES[name]}
    return words


def _is_lost(word: str) -> bool:
    return word in {"dropped", "refused"}
