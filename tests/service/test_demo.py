"""The demo as a person starts it: processes of its own, from nothing to three steps.

Its fixed ports may be in use on the machine that runs the tests, so here it gets others.
"""

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.service.programs import PROGRAM_SECONDS_MAX, ROOT, Finished, environment_of, run

DEMO = (sys.executable, "-m", "examples.demo")
_SERVE_CODE = (
    "import sys; from examples import demo; "
    "demo.SERVICE_PORT, demo.SANDBOX_PORT = int(sys.argv[1]), int(sys.argv[2]); "
    "sys.argv[1:] = ['--serve']; sys.exit(demo.main())"
)
SERVE = (sys.executable, "-c", _SERVE_CODE)
"""`python -m examples.demo --serve`, with the ports of the service and the sandbox after it."""

STEPS = {
    "outreach": ("90210", {"FIELD_NOT_SUPPORTED"}),
    "salesloft": ("987", {"TEMPLATE_COPIED"}),
    "apollo": ("[0-9a-f]{24}", {"FIELD_NOT_SUPPORTED", "TEMPLATE_COPIED", "NEEDS_APPROVAL"}),
}
"""At each provider, the form of the new step's id, and the warnings."""


async def test_it_adds_a_step_at_each_provider(tmp_path: Path) -> None:
    finished = await run(*DEMO, home=tmp_path)
    assert (finished.status, finished.errors) == (0, "")
    _shows_three_steps(finished.output)


async def test_it_uses_a_sandbox_that_runs_already(tmp_path: Path) -> None:
    """Twice, since it makes accounts of its own; and says so when the sandbox is gone."""
    async with _sandbox(tmp_path) as url:
        for _ in range(2):
            finished = await run(*DEMO, home=tmp_path, environment={"SANDBOX_URL": url})
            assert (finished.status, finished.errors) == (0, "")
            _shows_three_steps(finished.output)
    finished = await run(*DEMO, home=tmp_path, environment={"SANDBOX_URL": url})
    _failed_clearly(finished, f"demo failed: no sandbox answers at {url}")


async def test_it_serves_until_ctrl_c_and_says_how_to_call_it(tmp_path: Path) -> None:
    service_port, sandbox_port = _free_port(), _free_port()
    demo = await asyncio.create_subprocess_exec(
        *SERVE,
        *(str(service_port), str(sandbox_port)),
        cwd=ROOT,
        env=environment_of(tmp_path),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # A group of its own, to which Ctrl-C is sent as by a terminal.
    )
    assert demo.stdout is not None
    try:
        shown = await asyncio.wait_for(
            demo.stdout.readuntil(b"Ctrl-C ends it."), PROGRAM_SECONDS_MAX
        )
        _shows_three_steps(shown.decode())
        assert f"Serving at 127.0.0.1:{service_port}" in shown.decode()
        commands = re.findall(r"^  (\.venv/bin/(?:.+\\\n)*.+)$", shown.decode(), re.MULTILINE)
        assert [command.split()[0] for command in commands] == [
            ".venv/bin/grpcurl",
            ".venv/bin/buf",
        ]
        for command in commands:
            called = await run("sh", "-c", command, home=tmp_path)
            assert (called.status, called.errors) == (0, "")
            assert json.loads(called.output)["id"]
        os.killpg(demo.pid, signal.SIGINT)
        _, errors = await asyncio.wait_for(demo.communicate(), PROGRAM_SECONDS_MAX)
    finally:
        if demo.returncode is None:
            os.killpg(demo.pid, signal.SIGKILL)
            await demo.wait()
    assert demo.returncode == 0
    assert b"Traceback" not in errors
    with pytest.raises(ProcessLookupError):  # Nothing that it started is left.
        os.killpg(demo.pid, 0)


async def test_a_taken_service_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        finished = await run(*SERVE, port, str(_free_port()), home=tmp_path)
    _failed_clearly(finished, "demo failed: the service did not start")
    assert f"Cannot listen at 127.0.0.1:{port}: another process has that port" in finished.errors


async def test_a_taken_sandbox_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        finished = await run(*SERVE, str(_free_port()), port, home=tmp_path)
    _failed_clearly(finished, f"demo failed: the sandbox did not start on port {port}")


def _shows_three_steps(output: str) -> None:
    for vendor, (step_id, problem_types) in STEPS.items():
        section = output.partition(f"── {vendor} ──")[2]
        answer, _ = json.JSONDecoder().raw_decode(section.partition("answer  ")[2])
        assert re.fullmatch(step_id, answer["id"])
        assert {warning["problem_type"] for warning in answer["warnings"]} == problem_types


def _failed_clearly(finished: Finished, last_line: str) -> None:
    assert finished.status == 1
    assert finished.errors.splitlines()[-1].startswith(last_line)
    assert "Traceback" not in finished.errors
    assert "answer" not in finished.output


@asynccontextmanager
async def _sandbox(home: Path) -> AsyncIterator[str]:
    """Start the sandbox as its README says; yields its URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sandbox", "--port", "0"),
        cwd=ROOT,
        env=environment_of(home),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), PROGRAM_SECONDS_MAX)
        yield line.decode().split()[-1]
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), PROGRAM_SECONDS_MAX)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
