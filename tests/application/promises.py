"""What must be true after an operation, whatever happened: the promises of every answer."""

from collections.abc import Collection, Iterable, Iterator

from tests.application.plans import PlanKind
from tests.application.scripted_http import Sent
from tests.application.world import SETTLE_SECONDS, Outcome, World

NOT_NOTHING = {"OK", "STEP_INCOMPLETE", "OUTCOME_UNKNOWN", "INTERNAL"}
"""Every other answer promises that nothing was written to the sequence."""

REPEATED_ON_PURPOSE = {"POST /templates"}
"""A template that no step uses does no harm; every other POST makes something in the sequence."""


def broken_promises(
    world: World, plan: PlanKind, outcome: Outcome, new: set[str], twins: Collection[str] = ()
) -> Iterator[str]:
    """Say which promises of `outcome` do not hold.

    `new` are the steps that the operation's own requests made, `twins` equal ones of somebody else.
    """
    step_id = outcome.step_id
    if len(new) > 1:
        yield f"made {len(new)} steps"
    if outcome.says == "INTERNAL":
        yield "INTERNAL"
    elif outcome.says not in NOT_NOTHING and new:
        yield "says that nothing was written, and made a step"
    elif outcome.says == "STEP_INCOMPLETE" and new != {step_id} and step_id not in twins:
        yield f"says that step {step_id} is incomplete, and made {new}"
    elif (
        outcome.says == "OUTCOME_UNKNOWN"
        and step_id
        and not outcome.error.metadata["failedCall"].startswith("DELETE")
        and step_id not in new | set(twins)
    ):
        yield f"says that step {step_id} is there, and made {new}"
    elif outcome.says == "OK" and step_id not in twins:
        if new != {step_id}:
            yield f"says OK for {step_id}, and made {new}"
        elif world.vendor.messages(step_id) != plan.messages:
            yield f"says OK for a step with {world.vendor.messages(step_id)} messages"
    if outcome.says != "OK":
        yield from _misleading_words(outcome)


def unsafe_repeats(sent: Iterable[Sent]) -> Iterator[str]:
    """Say which creating writes were sent again though the one before may have been done.

    Once a write has had time to be applied and shown, a look can prove that it was not done.
    """
    last: dict[str, Sent] = {}
    for request in sent:
        resource = request.resource
        if request.request.method != "POST" or resource in REPEATED_ON_PURPOSE:
            continue
        earlier = last.get(resource)
        if earlier is not None and not _is_proven(earlier, request.at_seconds):
            yield f"sent {resource} again after {earlier.happening.outcome!r}"
        last[resource] = request


def _is_proven(sent: Sent, now_seconds: float) -> bool:
    """Whether what became of a write can be known for sure."""
    return sent.is_provably_not_done or now_seconds >= sent.at_seconds + SETTLE_SECONDS


def _misleading_words(outcome: Outcome) -> Iterator[str]:
    error = outcome.error
    if outcome.says not in {"STEP_INCOMPLETE", "OUTCOME_UNKNOWN"}:
        return
    words = f"{error.message} {error.advice}".lower()
    if "nothing was written" in words:
        yield f"{outcome.says} with misleading words: {words}"
    if "call again" in words and "call again with the same request_id" not in words:
        yield f"{outcome.says} invites to make it anew: {words}"
    if not error.metadata.get("failedCall"):
        yield f"{outcome.says} without failedCall"
    if outcome.says == "STEP_INCOMPLETE" and not outcome.step_id:
        yield "STEP_INCOMPLETE without stepId"
    is_for_people = "operations settle" in error.advice
    if outcome.says == "OUTCOME_UNKNOWN" and (error.retry_after_seconds is None) != is_for_people:
        yield "OUTCOME_UNKNOWN does not say when a repeat knows more"
