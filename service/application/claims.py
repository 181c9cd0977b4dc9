"""Claims an operation in the journal, waiting for whoever has it or its sequence."""

import asyncio
from contextlib import AbstractContextManager, suppress
from typing import Final

from service.application.admission import busy
from service.application.arrival import Arrival
from service.application.budget import FIRST_WRITE_SECONDS_MIN, Budget
from service.application.journal_entry import JournalEntry, JournalFailed
from service.application.journal_port import (
    Claim,
    Claimed,
    Finished,
    Journal,
    OwnershipLost,
    Reused,
    RunsElsewhere,
    SequenceHeld,
)
from service.application.owned_operations import OwnedOperations
from service.application.ports import Clock
from service.application.recovery import Recovery
from service.domain.errors import FieldViolation, Reason, ServiceError
from service.domain.fingerprint import Fingerprints, differing_fields
from service.domain.operation import Operation, OperationKey, OperationState
from service.domain.step import StepRequest

PAUSE_SECONDS_MIN: Final = 0.05
PAUSE_SECONDS_MAX: Final = 1.0
"""Between two questions whether a row has become free; the pause doubles up to this."""

RETRY_SECONDS: Final = 1.0


class Claims:
    """Finds out whether a request is new, and makes its operation ours."""

    def __init__(
        self,
        journal: Journal,
        recovery: Recovery,
        owned: OwnedOperations,
        clock: Clock,
        fingerprints: Fingerprints,
    ) -> None:
        self._journal = journal
        self._owned = owned
        self._recovery = recovery
        self._clock = clock
        self._fingerprints = fingerprints

    def fingerprint(self, request: StepRequest) -> str:
        """Return what tells whether another request of the same id is the same."""
        return self._fingerprints.of(request)

    async def claim(self, arrival: Arrival, fingerprint: str, budget: Budget) -> Claimed | Finished:
        """Claim the operation; wait within the caller's time.

        Raises:
            ServiceError: REQUEST_ID_REUSED, REQUEST_IN_PROGRESS, SEQUENCE_BUSY, or
                STORE_UNAVAILABLE; this call wrote nothing.
        """
        pause_seconds = PAUSE_SECONDS_MIN
        looked_after: SequenceHeld | None = None
        while True:
            claim = await self._claim(arrival, fingerprint)
            match claim:
                case Claimed() | Finished():
                    return claim
                case Reused():
                    raise reused(claim.fingerprint, fingerprint)
                case SequenceHeld() if claim.wait_seconds <= 0 and looked_after is None:
                    # Its owner is gone, or it is time for the look that closes it.
                    looked_after = claim
                    await self._recovery.settle(claim.holder, claim.holder_epoch)
                    continue
                case SequenceHeld(is_running=False):
                    wait_seconds = max(claim.wait_seconds, pause_seconds)
                case _:
                    wait_seconds = pause_seconds
            if budget.left_seconds - wait_seconds < FIRST_WRITE_SECONDS_MIN:
                raise _given_up_waiting(claim)
            await self._clock.sleep(wait_seconds)
            pause_seconds = min(2 * pause_seconds, PAUSE_SECONDS_MAX)

    async def finished(self, arrival: Arrival, fingerprint: str) -> Operation | None:
        """Return the operation if it has SUCCEEDED, without waiting for anybody.

        Raises:
            ServiceError: REQUEST_ID_REUSED, or STORE_UNAVAILABLE.
        """
        operation = await self.find(arrival.key)
        if operation is None or operation.state is not OperationState.SUCCEEDED:
            return None
        claim = await self._claim(arrival, fingerprint)
        if isinstance(claim, Reused):
            raise reused(claim.fingerprint, fingerprint)
        return claim.operation if isinstance(claim, Finished) else None

    async def find(self, key: OperationKey) -> Operation | None:
        """Return the operation as it is stored, whoever owns it.

        Raises:
            ServiceError: STORE_UNAVAILABLE.
        """
        return await self._journal.find(key)

    def owned(self, claimed: Claimed) -> AbstractContextManager[JournalEntry]:
        """Own what was claimed while the block runs."""
        return self._owned.owned(claimed)

    async def _claim(self, arrival: Arrival, fingerprint: str) -> Claim:
        """Claim the operation, also where its row has the fingerprint of an older version."""
        claim = await self._claim_while_awaited(arrival, fingerprint)
        if not isinstance(claim, Reused):
            return claim
        known = self._fingerprints.keyed(claim.fingerprint)
        if known == fingerprint:
            return await self._claim_while_awaited(arrival, claim.fingerprint)
        return Reused(known)

    async def _claim_while_awaited(self, arrival: Arrival, fingerprint: str) -> Claim:
        """Claim the operation; if nobody waits any more when it is ours, leave no trace of it."""
        claiming = asyncio.ensure_future(
            self._journal.claim(
                arrival.key,
                arrival.request.sequence_id,
                fingerprint,
                settle_seconds=self._owned.settle_seconds(arrival.key),
            )
        )
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            await self._give_back(claiming)
            raise

    async def _give_back(self, claiming: asyncio.Future[Claim]) -> None:
        with suppress(ServiceError, JournalFailed, OwnershipLost):
            claim = await claiming
            if isinstance(claim, Claimed):
                with self.owned(claim) as entry:
                    await entry.give_back(left())


def reused(known: str, given: str) -> ServiceError:
    """Return the error for a request id that comes back with another request."""
    names = differing_fields(known, given) or ("request_id",)
    listed = ", ".join(names)
    return ServiceError(
        Reason.REQUEST_ID_REUSED,
        f"This request_id belongs to a request that differs in {listed}.",
        tuple(
            FieldViolation(name, "Differs from the request of this request_id.") for name in names
        ),
        advice="Repeat the request as it was, or give the new one an id of its own.",
    )


def left() -> ServiceError:
    """Return why an operation ended that nobody waits for; nobody hears it either."""
    return ServiceError(Reason.DEADLINE_TOO_SHORT, "Its caller left before the first write.")


def in_progress() -> ServiceError:
    """Return the error for a request that another process works on."""
    return ServiceError(
        Reason.REQUEST_IN_PROGRESS,
        "A request with this request_id is being worked on by another process; this call wrote "
        "nothing.",
        advice="Call again with the same request_id in a moment.",
        retry_after_seconds=RETRY_SECONDS,
    )


def _given_up_waiting(claim: RunsElsewhere | SequenceHeld) -> ServiceError:
    if isinstance(claim, RunsElsewhere):
        return in_progress()
    if claim.is_running:
        return busy("Another request is adding a step to this sequence", RETRY_SECONDS)
    return busy(
        "An earlier write to this sequence may still be applied",
        max(claim.wait_seconds, RETRY_SECONDS),
    )
