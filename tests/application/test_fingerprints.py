"""What the journal keeps of a request to know it again: keyed, and known also from before."""

import json
from dataclasses import replace

import pytest

from service.application.journal_port import Claimed
from service.domain.fingerprint import Fingerprints
from service.domain.operation import CallState, OperationCall, OperationKey, OperationState
from service.domain.plan import Target, Write
from service.domain.step import StepRequest
from tests.application import plans
from tests.application.virtual_time import on_virtual_time
from tests.application.world import SETTLE_SECONDS, World

REQUEST = StepRequest("4711", plans.CALL)
OTHER_NOTE = replace(plans.CALL, task_note="Ask for the date")

UNKEYED = json.dumps(
    {
        "fields": {
            "sequence_id": "cd1f2451887e900cbd619a0ca07e148e",
            "step.interval_seconds": "b045dd9c18caa8be1e17a4b902152cc1",
            "step.task_note": "af6009034f291d83e63f1f3255e787e8",
            "step.type": "9fd6fd2ffd299ff3691b5e216c4778af",
        },
        "version": 1,
    }
)
"""What version 1 kept of `REQUEST`."""


KEYED = {
    "sequence_id": "1c06a45aaedbe95ab8a772cee2da9b6e",
    "step.interval_seconds": "7432f04ac339d72fb48c40fd6fac1135",
    "step.task_note": "8264f22e3b4dbdf8422e1065ca460942",
    "step.type": "69b86268a58aabac1e0b45b25e93bbc7",
}
"""What version 2 keeps of `REQUEST` with the key `b"key"`."""


def test_the_digests_are_those_of_before() -> None:
    kept = Fingerprints(b"key").of(REQUEST)
    assert kept == json.dumps({"fields": KEYED, "version": 2})


def test_nobody_without_the_key_makes_the_same() -> None:
    prints = [Fingerprints(bytes([number]) * 32).of(REQUEST) for number in range(3)]
    digests = [set(json.loads(each)["fields"].values()) for each in prints]
    digests.append(set(json.loads(UNKEYED)["fields"].values()))
    assert sum(map(len, digests)) == len(set.union(*digests)) == 4 * 4


def test_a_fingerprint_is_always_the_same() -> None:
    assert Fingerprints(b"key").of(REQUEST) == Fingerprints(b"key").of(REQUEST)


def test_one_without_a_key_gets_it() -> None:
    fingerprints = Fingerprints(b"key")
    assert fingerprints.keyed(UNKEYED) == fingerprints.of(REQUEST)
    assert fingerprints.keyed(fingerprints.of(REQUEST)) == fingerprints.of(REQUEST)


def test_the_key_does_not_print() -> None:
    assert "canary" not in repr(Fingerprints(b"canary")) + str(Fingerprints(b"canary"))


async def made_before(world: World, state: OperationState) -> None:
    """Leave a row as version 1 did."""
    key = OperationKey("caller", world.key(), "r-1")
    claim = await world.journal.claim(key, "4711", UNKEYED, settle_seconds=SETTLE_SECONDS)
    assert isinstance(claim, Claimed)
    write = Write(Target.STEP, "POST", "/sequenceSteps", None, ("step_id",))
    done = replace(
        claim.operation,
        calls=(OperationCall(write, CallState.DONE),),
        ids={"step_id": "42"} if state is OperationState.SUCCEEDED else {},
    )
    await world.journal.save(done.moved(state))


@on_virtual_time
async def test_a_row_of_before_answers_its_request() -> None:
    world = World(plans.OUTREACH)
    await made_before(world, OperationState.SUCCEEDED)
    outcome = await world.create(REQUEST, request_id="r-1")
    assert (outcome.step_id, outcome.answer.is_replay, world.http.sent) == ("42", True, [])


@on_virtual_time
async def test_a_row_of_before_that_is_not_finished_goes_on() -> None:
    world = World(plans.OUTREACH)
    await made_before(world, OperationState.NO_EFFECT)
    first = await world.create(REQUEST, request_id="r-1")
    second = await world.create(REQUEST, request_id="r-1")
    assert (first.answer.is_replay, second.answer.is_replay) == (False, True)
    assert {first.step_id, second.step_id} == set(world.vendor.steps)


@pytest.mark.parametrize("state", [OperationState.SUCCEEDED, OperationState.NO_EFFECT])
@on_virtual_time
async def test_a_row_of_before_names_what_differs(state: OperationState) -> None:
    world = World(plans.OUTREACH)
    await made_before(world, state)
    outcome = await world.create(replace(REQUEST, step=OTHER_NOTE), request_id="r-1")
    assert outcome.says == "REQUEST_ID_REUSED"
    assert [violation.field for violation in outcome.error.violations] == ["step.task_note"]
    assert world.http.sent == []
