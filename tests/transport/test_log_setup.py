"""What a process writes to standard error, which is set up once and for all: one process a test."""

import json
import os
import pty
import subprocess
import sys
from typing import Any

PROGRAM = """
import logging
import structlog
from service.transport.log_setup import configure_logging

log = structlog.get_logger()
configure_logging({level!r})
{body}
"""


def run(body: str, level: str, standard_error: int) -> subprocess.CompletedProcess[bytes]:
    """Run a program; it must write nothing to standard output."""
    program = PROGRAM.format(level=level, body=body)
    ended = subprocess.run(  # noqa: S603 - the program is ours
        [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, stderr=standard_error
    )
    assert ended.stdout == b""
    return ended


def written(body: str, level: str = "info") -> bytes:
    """Run a program and return what it wrote to a pipe."""
    return run(body, level, subprocess.PIPE).stderr


def lines(body: str, level: str = "info") -> list[dict[str, Any]]:
    """Run a program and return its lines, which must all be JSON."""
    return [json.loads(line) for line in written(body, level).splitlines()]


CRASH = """
def charge(credential):
    raise RuntimeError("no answer")

try:
    charge("hush")
except RuntimeError as error:
    log.error("rpc", exc_info=error)
"""


def test_a_line_is_one_json_object_with_time_and_level() -> None:
    (line,) = lines('log.info("rpc", customer="a\\nb", name="é", count=1, nothing=None)')

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "rpc",
        "level": "info",
        "customer": "a\nb",
        "name": "é",
        "count": 1,
        "nothing": None,
    }


def test_a_value_that_json_does_not_know_is_shown_and_loses_no_line() -> None:
    (line,) = lines('log.info("rpc", value=object, text="\\ud800")')

    assert line["value"] == "<class 'object'>"
    assert line["text"] == "\ud800"


def test_what_is_below_the_level_is_left_out() -> None:
    body = 'log.debug("a"); log.info("b"); log.warning("c")'

    assert [line["event"] for line in lines(body, "debug")] == ["a", "b", "c"]
    assert [line["event"] for line in lines(body, "info")] == ["b", "c"]
    assert [line["event"] for line in lines(body, "error")] == []


def test_a_traceback_has_no_values_of_variables() -> None:
    output = written(CRASH)
    line = json.loads(output)

    assert line["exception"].startswith("Traceback (most recent call last):")
    assert line["exception"].endswith("RuntimeError: no answer")
    assert "in charge" in line["exception"]
    assert b"hush" not in output


def test_libraries_are_heard_from_warnings_on_in_the_same_form() -> None:
    body = """
for name in ("httpx", "aiohttp.access", "asyncio", "anything"):
    logging.getLogger(name).info("GET %s", "https://api.example/?token=hush")
logging.getLogger("asyncio").warning("Executing took %.1f seconds", 0.5)
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("grpc._cython.cygrpc").exception("Unexpected %s", "error")
"""
    warned, failed = lines(body, "debug")

    assert (warned["event"], warned["level"], warned["logger"]) == ("library", "warning", "asyncio")
    assert warned["message"] == "Executing took 0.5 seconds"
    assert (failed["level"], failed["message"]) == ("error", "Unexpected error")
    assert failed["exception"].endswith("ZeroDivisionError: division by zero")


def test_a_terminal_gets_readable_lines() -> None:
    ours, theirs = pty.openpty()
    try:
        run('log.info("rpc", customer="acme")' + CRASH, "info", theirs)
        text = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)

    assert "acme" in text
    assert not text.startswith("{")
    assert "RuntimeError: no answer" in text
    assert "hush" not in text
