"""docs/clients.md: its links lead somewhere, and its lines run as they are written."""

import json
import re
from pathlib import Path
from typing import Any

import grpc

from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub
from tests.clients.caller import Calls, request
from tests.clients.scripted_service import STEP_ID, Said, ScriptedService
from tests.clients.test_service_config import any_request
from tests.service.programs import ROOT, run

PAGE = (ROOT / "docs" / "clients.md").read_text()


def test_its_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^):#]+)", PAGE)
    assert len(targets) > 5
    assert [each for each in targets if not (ROOT / "docs" / each).exists()] == []


async def test_the_python_caller_starts_as_it_is_written(
    scripted: ScriptedService, tmp_path: Path
) -> None:
    (line,) = re.findall(r"^(\.venv/bin/python -m examples\.python .*)$", PAGE, re.MULTILINE)
    asked = request("4711")
    requests = tmp_path / "requests.jsonl"
    requests.write_text(json.dumps(asked))
    command = line.replace("50051", str(scripted.port)).replace(requests.name, str(requests))
    done = await run("sh", "-c", command, home=tmp_path)
    answered = Calls(done.status, done.errors, [json.loads(done.output)])
    assert (done.status, done.errors) == (0, "")
    assert answered.step_ids() == {asked["request_id"]: STEP_ID}


async def test_the_library_repeats_with_the_channel_as_it_is_written(
    scripted: ScriptedService,
) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    scripted.scripts["4711"] = [Said(grpc.StatusCode.UNAVAILABLE, pushback_ms="10")]
    names: dict[str, Any] = {"Path": lambda path: ROOT / path, "grpc": grpc.aio}
    names["address"] = f"127.0.0.1:{scripted.port}"
    exec(code, names)  # noqa: S102 - the page's own lines
    async with names["channel"] as channel:
        stub = SequenceStepServiceStub(channel)  # type: ignore[no-untyped-call]
        await stub.CreateSequenceStep(any_request())
    assert len(scripted.calls["4711"]) == 2
