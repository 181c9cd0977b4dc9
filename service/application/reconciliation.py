"""Finds out what a write made whose answer was lost, by reading only.

Only a look that started when the write has had time to be applied and to be shown proves that
there is nothing; until then absence means "not yet".
"""

from service.application.journal_entry import JournalEntry
from service.application.ports import Provider
from service.application.provider_session import ProviderSession
from service.domain.errors import ServiceError
from service.domain.operation import CallState, Operation
from service.domain.outcome import Candidate, Fit
from service.domain.plan import Target, Write, bind
from service.telemetry.metrics import RECONCILIATIONS


class Absent(Exception):  # noqa: N818 - a fact about the provider, not a fault
    """It is proven that nothing of the operation is in the sequence."""


class StepRemoved(Exception):  # noqa: N818 - likewise
    """What may have been our step was there, and is not any more."""


class Reconciliation:
    """Looks at the provider for one operation."""

    def __init__(self, provider: Provider, session: ProviderSession, entry: JournalEntry) -> None:
        self._provider = provider
        self._session = session
        self._entry = entry

    @property
    def _operation(self) -> Operation:
        return self._entry.operation

    def has_all(self, write: Write) -> bool:
        """Whether all ids are known that the write should yield."""
        return all(name in self._operation.ids for name in write.yields)

    async def look(self, index: int) -> bool | None:
        """Look once for what a call made; adopt the only thing that it can be.

        Returns True when the call is done now, False when looking on does not help, None when a
        later look may see more.

        Raises:
            Absent: it is proven that the call made nothing.
            StepRemoved: the steps that one of could be ours are gone.
        """
        try:
            found = await self._look(index)
        except Absent:
            self._count("absent")
            raise
        except StepRemoved:
            self._count("removed")
            raise
        self._count({True: "found", False: "ambiguous", None: "nothing_yet"}[found])
        return found

    def _count(self, finding: str) -> None:
        RECONCILIATIONS.labels(self._provider.name, finding).inc()

    async def _look(self, index: int) -> bool | None:
        is_closing = self._entry.settles_in_seconds == 0
        candidates = await self._candidates(self._operation.calls[index].write)
        if candidates is None:
            return None
        if [candidate.fit for candidate in candidates] == [Fit.FITS]:
            return self._adopt(index, candidates[0], is_closing=is_closing)
        if self._operation.step_id is not None and not candidates:
            self._refuse_absent(index, is_closing=is_closing)
            return None
        if is_closing or self._operation.candidates is not None:
            self._close(index, candidates)
            return False
        return False if candidates else None

    def _adopt(self, index: int, found: Candidate, *, is_closing: bool) -> bool | None:
        call = self._operation.calls[index]
        was_ours = "step_id" in self._operation.ids
        self._entry.note_found(found.ids)
        if not self.has_all(call.write):
            return None
        self._entry.note(index, CallState.DONE, is_uncertain=not was_ours)
        if call.write.target is Target.STEP:
            self._entry.note_adopted(is_open=self._operation.is_open and not is_closing)
        return True

    def _refuse_absent(self, index: int, *, is_closing: bool) -> None:
        """Raise Absent for what belongs to our own step, and is proven not to be there."""
        call = self._operation.calls[index]
        if is_closing and call.state is CallState.LOST:
            raise Absent

    def _close(self, index: int, candidates: tuple[Candidate, ...]) -> None:
        """Take down what a look shows that proves something."""
        call = self._operation.calls[index]
        if call.write.target is not Target.STEP:
            return
        if self._operation.candidates and not candidates:
            raise StepRemoved
        if candidates or call.state is CallState.ACCEPTED:
            self._entry.note_candidates(str(each.ids["step_id"]) for each in candidates)
            return
        self._entry.note_open(is_open=False)
        raise Absent

    async def is_step_removed(self) -> bool:
        """Whether our own step is gone, as far as that can be known already."""
        if self._entry.settles_in_seconds > 0:
            return False
        return await self._shows_none(self._step_write) is True

    async def is_undone(self, undo: Write) -> bool | None:
        """Whether the step that a removal was for is gone; None when that cannot be known now.

        A step that is not shown may still be too new for it.
        """
        if self._entry.step_settles_in_seconds > 0:
            return None
        return await self._shows_none(undo)

    async def equal_steps(self) -> frozenset[str]:
        """Return steps that equal ours and turned up beside it.

        Raises:
            ServiceError: a read failed.
        """
        return frozenset(
            str(each.ids["step_id"]) for each in await self._beside_ours() if each.fit is Fit.FITS
        )

    async def rivals(self) -> frozenset[str]:
        """Return steps of which one may be ours, beside the one that was taken for it.

        Raises:
            ServiceError: a read failed.
        """
        step_ids = frozenset(str(each.ids["step_id"]) for each in await self._beside_ours())
        known = self._operation.candidates
        return step_ids if known is None else step_ids & known

    async def _beside_ours(self) -> tuple[Candidate, ...]:
        """Return what could be ours too, whatever is known of our own step."""
        operation = self._operation
        call = bind(self._step_write, operation.ids)
        found = await self._provider.look(self._session, call, operation.snapshot, {})
        mine = await self._not_of_others(found)
        return tuple(each for each in mine if str(each.ids["step_id"]) != operation.step_id)

    @property
    def _step_write(self) -> Write:
        return next(
            call.write for call in self._operation.calls if call.write.target is Target.STEP
        )

    async def _shows_none(self, write: Write) -> bool | None:
        """Whether the provider shows nothing of ours; None when it cannot be read now."""
        operation = self._operation
        try:
            found = await self._provider.look(
                self._session, bind(write, operation.ids), operation.snapshot, operation.ids
            )
        except ServiceError:
            return None
        return not found

    async def _candidates(self, write: Write) -> tuple[Candidate, ...] | None:
        """Return what the call may have made; None when the provider cannot be read now."""
        operation = self._operation
        try:
            found = await self._provider.look(
                self._session, bind(write, operation.ids), operation.snapshot, operation.ids
            )
        except ServiceError:
            return None
        if operation.step_id is not None or write.target is not Target.STEP:
            return found
        found = await self._not_of_others(found)
        if operation.candidates is None:
            return found
        return tuple(each for each in found if str(each.ids["step_id"]) in operation.candidates)

    async def _not_of_others(self, found: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
        """Leave out what the journal knows to be another operation's."""
        if not found:
            return found
        others = await self._entry.steps_of_others()
        return tuple(each for each in found if str(each.ids["step_id"]) not in others)
