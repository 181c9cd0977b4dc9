"""Time that passes only when nothing is left to do: hours of waiting in milliseconds, always alike.

A test marked with `on_virtual_time` runs on a loop of its own with the same dice each time, and
fails when it leaves a task behind or an exception that nobody looked at.
"""

import asyncio
import functools
import gc
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

Parameters = ParamSpec("Parameters")

EPOCH_SECONDS_AT_START = 1_800_000_000.0
BOOT_SECONDS_AT_START = 5_000.0


class _JumpingSelector(selectors.SelectSelector):
    """Moves time forward to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now_seconds = 0.0
        self.turns = 0
        """How often the loop has gone round."""

        self.before_turn: Callable[[int], object] = lambda _: None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        self.before_turn(self.turns)
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits, and nothing will ever happen"
            self.now_seconds += max(timeout, 0.0)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time jumps."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self.complaints: list[str] = []
        """What asyncio reported about tasks and exceptions that nobody looked after."""
        self.set_exception_handler(lambda _, context: self.complaints.append(str(context)))

    def time(self) -> float:
        return self._jumping.now_seconds

    @property
    def turns(self) -> int:
        """How often the loop has gone round: tasks run in between, each to its next await."""
        return self._jumping.turns

    def call_at_turn(self, turn: int, callback: Callable[[], object]) -> None:
        """Call `callback` once, before the loop goes round for the `turn`-th time."""
        self._jumping.before_turn = lambda now: callback() if now == turn else None


class VirtualClock:
    """Implements `Clock` on the running loop's time."""

    def monotonic_seconds(self) -> float:
        return asyncio.get_running_loop().time()

    def epoch_seconds(self) -> float:
        return EPOCH_SECONDS_AT_START + self.monotonic_seconds()

    def boot_seconds(self) -> float:
        return BOOT_SECONDS_AT_START + self.monotonic_seconds()

    async def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        await asyncio.sleep(seconds)


def on_virtual_time(
    test: Callable[Parameters, Coroutine[Any, Any, None]],
) -> Callable[Parameters, None]:
    """Run an async test on a loop of its own."""

    @functools.wraps(test)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        loop = VirtualTimeLoop()
        gc.freeze()  # So that the search at the end looks only at what this test made.
        random.seed(0)  # The pauses before repeats are spread at random.
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(test(*args, **kwargs))
            left_behind = asyncio.all_tasks(loop)
        gc.collect()  # An exception is reported as unseen when its task is thrown away.
        gc.unfreeze()
        assert (set(), []) == (left_behind, loop.complaints)

    return run
