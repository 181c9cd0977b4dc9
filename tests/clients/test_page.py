"""docs/clients.md: its lines run as they are written."""

import json
import re
from pathlib import Path
from typing import Any

import grpc
import yaml

from engagement.v1.sequence_step_service_pb2_grpc import SequenceStepServiceStub
from tests.clients import typescript_program
from tests.clients.caller import Calls, request
from tests.clients.scripted_service import STEP_ID, Said, ScriptedService
from tests.clients.test_service_config import any_request
from tests.service.programs import ROOT, run

PAGE = (ROOT / "docs" / "clients.md").read_text()


async def test_the_python_caller_starts_as_it_is_written(
    scripted: ScriptedService, tmp_path: Path
) -> None:
    (line,) = re.findall(r"^(\.venv/bin/python -m examples\.python .*)$", PAGE, re.MULTILINE)
    await _starts(line, scripted, tmp_path)


async def test_the_typescript_caller_is_built_and_starts_as_it_is_written(
    scripted: ScriptedService, tmp_path: Path
) -> None:
    node, program = typescript_program.command()
    built = [tuple(word for word in build if word[0] != "-") for build in typescript_program.BUILDS]
    lines = re.findall(r"^(?:PATH=\S+ )?npm ([\w ]*\w)", PAGE, re.MULTILINE)
    assert [tuple(line.split()) for line in lines] == built
    (line,) = re.findall(r"^(node dist/.*)$", PAGE, re.MULTILINE)
    written = program.removeprefix(f"{typescript_program.TARGET}/")
    await _starts(line.replace(f"node {written}", f"{node} {program}"), scripted, tmp_path)


async def _starts(line: str, scripted: ScriptedService, folder: Path) -> None:
    asked = request("4711")
    requests = folder / "requests.jsonl"
    requests.write_text(json.dumps(asked))
    command = line.replace("50051", str(scripted.port)).replace(requests.name, str(requests))
    done = await run("sh", "-c", command, home=folder)
    answered = Calls(done.status, done.errors, [json.loads(done.output)])
    assert (done.status, done.errors) == (0, "")
    assert answered.step_ids() == {asked["request_id"]: STEP_ID}


def test_generated_code_goes_where_it_is_written() -> None:
    """What the plugins make, as far as they can be had, is in `test_generation`."""
    (folder,) = re.findall(r"^buf generate +# .*, into (\S+)$", PAGE, re.MULTILINE)
    plugins = yaml.safe_load((ROOT / "buf.gen.yaml").read_text())["plugins"]
    assert {plugin["out"].startswith(folder) for plugin in plugins} == {True}


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
