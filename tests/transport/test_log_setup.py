"""What a process writes to standard error, which is set up once and for all: one process a test."""

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest

PROGRAM = """
import logging
import structlog
from service.transport.log_setup import configure_logging

log = structlog.get_logger()
configure_logging({level!r})
{body}
"""


def run(
    body: str, level: str, standard_error: int, status: int = 0
) -> subprocess.CompletedProcess[bytes]:
    """Run a program; it must write nothing to standard output."""
    program = PROGRAM.format(level=level, body=body)
    ended = subprocess.run(  # noqa: S603 - the program is ours
        [sys.executable, "-c", program], check=False, stdout=subprocess.PIPE, stderr=standard_error
    )
    assert (ended.returncode, ended.stdout) == (status, b"")
    return ended


def written(body: str, level: str = "info", status: int = 0) -> bytes:
    """Run a program and return what it wrote to a pipe."""
    return run(body, level, subprocess.PIPE, status).stderr


def lines(body: str, level: str = "info", status: int = 0) -> list[dict[str, Any]]:
    """Run a program and return its lines, which must all be JSON."""
    return [json.loads(line) for line in written(body, level, status).splitlines()]


CRASH = """
class Lost(Exception):
    pass

Lost.__module__ = "service.made_up"

def charge(credential):
    {}["hush-key"]

try:
    try:
        charge("hush-local")
    except KeyError as error:
        raise Lost("no answer") from error
except Lost as error:
    log.error("rpc", exc_info=error)
"""


def test_a_line_is_one_json_object_with_time_and_level() -> None:
    (line,) = lines('log.info("rpc", customer="acme", caller="é", warnings=1, provider=None)')

    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "rpc",
        "level": "info",
        "customer": "acme",
        "caller": "é",
        "warnings": 1,
        "provider": None,
    }


def test_an_event_that_is_not_listed_is_logged_by_its_name() -> None:
    (line,) = lines('log.info("made_up", customer="hush", exc_info=ValueError("hush"))')

    assert line.pop("timestamp")
    assert line == {"event": "made_up", "level": "info", "unlisted": True}


def test_a_field_that_is_not_listed_is_dropped_and_counted() -> None:
    (line,) = lines('log.info("serving", port=1, subject="hush", body="hush", exc_info=True)')

    assert line.pop("timestamp")
    assert line == {"event": "serving", "level": "info", "port": 1, "unlisted": 2}


def test_a_text_is_short_and_on_one_line() -> None:
    (line,) = lines(
        'log.info("rpc", customer="a\\r\\nb\\x1b[2J\\x9b\\u2028\\u202e\\ud800", '
        'provider="x" * 100_000, code=["y" * 1_000, "z\\n"] * 50)'
    )

    assert line["customer"] == "a\ufffd\ufffdb\ufffd[2J" + 4 * "\ufffd"
    assert line["provider"] == "x" * 399 + "…"
    assert line["code"] == ["y" * 399 + "…", "z\ufffd"] * 10


def test_a_value_that_is_neither_text_nor_number_is_its_type() -> None:
    (line,) = lines(
        "from service.domain.connection import Secret\n"
        'log.info("rpc", customer=Secret("hush"), provider=b"hush", code={"hush": 1}, '
        'reason=ValueError("hush"), method=object)'
    )

    values = ("<Secret>", "<bytes>", "<dict>", "<ValueError>", "<type>")
    fields = ("customer", "provider", "code", "reason", "method")
    assert tuple(line[field] for field in fields) == values


def test_what_is_below_the_level_is_left_out() -> None:
    body = 'log.debug("serving"); log.info("stopping"); log.warning("stopped")'

    assert [line["event"] for line in lines(body, "debug")] == ["serving", "stopping", "stopped"]
    assert [line["event"] for line in lines(body, "info")] == ["stopping", "stopped"]
    assert [line["event"] for line in lines(body, "error")] == []


def test_an_exception_is_told_without_variables_and_foreign_words() -> None:
    output = written(CRASH)
    line = json.loads(output)

    first, led_to = line["exception"].split("\n\nwhich led to:\n\n")
    for each in (first, led_to):
        assert each.startswith("Traceback (most recent call last):")
    assert first.endswith("\nKeyError")
    assert "in charge" in first
    assert led_to.endswith("service.made_up.Lost: no answer")
    assert b"hush" not in output


