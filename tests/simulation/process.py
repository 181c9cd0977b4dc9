"""One process of the service as its machine sees it: it runs, is frozen, or is gone.

All that the application does to the world outside, and all that it learns of it, passes
`Process.outside`. So a frozen process does nothing until it wakes, and one that is gone never does
anything again, whatever its tasks still hold.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from tests.application.virtual_time import BOOT_SECONDS_AT_START, EPOCH_SECONDS_AT_START

SLEEP_SECONDS_MIN = 1e-6
"""Less is what rounding leaves of a sleep."""

Result = TypeVar("Result")


class Process:
    """Lets tasks reach the outside while it runs."""

    def __init__(self) -> None:
        self.is_gone = False
        self.suspended_seconds = 0.0
        """How long its machine was suspended: timers and the monotonic clock stood still."""

        self.woke_at_seconds = 0.0
        self._awake = asyncio.Event()
        self._awake.set()
        self._outside: dict[asyncio.Task[object], None] = {}
        """The tasks that wait for something outside, in the order in which they began."""

        self._when_awake: list[Callable[[], object]] = []

    @property
    def is_frozen(self) -> bool:
        return not self._awake.is_set()

    async def outside(self, effect: Callable[[], Awaitable[Result]]) -> Result:
        """Do something outside; come back from it only while the process runs."""
        task = asyncio.current_task()
        assert task is not None
        self._outside[task] = None
        try:
            await self.goes_on()
            try:
                result = await effect()
            except Exception:
                await self.goes_on()
                raise
            await self.goes_on()
            return result
        finally:
            self._outside.pop(task, None)

    async def goes_on(self) -> None:
        """Wait while the process is frozen; end the task when it is gone."""
        while self.is_frozen and not self.is_gone:
            await self._awake.wait()
        if self.is_gone:
            raise asyncio.CancelledError

    def when_awake(self, callback: Callable[[], object]) -> None:
        """Call `callback` as soon as the process runs, or never."""
        if self.is_frozen:
            self._when_awake.append(callback)
        else:
            callback()

    def crash(self) -> None:
        """Be gone from this instant on."""
        self.is_gone = True
        current = asyncio.current_task()
        for task in self._outside:
            if task is not current:  # That one ends where it asks whether it goes on.
                task.cancel()

    def freeze(self, seconds: float, *, with_machine: bool = False) -> None:
        """Stop for so long; `with_machine` its monotonic clock stops too."""
        if self.is_frozen or self.is_gone:
            return
        self._awake.clear()
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, self._wake, seconds if with_machine else 0.0)

    def _wake(self, suspended_seconds: float) -> None:
        self.suspended_seconds += suspended_seconds
        self.woke_at_seconds = asyncio.get_running_loop().time()
        self._awake.set()
        callbacks, self._when_awake = self._when_awake, []
        if not self.is_gone:
            for callback in callbacks:
                callback()


class ProcessClock:
    """Implements `Clock` for one process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def monotonic_seconds(self) -> float:
        return asyncio.get_running_loop().time() - self._process.suspended_seconds

    def epoch_seconds(self) -> float:
        return EPOCH_SECONDS_AT_START + asyncio.get_running_loop().time()

    def boot_seconds(self) -> float:
        return BOOT_SECONDS_AT_START + asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        until_seconds = self.monotonic_seconds() + seconds
        await self._process.outside(partial(asyncio.sleep, seconds))
        while (left_seconds := until_seconds - self.monotonic_seconds()) > SLEEP_SECONDS_MIN:
            await self._process.outside(partial(asyncio.sleep, left_seconds))
