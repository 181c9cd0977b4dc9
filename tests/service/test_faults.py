"""Every fault at every request of every flow: what the caller gets, and what is left.

The rows run side by side, each on an account of its own, since many of them wait for the looks
that the service takes after a lost answer.
"""

import asyncio
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

import httpx
import pytest

from service.bootstrap import opened_stores
from tests.service.conftest import Client
from tests.service.fault_outcome import Outcome, messages_of, outcome_of, unused_templates
from tests.service.fault_rows import BODY, SUBJECT, Row, rows
from tests.service.grpc_failure import Failure

SIDE_BY_SIDE = 24
SLOW_SIDE_BY_SIDE = 120

TABLE = tuple(rows())

CODES = {
    "SEQUENCE_NOT_FOUND": "NOT_FOUND",
    "TEMPLATE_NOT_FOUND": "FAILED_PRECONDITION",
    "CONNECTION_EXPIRED": "FAILED_PRECONDITION",
    "PROVIDER_FORBIDDEN": "FAILED_PRECONDITION",
    "PROVIDER_REJECTED": "FAILED_PRECONDITION",
    "PROVIDER_RATE_LIMITED": "RESOURCE_EXHAUSTED",
    "PROVIDER_UNAVAILABLE": "UNAVAILABLE",
    "STEP_INCOMPLETE": "FAILED_PRECONDITION",
    "OUTCOME_UNKNOWN": "UNKNOWN",
}
CALL_AGAIN_LATER = {"RESOURCE_EXHAUSTED", "UNAVAILABLE"}
"""Codes whose RetryInfo docs/errors.md tells callers to obey."""

LOST_STATUSES = {408, 500, 502, 503, 504}
STEPS = {"OK": {1}, "STEP_INCOMPLETE": {1}, "OUTCOME_UNKNOWN": {0, 1}}
"""How many new steps a reason leaves; any other promises that there is none."""

FLOW_WARNINGS = {
    "outreach": frozenset[str](),
    "salesloft": frozenset({"TEMPLATE_COPIED"}),
    "apollo": frozenset({"TEMPLATE_COPIED", "NEEDS_APPROVAL"}),
}


