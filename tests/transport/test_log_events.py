"""The table of events is what the code logs: every event, every field, and no others."""

import ast
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry.trace import INVALID_SPAN

from service.transport.access_log import CallEntry
from service.transport.log_events import EVENTS
from service.transport.log_setup import listed_alone

SERVICE = Path(__file__).parents[2] / "service"
METHODS = {"debug", "info", "warning", "error", "critical", "exception", "log"}
LOGGERS = {"_log", "log", "self._log"}
WRAPPER = "_say"
"""Where a file has a function of this name, it logs an event whose level and name it is given."""


def log_calls() -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of a logger, with its place for people."""
    for path in sorted(SERVICE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _is_logging(node.func) and not _is_passed_on(node):
                yield f"{path.name}:{node.lineno}", node


def _is_passed_on(call: ast.Call) -> bool:
    """Whether it is what a wrapper does; the calls of that are looked at."""
    return [ast.unparse(argument) for argument in call.args] == ["event"]


def _is_logging(called: ast.expr) -> bool:
    match called:
        case ast.Attribute(value=logger, attr=method):
            return ast.unparse(logger) in LOGGERS and method in METHODS
        case ast.Call(func=ast.Name(id="getattr"), args=[logger, *_]):
            return ast.unparse(logger) in LOGGERS
        case ast.Name(id="_say"):
            return True
        case _:
            return False


CALLS = dict(log_calls())


def _event(call: ast.Call) -> str:
    is_level_first = ast.unparse(call.func) in {"self._log.log", WRAPPER}
    named = call.args[1 if is_level_first else 0]
    assert isinstance(named, ast.Constant), "an event is named where it is logged"
    assert isinstance(named.value, str)
    assert len(call.args) == 1 + is_level_first, "nothing is filled into an event's name"
    return named.value


@pytest.mark.parametrize("place", CALLS)
def test_what_is_logged_is_listed(place: str) -> None:
    call = CALLS[place]
    listed = EVENTS[_event(call)].fields

    given = {keyword.arg for keyword in call.keywords if keyword.arg is not None}
    if isinstance(call.func, ast.Attribute) and call.func.attr == "exception":
        given.add("exc_info")
    if "exc_info" in given:
        given = given - {"exc_info"} | {"exception"}
    assert given <= set(listed)


def test_what_is_listed_is_logged() -> None:
    assert {_event(call) for call in CALLS.values()} == set(EVENTS)


def test_no_other_way_of_printing_is_used() -> None:
    """But at the command line, whose answers are marked as such."""
    commands = {"__main__.py", "output.py", "keys.py", "tokens.py"}
    for path in SERVICE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"logging.getLogger", "warnings.warn"} or (
                    path.name == "log_setup.py"
                ), path
                assert called != "print" or path.name in commands, path


def test_all_fields_of_the_access_log_are_listed() -> None:
    """They are named there, where the table cannot be compared with a call."""
    fields = CallEntry("method", None, INVALID_SPAN)._fields(grpc.StatusCode.OK, None, 0.0)

    line = listed_alone(None, "info", {"event": "rpc", **fields})

    assert set(line) == {"event", *EVENTS["rpc"].fields} - {"exception"}


def test_the_others_are_listed_where_they_are_spread() -> None:
    """`**` hides names from a reader of the code: those are these, and log what the table has."""
    spread = {
        _event(call) for call in CALLS.values() for keyword in call.keywords if keyword.arg is None
    }

    assert spread == {
        "rpc",
        "operation_without_caller",
        "refresh_failed",
        "connection_refreshed",
        "connection_expired",
    }
