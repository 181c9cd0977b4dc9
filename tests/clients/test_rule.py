"""Both callers keep to the rule for callers, against a server that says what it is told to."""

import re
from pathlib import Path
from typing import Any

from grpc import StatusCode as Code

from tests.clients.caller import Caller, request
from tests.clients.scripted_service import (
    REQUEST_BYTES_MAX,
    STEP_ID,
    Said,
    ScriptedService,
)

SOON = 0.1

REPEATED = {
    "provider-unavailable": Said(Code.UNAVAILABLE, "PROVIDER_UNAVAILABLE", SOON),
    "sequence-busy": Said(Code.ABORTED, "SEQUENCE_BUSY", SOON),
    "overloaded": Said(Code.RESOURCE_EXHAUSTED, "SERVICE_OVERLOADED", SOON),
    "unknown": Said(Code.UNKNOWN, "OUTCOME_UNKNOWN", SOON),
    "unknown-after-a-write": Said(Code.UNKNOWN, "OUTCOME_UNKNOWN", SOON, after_headers=True),
    "internal": Said(Code.INTERNAL, "INTERNAL", pushback_ms="-1"),
    "incomplete": Said(Code.FAILED_PRECONDITION, "STEP_INCOMPLETE", SOON),
    "another-domain": Said(Code.UNAUTHENTICATED, "TOKEN", domain="proxy.example"),
    "pushback-alone": Said(Code.UNAVAILABLE, pushback_ms="100"),
    "pushback-forbids-it-to-libraries": Said(Code.UNAVAILABLE, pushback_ms="-1"),
    "broken-details": Said(Code.UNKNOWN, are_details_broken=True),
    "broken-connection": Said(Code.UNAVAILABLE, after_headers=True),
    **{f"no-error-info-{code.name}": Said(code) for code in Code if code is not Code.OK},
}
"""What is said first; the second call is answered with the step."""

FINAL = {
    "field": Said(Code.INVALID_ARGUMENT, "INVALID_FIELD", fields=("step.order", "step.date")),
    "reused": Said(Code.FAILED_PRECONDITION, "REQUEST_ID_REUSED"),
    "no-such-sequence": Said(Code.NOT_FOUND, "SEQUENCE_NOT_FOUND"),
    "forbidden": Said(Code.PERMISSION_DENIED, "CUSTOMER_FORBIDDEN"),
    "too-short": Said(Code.DEADLINE_EXCEEDED, "DEADLINE_TOO_SHORT"),
    "incomplete-for-good": Said(Code.FAILED_PRECONDITION, "STEP_INCOMPLETE", pushback_ms="-1"),
    "removed": Said(Code.FAILED_PRECONDITION, "STEP_REMOVED"),
    "needs-a-person": Said(Code.UNKNOWN, "OUTCOME_UNKNOWN", pushback_ms="-1"),
}


async def test_what_may_succeed_is_repeated_with_the_same_id(
    caller: Caller, scripted: ScriptedService, tmp_path: Path
) -> None:
    scripted.scripts = {name: [said] for name, said in REPEATED.items()}
    asked = {name: request(name) for name in REPEATED}
    done = await caller.run(scripted.port, asked.values(), "--at-once", "50", home=tmp_path)
    assert (done.status, done.errors) == (0, "")
    assert done.step_ids() == {each["request_id"]: STEP_ID for each in asked.values()}
    for name, calls in scripted.calls.items():
        ids = [call.request.request_id for call in calls]
        assert ids == [asked[name]["request_id"]] * 2, name
        for call in calls:
            assert call.metadata["x-customer-id"] == "acme"
            assert call.metadata["x-provider-name"] == "outreach"
            assert 50 < call.seconds_left < 62  # It is rounded on the wire.
            assert call.request == calls[0].request


async def test_what_is_final_is_told_and_not_repeated(
    caller: Caller, scripted: ScriptedService, tmp_path: Path
) -> None:
    scripted.scripts = {name: [said] for name, said in FINAL.items()}
    asked = {name: request(name) for name in FINAL}
    done = await caller.run(scripted.port, asked.values(), "--at-once", "50", home=tmp_path)
    assert (done.status, done.errors) == (1, "")
    assert {name: len(calls) for name, calls in scripted.calls.items()} == dict.fromkeys(FINAL, 1)
    errors = {name: done.by_request_id()[asked[name]["request_id"]]["error"] for name in FINAL}
    for name, said in FINAL.items():
        assert errors[name] | {"code": ""} == {
            "code": "",
            "reason": said.reason,
            "message": said.message,
            "fields": dict.fromkeys(said.fields, "wrong"),
            "is_final": True,
        }


async def test_a_message_that_is_too_big_is_final(
    caller: Caller, scripted: ScriptedService, tmp_path: Path
) -> None:
    """The library says it, here by itself."""
    asked = request("big")
    asked["step"]["task_note"] = "x" * REQUEST_BYTES_MAX
    done = await caller.run(scripted.port, [asked], home=tmp_path)
    error = _only_error(done.outcomes)
    assert "larger than max" in error["message"]
    assert (error["reason"], error["is_final"], done.status) == ("", True, 1)


async def test_it_ends_when_the_wait_is_longer_than_its_time(
    caller: Caller, scripted: ScriptedService, tmp_path: Path
) -> None:
    scripted.scripts["busy"] = [Said(Code.ABORTED, "SEQUENCE_BUSY", 1000)] * 2
    options = ("--settle-seconds", "900")
    done = await caller.run(scripted.port, [request("busy")], *options, home=tmp_path)
    error = _only_error(done.outcomes)
    assert (error["reason"], error["is_final"], done.status) == ("SEQUENCE_BUSY", False, 1)
    assert len(scripted.calls["busy"]) == 1


async def test_an_id_is_made_and_told_where_none_is_given(
    caller: Caller, scripted: ScriptedService, tmp_path: Path
) -> None:
    asked = request("4711")
    del asked["request_id"]
    done = await caller.run(scripted.port, [asked], home=tmp_path)
    told = re.fullmatch(r"request_id ([-0-9a-f]{36}) for \{.*\}\n", done.errors)
    assert told is not None
    assert done.step_ids() == {told[1]: STEP_ID}
    assert [call.request.request_id for call in scripted.calls["4711"]] == [told[1]]


def _only_error(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    (outcome,) = outcomes
    error: dict[str, Any] = outcome["error"]
    return error
