"""Every way in which a process can die at a write: no step is lost, and none is made twice.

For every write of every plan, and for the undo: every place where its process can die, everything
that the vendor can have done, everyone who can act next. What can be is listed in `scenario.py`.
"""

from collections import Counter

import pytest

from tests.application.virtual_time import on_virtual_time
from tests.crash_matrix.scenario import TARGETS, Target, scenarios
from tests.crash_matrix.scene import Scene


@pytest.mark.parametrize("target", TARGETS, ids=str)
@on_virtual_time
async def test_every_crash(target: Target) -> None:
    failed = {}
    count = 0
    for scenario in scenarios(target):
        count += 1
        broken = await Scene(scenario).play()
        if broken:
            failed[str(scenario)] = broken
    print(f"{target}: {count} crashes")  # noqa: T201 - for the reader
    words = Counter(promise for promises in failed.values() for promise in promises)
    assert not failed, f"{len(failed)} of {count}: {words.most_common(5)}"
