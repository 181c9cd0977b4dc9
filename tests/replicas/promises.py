"""What has to be true at the vendors, whatever was done to the service: they know what happened."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from tests.replicas.request import MAY_HAVE_WRITTEN, Request
from tests.service.fault_outcome import messages_of
from tests.service.vendor_account import VendorAccount
from tests.service.vendor_hold import STEP_WRITES

MESSAGE = ("Hello", "<p>Hi</p>")
"""Of the template that comes with an account."""


async def one_step_each(requests: Iterable[Request]) -> int:
    """Check that who was answered OK has a whole step alone, and that there are no other steps.

    Returns how many steps there are.
    """
    count = 0
    for account, asked in _by_account(requests):
        state = await account.state()
        made = [str(step["id"]) for step in state["steps"]]
        answered = [step_id for request in asked for step_id in request.step_ids]
        assert sorted(answered) == sorted(made)
        messages = [] if account.vendor == "salesloft" else [MESSAGE]
        wrong = {id_ for id_ in made if messages_of(account.vendor, state, id_) != messages}
        assert not wrong
        count += len(made)
    return count


async def nothing_where_nothing_was_promised(requests: Iterable[Request]) -> int:
    """Check that no step was made before an answer that said so; for marked requests.

    After an answer that said that there may be one, "nothing" is about the call alone. Returns how
    many answers there were.
    """
    count = 0
    for account, asked in _by_account(requests):
        made_at = await step_times(account)
        for request in asked:
            for answer in request.answers:
                if answer.reason in MAY_HAVE_WRITTEN:
                    break
                count += 1
                assert not any(at < answer.ended_at for at in made_at[request.id]), request
    return count


async def step_times(account: VendorAccount) -> Mapping[str, list[float]]:
    """Return by mark when a write came that made a step."""
    return await _marked(account, only_applied=True)


async def write_times(account: VendorAccount) -> Mapping[str, list[float]]:
    """Return by mark when a write of a step came, whatever became of it."""
    return await _marked(account, only_applied=False)


async def _marked(account: VendorAccount, *, only_applied: bool) -> Mapping[str, list[float]]:
    method, path = STEP_WRITES[account.vendor]
    times: dict[str, list[float]] = defaultdict(list)
    log = await account.requests()
    assert log[0]["number"] == 1, "the log has lost its beginning"
    for write in log:
        if write["method"] != method or not re.search(path, write["path"]):
            continue
        if write["applied"] or not only_applied:
            times[_mark(write["body"])].append(write["at"])
    return times


def _mark(body: Any) -> str:
    found = re.findall(r'"(?:note|taskNote|instructions)": "([-0-9a-f]+)"', json.dumps(body))
    (mark,) = found
    return str(mark)


def _by_account(
    requests: Iterable[Request],
) -> Iterable[tuple[VendorAccount, list[Request]]]:
    grouped: dict[str, list[Request]] = defaultdict(list)
    for request in requests:
        grouped[request.account.name].append(request)
    return [(asked[0].account, asked) for asked in grouped.values()]