@pytest.fixture(scope="module")
async def outcomes(
    request: pytest.FixtureRequest, client: Client, control: httpx.AsyncClient
) -> Mapping[str, Outcome | BaseException]:
    """Run every row that is asked for."""
    wanted = [
        cast("Row", item.callspec.params["row"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == "test_a_fault"
    ]
    wanted.sort(key=lambda row: not row.is_slow)
    slots = {True: asyncio.Semaphore(SLOW_SIDE_BY_SIDE), False: asyncio.Semaphore(SIDE_BY_SIDE)}

    async def run(row: Row) -> Outcome:
        async with slots[row.is_slow]:
            return await outcome_of(row, client, control, stores)

    async with opened_stores(client.settings) as stores:
        ended = await asyncio.gather(*map(run, wanted), return_exceptions=True)
    return dict(zip(map(str, wanted), ended, strict=True))


@pytest.mark.parametrize("row", TABLE, ids=str)
def test_a_fault(row: Row, outcomes: Mapping[str, Outcome | BaseException]) -> None:
    outcome = outcomes[str(row)]
    if isinstance(outcome, BaseException):
        raise outcome
    assert outcome.reason == row.expected.reason, outcome.failure
    _check_what_is_left(row, outcome)
    _check_what_was_sent(outcome)
    if outcome.failure is None:
        assert outcome.warnings == FLOW_WARNINGS[row.flow.vendor] | row.expected.warnings
    else:
        _check_failure(row, outcome, outcome.failure)


def _check_what_is_left(row: Row, outcome: Outcome) -> None:
    """No promise is broken, and nothing is left half done that could be finished or undone."""
    new = outcome.new_step_ids
    allowed = STEPS.get(outcome.reason, {0})
    assert len(new) in (allowed if row.expected.steps is None else {row.expected.steps}), new
    assert len(unused_templates(row.flow.vendor, outcome)) in row.expected.spare_templates
    assert outcome.before["templates"] == [
        template
        for template in outcome.after["templates"]
        if template in outcome.before["templates"]
    ], "a template that was there before is gone or changed"
    if outcome.failure is None:
        assert new == {outcome.step_id}
        assert messages_of(row.flow.vendor, outcome.after, outcome.step_id) == [(SUBJECT, BODY)]
    elif outcome.reason == "STEP_INCOMPLETE":
        step_id = outcome.failure.metadata["stepId"]
        assert new == {step_id}
        messages = messages_of(row.flow.vendor, outcome.after, step_id)
        assert not messages or row.expected.may_be_whole
    elif "stepId" in outcome.failure.metadata:
        assert outcome.reason == "OUTCOME_UNKNOWN"
        is_undone = outcome.failure.metadata["failedCall"].startswith("DELETE") and not new
        assert is_undone or new == {outcome.failure.metadata["stepId"]}


def _check_what_was_sent(outcome: Outcome) -> None:
    """No creating write is sent again unless the first one provably did nothing."""
    posts: dict[str, list[dict[str, Any]]] = {}
    for request in outcome.requests:
        assert "cookie" not in request["headers"]
        assert "elsewhere" not in request["path"], "a redirect was followed"
        if request["method"] == "POST":
            posts.setdefault(request["path"], []).append(request)
    for path, sent in posts.items():
        if path.endswith("/oauth/token"):
            assert len(sent) == 1
        elif path.endswith("/templates"):
            assert len(sent) <= 2
        else:
            for first, _ in pairwise(sent):
                assert not first["applied"]
                assert first["status"] in {401, 429} or first["fault"] == "maintenance"


def _check_failure(row: Row, outcome: Outcome, failure: Failure) -> None:
    assert (failure.code, failure.domain) == (CODES[failure.reason], "engagement.v1")
    assert failure.metadata["provider"] == row.flow.vendor
    assert failure.status_bytes <= 4096
    if failure.code in CALL_AGAIN_LATER:
        _check_retry_info(row, failure)
        return
    if failure.reason in {"STEP_INCOMPLETE", "OUTCOME_UNKNOWN"}:
        _check_unfinished(failure)
    else:
        assert failure.retry_seconds is None
        assert failure.pushback_ms in {None, "-1"}
    if failure.reason != "CONNECTION_EXPIRED" and not failure.reason.endswith("NOT_FOUND"):
        _check_failed_call(failure, outcome.requests)


def _check_unfinished(failure: Failure) -> None:
    """It can be called again with the same id, which finishes it or looks before it writes."""
    assert "nothing was written" not in failure.message
    assert "again later" not in failure.message
    if failure.reason == "OUTCOME_UNKNOWN":
        # The provider has 120 seconds, of which at most a minute has passed.
        assert 60 < (failure.retry_seconds or 0) <= 120
        assert failure.pushback_ms == "-1"
    assert "same request_id" in failure.message


def _check_failed_call(failure: Failure, requests: list[dict[str, Any]]) -> None:
    """The call that is named was made, and ended as it is said."""
    method, _, path = failure.metadata["failedCall"].partition(" ")
    statuses = [
        request["status"]
        for request in requests
        if request["method"] == method and request["path"].endswith(path)
    ]
    assert statuses, failure.metadata
    if failure.reason == "OUTCOME_UNKNOWN":
        lost = {None, *LOST_STATUSES} | ({404} if method == "DELETE" else set())
        assert all(status in lost or status < 300 for status in statuses)
    if "httpStatus" in failure.metadata:
        assert statuses[-1] == int(failure.metadata["httpStatus"])


def _check_retry_info(row: Row, failure: Failure) -> None:
    assert failure.retry_seconds is not None
    if failure.reason == "PROVIDER_RATE_LIMITED":
        # Points in time are given in whole seconds.
        assert failure.retry_seconds == pytest.approx(row.trouble.wait_seconds, abs=3)
    expected_pushback = failure.retry_seconds * 1000 if failure.retry_seconds <= 30 else -1
    assert float(failure.pushback_ms or "nan") == pytest.approx(expected_pushback, abs=1)
