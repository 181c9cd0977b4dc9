"""Work that several requests share belongs to the trace of none of them."""

import asyncio
from collections.abc import Sequence

from service.stores.groups import Groups, Member
from service.telemetry.tracing import NO_TRACES, begin_rpc, current_ids, tracer_of


async def test_a_group_is_not_in_the_trace_of_who_came_first() -> None:
    """What is logged of it would be taken for that request's, long after its end."""
    traces: list[object] = []

    async def note(members: Sequence[Member[str]]) -> None:
        traces.append(current_ids())
        for member in members:
            member.tell(None)

    groups = Groups(note)

    async def request(number: int) -> None:
        traceparent = ("traceparent", f"00-{number:032x}-{number:016x}-01")
        begin_rpc(tracer_of(NO_TRACES), "a/Method", [traceparent])
        assert current_ids() is not None
        await groups.do("work")

    await asyncio.gather(*(asyncio.create_task(request(number)) for number in (1, 2, 3)))
    await groups.aclose()
    assert set(traces) == {None}
