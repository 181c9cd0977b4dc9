"""One request on its way through the sandbox: who sent it, on which wire, and what came of it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from sandbox.messages import Answer, Hidden

if TYPE_CHECKING:
    from sandbox.accounts import Account, World
    from sandbox.messages import Request
    from sandbox.wire import Wire


class Exchange:
    """What the server and the faults do with one request; all of it is noted in the log.

    `account` is None when the request's credential belongs to nobody.
    """

    def __init__(
        self,
        world: World,
        vendor: type[Account],
        account: Account | None,
        request: Request,
        wire: Wire,
    ) -> None:
        self.vendor = vendor
        self.account = account
        self.request = request
        self.wire = wire
        self.clock = world.clock
        self._hidden_seconds = 0.0
        self._hidden_reads = 0
        log = world.strangers if account is None else account.log
        self._record = log.add(request, world.clock())

    def note_fault(self, kind: str) -> None:
        """Notes in the log which fault the request met."""
        self._record.fault = kind

    def note_status(self, status: int) -> None:
        """Notes in the log that the client is shown this status."""
        self._record.status = status
        self._record.answered_at = self.clock()

    def hide_what_is_made(self, seconds: float, reads: int) -> None:
        """Keeps what this request will make out of reads, from the moment it is applied."""
        self._hidden_seconds = seconds
        self._hidden_reads = reads

    def apply(self) -> Answer:
        """Lets the vendor apply the request and says what it answers."""
        if self.account is None:
            return self.vendor.answer_stranger(self.request)
        if self._hidden_seconds or self._hidden_reads:
            self.request.hidden = Hidden(self.clock() + self._hidden_seconds, self._hidden_reads)
        answer = self.account.answer(self.request)
        succeeded = answer.status < HTTPStatus.MULTIPLE_CHOICES
        self._record.applied = succeeded and self.request.method != "GET"
        return answer

    async def send(self, answer: Answer) -> None:
        """Answers; the log has it before the client can see it."""
        self.note_status(answer.status)
        await self.wire.send(answer)
