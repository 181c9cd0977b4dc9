"""The machine's time, behind the `Clock` port."""

import asyncio
import sys
import time


def boot_seconds() -> float:
    """Return the time on a clock that runs while the machine is suspended; Linux has one."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class SystemClock:
    """Implements `Clock`."""

    def monotonic_seconds(self) -> float:
        """See `Clock.monotonic_seconds`."""
        return time.monotonic()

    def epoch_seconds(self) -> float:
        """See `Clock.epoch_seconds`."""
        return time.time()

    def boot_seconds(self) -> float:
        """See `Clock.boot_seconds`."""
        return boot_seconds()

    async def sleep(self, seconds: float) -> None:
        """See `Clock.sleep`."""
        await asyncio.sleep(seconds)
