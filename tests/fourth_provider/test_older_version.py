"""A process that does not know the provider yet, beside one that does, on the same journal."""

import asyncio

from service.application.journal_port import LEASE_SECONDS
from service.domain.operation import OperationState
from service.domain.step import ConnectionKey
from tests.application import plans
from tests.application.virtual_time import on_virtual_time
from tests.application.world import World
from tests.fourth_provider.cadencia.adapter import NAME
from tests.journal.samples import claimed, key, sending


@on_virtual_time
async def test_an_older_process_leaves_operations_of_the_provider_alone() -> None:
    """Their process died; the older one looks after its own provider's, and after no other."""
    world = World(plans.OUTREACH)
    unknown, known = key("r-1", ConnectionKey("acme", NAME)), key("r-2", world.key())
    for each in (unknown, known):
        await sending(world.journal, await claimed(world.journal, each, world.vendor.sequence_id))
    before = await world.journal.find(unknown)
    await asyncio.sleep(LEASE_SECONDS + 1)

    await world.recovery.sweep()

    assert await world.journal.find(unknown) == before
    own = await world.journal.find(known)
    assert own is not None
    assert own.state is not OperationState.RUNNING
