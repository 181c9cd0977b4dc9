"""What is true at the vendor, and which promises of the service it contradicts."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from service.application.provider_session import START_WITHIN_SECONDS
from service.domain.errors import Reason, ServiceError
from service.domain.operation import CallState, Operation, OperationKey, OperationState
from service.domain.outcome import StepAnswer
from service.domain.plan import Target, path_of
from service.domain.provider_call import ProviderRequest
from tests.application.virtual_time import EPOCH_SECONDS_AT_START
from tests.simulation.fate import JournalCall
from tests.simulation.notes import Notes
from tests.simulation.vendor_side import Arrived, VendorSide

MAKES_STEP = frozenset({"POST /sequenceSteps", "POST /emailer_steps", "POST /cadence_imports"})

SAYS_PERHAPS = frozenset({Reason.STEP_INCOMPLETE, Reason.OUTCOME_UNKNOWN})
"""After every other error nothing is in the sequence of what the call wrote."""

SAYS_THIS_CALL = frozenset(
    {
        Reason.REQUEST_ID_REUSED,
        Reason.SEQUENCE_BUSY,
        Reason.REQUEST_IN_PROGRESS,
        Reason.SERVICE_OVERLOADED,
        Reason.DEADLINE_TOO_SHORT,
        Reason.STORE_UNAVAILABLE,
    }
)
"""Errors before the operation is known: an earlier call may have made the step."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for."""

    sequence_id: str
    messages: int


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a client, and how it ended."""

    key: OperationKey
    replica: str
    started_at_seconds: float
    ended_at_seconds: float
    was_frozen: bool
    """Whether its replica stood still meanwhile: what it tells may have been true before that."""

    end: StepAnswer | ServiceError

    @property
    def step_id(self) -> str:
        """The step that the caller was told of; empty when none."""
        if isinstance(self.end, StepAnswer):
            return self.end.step_id
        return self.end.metadata.get("stepId", "")


@dataclass(slots=True)
class Truth:
    """Compares what is told and stored with what is so."""

    vendor_side: VendorSide
    notes: Notes
    now_seconds: Callable[[], float]
    settle_seconds: float
    names_steps: bool
    """Whether the vendor's answer to a new step says its id."""

    wanted: dict[OperationKey, Wanted] = field(default_factory=dict)
    _step_of: dict[OperationKey, str] = field(default_factory=dict)
    """The step of each request that was answered with OK: that is final."""

    _surveyed_at: dict[OperationKey, float] = field(default_factory=dict)
    """When the sequence's steps were last read before the write of the step."""

    _adopted: dict[OperationKey, str] = field(default_factory=dict)
    """A person's step that was taken for that of a request."""

    def is_too_slow(self, sequence_id: str) -> bool:
        """Whether the vendor did not keep to the time that it is trusted with."""
        return any(
            arrived.sender is not None
            and self.wanted[arrived.sender.key].sequence_id == sequence_id
            and arrived.applied_at_seconds is not None
            and arrived.shown_at_seconds - arrived.at_seconds > self.settle_seconds
            for arrived in self.vendor_side.arrived
        )

    def check_answer(self, call: Call) -> None:
        """Check what a caller was told, at this instant."""
        for promise in self._broken_by(call):
            self.broke(call.key, promise)

    def check_saved(self, saved: JournalCall) -> None:
        """Check what has just been committed."""
        operation = saved.operation
        assert operation is not None
        latest_epoch = self.vendor_side.latest_epoch.get(operation.key, 0)
        if operation.epoch < latest_epoch:
            self.broke(operation.key, f"is changed in epoch {operation.epoch} of {latest_epoch}")
        self._note_adopted(operation)
        self._note_yes(operation)
        if saved.is_sending and any(
            call.state is CallState.SENT and call.write.target is Target.STEP
            for call in operation.calls
        ):
            self._note_survey(operation)
        if operation.state is OperationState.NO_EFFECT and self._may_have(operation.key):
            self.broke(operation.key, "the journal says NO_EFFECT, and there is a step")

    def check_applied(self, arrived: Arrived) -> None:
        """Check a write that has just been applied."""
        if arrived.sender is None:
            return
        key = arrived.sender.key
        steps = self.live(key)
        if arrived.made and len(steps) > 1:
            self.broke(key, f"made {len(steps)} steps: {steps}")
        for step_id in arrived.removed:
            maker = self.vendor_side.made_by[step_id].sender
            if maker is None or maker.key != key:
                self.broke(key, f"removed step {step_id}, which it did not make")

    def check_arrived(self, arrived: Arrived) -> None:
        """Check that the intent of a write is committed when its first byte comes."""
        if arrived.sender is None:
            return
        problem = _unannounced(arrived, self.now_seconds())
        if problem:
            self.notes.broke(f"{arrived.resource} arrived, and {problem}")
        if arrived.request.method == "PUT" and self._is_being_removed(arrived.request):
            self.broke(arrived.sender.key, "writes on after the removal of its step")
        if arrived.resource in MAKES_STEP:
            if arrived.sender.is_recovery:
                self.broke(arrived.sender.key, "recovery sends what makes a step")
            if self._has_yes(arrived):
                self.broke(arrived.sender.key, "is sent again after the vendor said yes")

    def check_rows(self, operations: Iterable[Operation]) -> None:
        """Check what is left in the journal when all is quiet."""
        owners: dict[tuple[str, str], OperationKey] = {}
        for operation in operations:
            key = operation.key
            for promise in self._broken_by_row(operation):
                self.broke(key, promise)
            if operation.step_id is None:
                continue
            step = (operation.sequence_id, operation.step_id)
            if owners.setdefault(step, key) != key:
                self.broke(key, f"has step {operation.step_id} of {owners[step].request_id}")

    def live(self, key: OperationKey) -> list[str]:
        """Return the steps of a request that are at the vendor."""
        return [
            id_
            for id_, arrived in self.vendor_side.made_by.items()
            if arrived.sender is not None
            and arrived.sender.key == key
            and id_ in self.vendor_side.vendor.steps
        ]

    def broke(self, key: OperationKey, promise: str) -> None:
        """Note a broken promise; apart where the vendor could not be trusted."""
        if self.is_too_slow(self.wanted[key].sequence_id):
            self.notes.facts["broken by a vendor that is too slow"] += 1
            self.notes.event(f"too slow a vendor: {key.request_id}: {promise}")
        else:
            self.notes.broke(f"{key.request_id}: {promise}")

    def _note_survey(self, operation: Operation) -> None:
        """Note when the steps were read that a step which is about to be sent is not among."""
        read_at_seconds = self.vendor_side.read_at_seconds.get((operation.key, operation.epoch))
        if read_at_seconds is None:
            self.broke(operation.key, "sends a step with the survey of an earlier owner")
        else:
            self._surveyed_at[operation.key] = read_at_seconds

    def _note_yes(self, operation: Operation) -> None:
        """Note which yes of the vendor is committed."""
        for arrived in self.vendor_side.arrived:
            if arrived.says_yes and arrived.sender is not None:
                sender = arrived.sender
                if (sender.key, sender.epoch) == (operation.key, operation.epoch):
                    arrived.is_yes_committed = True

    def _note_adopted(self, operation: Operation) -> None:
        """Note it when a person's equal step is taken for a request's own.

        That cannot be told from outside while no own step is shown.
        """
        key, step_id = operation.key, operation.step_id
        maker = None if step_id is None else self.vendor_side.made_by.get(step_id)
        if step_id is None or maker is None or maker.sender is not None:
            return
        if self._adopted.get(key) == step_id:
            return
        read_at_seconds = self.vendor_side.read_at_seconds[key, operation.epoch]
        seen = [
            id_
            for id_ in self.live(key)
            if self.vendor_side.made_by[id_].shown_at_seconds <= read_at_seconds
        ]
        self._adopted[key] = step_id
        if seen:
            self.broke(key, f"took a person's step {step_id}, and could see its own {seen}")
        if maker.shown_at_seconds < self._surveyed_at[key]:
            self.broke(key, f"took a person's step {step_id}, which was there before")

    def _broken_by(self, call: Call) -> Iterator[str]:
        match call.end:
            case StepAnswer():
                yield from self._broken_by_step(call, is_whole=True)
            case ServiceError(reason=Reason.INTERNAL):
                yield "INTERNAL"
            case ServiceError(reason=Reason.STEP_INCOMPLETE):
                yield from self._broken_by_step(call, is_whole=False)
            case ServiceError(reason=Reason.OUTCOME_UNKNOWN):
                return
            case ServiceError(reason=reason) if reason in SAYS_THIS_CALL or call.was_frozen:
                if self._may_have(call.key, call):
                    yield f"{reason} after a write of this call"
            case ServiceError(reason=reason):
                if self._may_have(call.key):
                    yield f"{reason}, and there is a step"

    def _broken_by_step(self, call: Call, *, is_whole: bool) -> Iterator[str]:
        step_id = call.step_id
        if is_whole and self._step_of.setdefault(call.key, step_id) != step_id:
            yield f"was told of step {self._step_of[call.key]}, and now of {step_id}"
        yield from self._broken_by_id(call.key, step_id)
        is_there = step_id in self.vendor_side.vendor.steps
        if is_whole and is_there:
            messages = self.vendor_side.vendor.messages(step_id)
            if messages != self.wanted[call.key].messages:
                yield f"OK for step {step_id} with {messages} messages"

    def _broken_by_id(self, key: OperationKey, step_id: str) -> Iterator[str]:
        """Say what is wrong with a step being told of as that of a request."""
        maker = self.vendor_side.made_by.get(step_id)
        if maker is None:
            yield f"told of step {step_id}, which never was"
        elif maker.sender is None:
            if self._adopted.get(key) != step_id:
                yield f"told of a person's step {step_id}, which it did not take"
        elif maker.sender.key != key:
            yield f"told of step {step_id} of {maker.sender.key.request_id}"
        elif step_id not in self.vendor_side.vendor.steps and (
            step_id not in self.vendor_side.removed_by_person
        ):
            yield f"told of step {step_id}, which was undone"

    def _broken_by_row(self, operation: Operation) -> Iterator[str]:
        if operation.state is OperationState.RUNNING:
            yield "is RUNNING for ever"
        if operation.is_open:
            yield "holds its sequence for ever"
        if operation.state is OperationState.IN_DOUBT:
            if operation.candidates is None:
                yield "is IN_DOUBT for ever"
            elif missing := set(self.live(operation.key)) - operation.candidates:
                yield f"is IN_DOUBT, and its step {missing} is no candidate"
        if operation.state in {OperationState.SUCCEEDED, OperationState.INCOMPLETE}:
            assert operation.step_id is not None
            yield from self._broken_by_id(operation.key, operation.step_id)
            yield from self._broken_by_adoption(operation)
        if operation.state is OperationState.NO_EFFECT and self._may_have(operation.key):
            yield "is NO_EFFECT, and there is a step"

    def _broken_by_adoption(self, operation: Operation) -> Iterator[str]:
        """Say what is wrong when a person's step was taken for that of a request."""
        if self._adopted.get(operation.key) != operation.step_id:
            return
        came_later = set(self.live(operation.key)) - self.vendor_side.altered_by_person
        if not came_later:
            self.notes.facts["person's equal step taken, own one never came"] += 1
        elif came_later <= operation.duplicates:
            self.notes.facts["person's equal step taken, own one reported as duplicate"] += 1
        elif not self.names_steps and self._was_accepted(operation.key):
            self.notes.facts["person's equal step taken, own one not looked for again"] += 1
        else:
            yield f"took a person's step {operation.step_id}, and is silent about {came_later}"

    def _is_being_removed(self, message: ProviderRequest) -> bool:
        """Whether a removal of the message's step may still be applied, and none was refused."""
        step_id = self.vendor_side.step_of(message)
        removals = [
            arrived
            for arrived in self.vendor_side.arrived
            if arrived.request.method == "DELETE" and arrived.request.url.endswith(f"/{step_id}")
        ]
        refused_at_seconds = max(
            (arrived.at_seconds for arrived in removals if arrived.says_no), default=0.0
        )
        return any(
            not arrived.says_no and arrived.at_seconds + self.settle_seconds > refused_at_seconds
            for arrived in removals
        )

    def _has_yes(self, again: Arrived) -> bool:
        """Whether the vendor said yes before, that is committed, and the step is not gone."""
        for arrived in self.vendor_side.arrived:
            if (
                arrived is again
                or not arrived.is_yes_committed
                or arrived.resource not in MAKES_STEP
            ):
                continue
            assert arrived.sender is not None
            assert again.sender is not None
            is_gone = arrived.made and not any(
                id_ in self.vendor_side.vendor.steps for id_ in arrived.made
            )
            if arrived.sender.key == again.sender.key and not is_gone:
                return True
        return False

    def _was_accepted(self, key: OperationKey) -> bool:
        return any(
            arrived.is_yes_committed and arrived.resource in MAKES_STEP
            for arrived in self.vendor_side.arrived
            if arrived.sender is not None and arrived.sender.key == key
        )

    def _may_have(self, key: OperationKey, call: Call | None = None) -> bool:
        """Whether a write of a request, or of this call of it, made a step or still may."""
        for arrived in self.vendor_side.arrived:
            if arrived.sender is None or arrived.sender.key != key:
                continue
            if arrived.resource not in MAKES_STEP or arrived.applied_at_seconds is None:
                continue
            if call is not None and not (
                arrived.sender.replica == call.replica
                and call.started_at_seconds <= arrived.at_seconds <= call.ended_at_seconds
            ):
                continue
            is_pending = arrived.applied_at_seconds > self.now_seconds()
            if is_pending or any(id_ in self.vendor_side.vendor.steps for id_ in arrived.made):
                return True
        return False


def _unannounced(arrived: Arrived, now_seconds: float) -> str:
    """Say what is missing of a committed SENT for a write; empty when nothing."""
    row, sender = arrived.row, arrived.sender
    assert sender is not None
    if row is None:
        return "there is no row"
    calls = [*row.calls, *([] if row.undo is None else [row.undo])]
    sent = [
        call
        for call in calls
        if call.state is CallState.SENT
        and arrived.request.method == call.write.method
        and arrived.request.url.endswith(path_of(call.write, row.ids))
    ]
    if (row.epoch, row.state) != (sender.epoch, OperationState.RUNNING) or not sent:
        return f"the row is {row.state} in epoch {row.epoch}, not SENT in {sender.epoch}"
    sent_at_epoch_ms = sent[0].sent_at_epoch_ms
    assert sent_at_epoch_ms is not None
    since_seconds = EPOCH_SECONDS_AT_START + now_seconds - sent_at_epoch_ms / 1000
    if not -0.001 <= since_seconds <= START_WITHIN_SECONDS + 0.001:
        return f"SENT was committed {since_seconds} s before"
    return ""