@pytest.mark.parametrize(
    "raised",
    [
        'ServiceError(Reason.PROVIDER_REJECTED, "hush", metadata={"a": "hush"})',
        'JournalFailed(ServiceError(Reason.STORE_UNAVAILABLE, "hush"))',
        'ExceptionGroup("hush", [ValueError("hush"), ExceptionGroup("hush", [OSError("hush")])])',
        'UnicodeDecodeError("utf-8", b"hush", 0, 1, "hush")',
        'FileNotFoundError(2, "hush", "hush")',
        'httpx.InvalidURL("https://api.example/?key=hush")',
        'json.JSONDecodeError("hush", "hush", 0)',
        'psycopg.ProgrammingError("invalid dsn: postgresql://me:hush@db")',
        'NotSent("TLS failed\\n\\x1b[2J")',
    ],
)
def test_no_message_is_told_that_may_quote(raised: str) -> None:
    """Neither of the exception itself, nor of what it was raised from or while handling."""
    program = f"""
import httpx, json, psycopg
from service.application.journal_entry import JournalFailed
from service.domain.errors import Reason, ServiceError
from service.domain.provider_call import NotSent
error = {raised}
error.add_note("hush")
for chained in (None, error):
    try:
        try:
            raise error
        except BaseException:
            if chained:
                raise RuntimeError("hush") from chained
            raise RuntimeError("hush")
    except RuntimeError:
        log.exception("recovery_failed")
log.error("recovery_failed", exc_info=error)
log.error("recovery_failed", exc_info=(type(error), error, None))
"""
    output = written(program)

    name = raised.partition("(")[0].rpartition(".")[2]
    assert output.count(name.encode()) >= 4
    assert b"hush" not in output
    assert b"\x1b" not in output
    assert b"\\u001b" not in output


def test_libraries_are_heard_from_warnings_on_in_the_same_form() -> None:
    body = """
for name in ("httpx", "asyncio", "anything"):
    logging.getLogger(name).info("GET %s", "https://api.example/?token=hush")
logging.getLogger("asyncio").warning("Executing %r took %.1f seconds", ["hush"], 0.5)
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("grpc._cython.cygrpc").exception("Unexpected %s", "hush")
"""
    warned, failed = lines(body, "debug")

    assert (warned["event"], warned["level"], warned["logger"]) == ("library", "warning", "asyncio")
    assert warned["message"] == "Executing … took 0.500 seconds"
    assert (failed["level"], failed["message"]) == ("error", "Unexpected …")
    assert failed["exception"].endswith("ZeroDivisionError")


def test_the_provider_client_is_silent_whatever_happens() -> None:
    body = """
for name in ("httpx", "httpcore.connection"):
    logging.getLogger(name).critical("Can not load cookies: %s", "hush")
"""
    assert lines(body, "debug") == []


def test_of_what_a_library_fills_in_only_numbers_are_told() -> None:
    body = """
pool = logging.getLogger("psycopg.pool")
pool.warning("error connecting in %r: %s", "hush", ValueError("hush"))
pool.warning("100%% of %(hush)s", {"hush": "hush"})
pool.warning("%d of %s", "hush")
pool.warning(ValueError("hush"))
logging.getLogger("made_up").warning(f"failed for hush")
"""
    assert [line["message"] for line in lines(body)] == [
        "error connecting in …: ValueError",
        "100… of …",
        "… of …",
        "…",
        "…",
    ]


def test_what_asyncio_says_of_a_failure_has_nothing_of_its_data() -> None:
    body = """
import asyncio, gc

async def fail(text):
    raise ValueError(text)

def call(text):
    raise ValueError(text)

async def main():
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(fail("hush"), name="hush")
    future = loop.create_future()
    future.set_exception(ValueError("hush"))
    loop.call_soon(call, "hush")
    loop.call_exception_handler({"message": "Fatal write error: hush", "hush": "hush"})
    await asyncio.sleep(0.01)
    del task, future
    gc.collect()

asyncio.run(main())
"""
    found = lines(body, "debug")

    assert {line["message"] for line in found} == {
        "Task exception was never retrieved…",
        "Future exception was never retrieved…",
        "Exception in callback call…",
        "Fatal write error…",
    }
    told = [line["exception"].splitlines()[-1] for line in found if "exception" in line]
    assert told == ["ValueError"] * 3
    assert "hush" not in str(found)


@pytest.mark.parametrize(
    ("body", "origin"),
    [
        ('threading.Thread(target=int, args=("hush",)).start()', "thread"),
        ("Dropped()", "nowhere to raise"),
        ('int("hush")', "main"),
    ],
)
def test_what_nothing_catches_is_logged_like_the_rest(body: str, origin: str) -> None:
    program = f"""
import threading

class Dropped:
    def __del__(self):
        int("hush")

    def __repr__(self):
        return "hush"

{body}
"""
    (line,) = lines(program, status=1 if origin == "main" else 0)

    assert (line["event"], line["level"], line["origin"]) == ("uncaught", "critical", origin)
    assert line["exception"].endswith("ValueError")
    assert "hush" not in str(line)


def test_a_warning_of_python_is_told_by_its_kind() -> None:
    (line,) = lines('import warnings; warnings.warn("hush", UserWarning)')

    assert (line["logger"], line["level"]) == ("warnings", "warning")
    assert line["message"].startswith("UserWarning at ")
    assert "hush" not in str(line)


def test_a_terminal_gets_readable_lines() -> None:
    ours, theirs = pty.openpty()
    try:
        run('log.info("rpc", customer="acme\\x1b[2J")' + CRASH, "info", theirs)
        text = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)

    assert "acme\ufffd[2J" in text
    assert "\x1b[2J" not in text
    assert not text.startswith("{")
    assert "service.made_up.Lost: no answer" in text
    assert "hush" not in text
