"""An access token that ends while two replicas use it."""

import asyncio

import pytest

from tests.replicas import promises
from tests.replicas.request import OK, marked_request
from tests.replicas.stage import Stage, connect
from tests.service.test_concurrency import sequence_ids

REQUESTS_EACH = 5
REFRESH_SECONDS = 0.5
"""How long the vendor takes: long enough that all have been refused before there is a new token."""


@pytest.mark.parametrize("vendor", ["outreach", "salesloft"])
async def test_it_is_refreshed_once(stage: Stage, postgres_url: str, vendor: str) -> None:
    """Both have it in memory; a second refresh would use a token up that nobody stores."""
    account = await stage.account(vendor, 2 * (REQUESTS_EACH + 1))
    environment = stage.environment(postgres_url)
    await connect(environment, [account])
    sequences = iter(sequence_ids(vendor, 2 * (REQUESTS_EACH + 1)))
    requests = [marked_request(account, sequence_id) for sequence_id in sequences]
    async with stage.replica(environment) as one, stage.replica(environment) as two:
        both = (one, two)
        before = [await request.ask(both[at % 2]) for at, request in enumerate(requests[:2])]
        await account.expire_access_tokens()
        await account.fault(
            kind="none", before_seconds=REFRESH_SECONDS, method="POST", path="/oauth/token"
        )
        met_it = await asyncio.gather(
            *(request.ask(both[at % 2]) for at, request in enumerate(requests[2:]))
        )

    assert {answer.reason for answer in [*before, *met_it]} == {OK}
    refreshes = [each for each in await account.requests("POST") if "oauth" in each["path"]]
    assert len(refreshes) == 1
    assert await promises.one_step_each(requests) == len(requests)
