"""A disk that takes no more: what callers are told, and that it goes on when there is space again.

A limit on the size of the process's files stands for the disk; the kernel refuses what goes beyond.
"""

import asyncio
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.operations.page import line, run_as_written
from tests.replicas import promises
from tests.replicas.request import OK, marked_request
from tests.replicas.stage import Replica, Stage, connect
from tests.service.test_concurrency import sequence_ids
from tests.service.vendor_hold import STEP_WRITES, held, hold

HELD_SECONDS = 1.0
CALL_SECONDS = 30.0
"""The service tries for some seconds to note what it has done."""


async def disk_full(stage: Stage, folder: Path) -> str:
    """Fill the disk under a write; return what the database said.

    What could not be noted is settled when its lease has run out.
    """
    environment = stage.environment(str(folder / "engagement.db"))
    account = await stage.account("outreach", 2)
    await connect(environment, [account])
    under_way, new = (marked_request(account, each) for each in sequence_ids("outreach", 2))
    async with stage.replica(environment) as replica:
        method, path = STEP_WRITES["outreach"]
        await hold(account, method, path, seconds=HELD_SECONDS)
        calling = asyncio.create_task(under_way.ask(replica, CALL_SECONDS))
        await held(account)
        with _no_space(replica, folder / "engagement.db-wal"):
            assert (await new.ask(replica)).reason == "STORE_UNAVAILABLE"
            assert (await calling).reason == "OUTCOME_UNKNOWN"
        assert (await new.ask(replica)).reason == OK
        await under_way.settle(lambda: replica)
        codes = {each["code"] for each in replica.process.log() if each["event"] == "store_failed"}
        assert await _turned_away(replica, folder) == {new.id}

    assert await promises.one_step_each([under_way, new]) == 2
    await promises.nothing_where_nothing_was_promised([under_way, new])
    assert codes
    return str(codes)


async def _turned_away(replica: Replica, folder: Path) -> set[str]:
    """Return the ids that the page's search finds in the log."""
    (folder / "serve.log").write_text(replica.process.log_path.read_text())
    found = await run_as_written(line("grep"), folder, {})
    return {json.loads(each)["request_id"] for each in found.splitlines()}


@contextmanager
def _no_space(replica: Replica, growing: Path) -> Iterator[None]:
    """Let no file of the process grow beyond the one that grows with each commit."""
    pid, limit = replica.process.process.pid, growing.stat().st_size
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
