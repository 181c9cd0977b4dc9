"""Gathers what many ask for at once into groups, which are done one after the other.

The members of a group share what is dear: a trip to the database, a transaction, a write to the
disk. Who comes alone waits for nobody; while there is company, a group waits a moment for more.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

COMPANY_SECONDS: Final = 0.002
"""How long a group waits for more members, when more than one came together. With 16 callers at
once it halves what a database costs this process; a request waits three times."""

MEMBERS_MAX: Final = 64
"""More members wait for the next group, so that others have their turn on the event loop."""

_Work = TypeVar("_Work")


@dataclass(slots=True)
class Member(Generic[_Work]):
    """One piece of work, and who waits for what comes of it."""

    work: _Work
    _answer: asyncio.Future[Any]

    @property
    def has_left(self) -> bool:
        """Whether nobody waits any more."""
        return self._answer.done()

    def tell(self, result: object) -> None:
        """Wake who waits, unless it has left."""
        if not self._answer.done():
            self._answer.set_result(result)

    def tell_failure(self, error: Exception) -> None:
        """Wake who waits with an error, unless it has left."""
        if not self._answer.done():
            self._answer.set_exception(error)


class Groups(Generic[_Work]):
    """Does work in groups, one group at a time, in the order of arrival, on the running loop."""

    def __init__(self, do_group: Callable[[Sequence[Member[_Work]]], Awaitable[None]]) -> None:
        """Take what does a group: it tells every member, or raises for all that it has not told."""
        self._do_group = do_group
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Member[_Work]] = deque()
        self._running: asyncio.Task[None] | None = None
        self._has_company = False

    async def do(self, work: _Work) -> Any:
        """Have the work done in the next group, and return what its member is told.

        Who is cancelled while waiting does not know whether it was done.

        Raises:
            Exception: what its member is told, or what the whole group failed with.
        """
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append(Member(work, answer))
        if self._running is None:
            # Not in the context of who came first: what is logged of a group is not theirs alone.
            self._running = self._loop.create_task(self._run(), context=Context())
        return await answer

    async def aclose(self) -> None:
        """Finish what was asked for."""
        while self._running is not None:
            await asyncio.wait({self._running})

    async def _run(self) -> None:
        try:
            while self._waiting:
                if self._has_company or len(self._waiting) > 1:
                    await asyncio.sleep(COMPANY_SECONDS)
                members = self._taken()
                self._has_company = len(members) > 1
                if members:
                    await self._run_group(members)
        finally:
            self._running = None

    def _taken(self) -> tuple[Member[_Work], ...]:
        """Take the next members off the queue; for those who left meanwhile nothing is done."""
        count = min(len(self._waiting), MEMBERS_MAX)
        taken = [self._waiting.popleft() for _ in range(count)]
        return tuple(member for member in taken if not member.has_left)

    async def _run_group(self, members: Sequence[Member[_Work]]) -> None:
        try:
            await self._do_group(members)
        except Exception as error:  # noqa: BLE001 - whatever it is, all have to be told
            # Those who came meanwhile have waited too, and would wait again for the same.
            for member in (*members, *self._waiting):
                member.tell_failure(error)
