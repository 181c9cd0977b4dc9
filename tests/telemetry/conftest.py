"""What a real process exposes, scraped once."""

import grpc
import pytest

from tests.service.step_messages import CALL, step
from tests.telemetry.expressions import Exposed, exposed_by
from tests.telemetry.stage import stage


@pytest.fixture(scope="session")
async def exposed(tmp_path_factory: pytest.TempPathFactory) -> Exposed:
    """A step that was made, and one of which nobody knows: each metric has a sample then."""
    async with stage(tmp_path_factory.mktemp("exposed")) as running:
        outreach = await running.vendors.account(running.client, "outreach")
        await running.client.create(outreach, step(CALL))
        apollo = await running.vendors.account(running.client, "apollo")
        await apollo.fault(method="POST", path="/emailer_steps$", kind="close", when="before")
        with pytest.raises(grpc.aio.AioRpcError):
            await running.client.create(apollo, step(CALL), timeout=4)
        return exposed_by(await running.scrape())
