"""Decides everything by dice: crashes, freezes, the store, the network, and other people."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from service.domain.errors import Reason, ServiceError
from service.domain.operation import Operation
from service.domain.plan import path_of
from service.domain.provider_call import AnswerLost, ProviderAnswer, ProviderRequest
from service.domain.step import ConnectionKey
from tests.application.faults import ACCEPTED_OUTCOMES, LOST_OUTCOMES, MAINTENANCE
from tests.application.scripted_http import answer, resource_of
from tests.simulation.fate import Exchange, Fate, JournalCall, StoreHappening
from tests.simulation.notes import Notes
from tests.simulation.replica import Replica
from tests.simulation.truth import MAKES_STEP
from tests.simulation.vendor_side import VendorSide
from tests.simulation.weather import Weather

SHOWN_WITHIN_SECONDS: Final = 117.0
"""Of its first byte: a write that a well-behaved vendor applies is shown by then. The rest of the
time that it is trusted with may pass between the commit of SENT and the first byte."""

IDLE_CALLS: Final = frozenset({"due", "forget", "renew"})
IDLE_SHARE: Final = 0.1
ACCEPTED_AND_DROPPED_SHARE: Final = 0.15
"""How often the vendor says yes and does nothing."""

LOST_SHARE: Final = 0.4
APPLIED_AT_ONCE_SHARE: Final = 0.4
TOO_SLOW_SECONDS: Final = (121.0, 900.0)
PERSON_EDITS_WITHIN_SECONDS: Final = 200.0
FREEZE_SECONDS: Final = (1.9, 2.1, 29.0, 31.0, 45.0, 70.0, 130.0)
DOWN_SECONDS: Final = (0.5, 5.0, 20.0, 60.0)
OUTAGE_SECONDS: Final = (1.0, 60.0)


class SeededFate(Fate):
    """What goes wrong in one world, until it is over."""

    def __init__(
        self, weather: Weather, connection: ConnectionKey, dice: random.Random, notes: Notes
    ) -> None:
        self.is_over = False
        """Whether everything works from now on."""

        self.on_saved: Callable[[JournalCall], object] = lambda _: None
        """Told what has been committed."""

        self._weather = weather
        self._connection = connection
        self._dice = dice
        self._notes = notes
        self._outage_until_seconds: defaultdict[str, float] = defaultdict(float)

    def before_journal(self, replica: Replica, call: JournalCall) -> StoreHappening:
        if self.is_over:
            return StoreHappening()
        self._strike(replica, f"before {call.name}", _share(call))
        if self._has_outage(replica) or self._happens(self._weather.store_fault):
            is_done = self._happens(0.3)
            kind = "commit done, and not told" if is_done else "store fails"
            self._notes.fault(kind, f"{replica.name}: {call.name}")
            return StoreHappening(self._seconds(0, 1), is_done, self._seconds(0, 1), fails=True)
        if self._happens(self._weather.slow_store):
            self._notes.fault("slow store", f"{replica.name}: {call.name}")
            return StoreHappening(self._seconds(0, 3), after_seconds=self._seconds(0, 3))
        return StoreHappening(after_seconds=self._seconds(0, 0.01))

    def after_journal(self, replica: Replica, call: JournalCall) -> None:
        if call.operation is not None:
            self._notes.event(f"{replica.name} {call.name}: {_shown(call.operation)}")
            self.on_saved(call)
        self._strike(replica, f"after {call.name}", _share(call))

    def before_send(self, replica: Replica, request: ProviderRequest) -> Exchange:
        self._strike(replica, f"before {resource_of(request)}")
        exchange = self._exchange(replica, request)
        self._notes.event(f"{replica.name} sends {_short(request)}: {_comes(exchange)}")
        return exchange

    def too_late(self, replica: Replica, request: ProviderRequest) -> None:
        self._notes.fault("too late to start", f"{replica.name}: {_short(request)}")

    def received(self, replica: Replica, request: ProviderRequest) -> None:
        self._notes.event(f"vendor has {_short(request)} of {replica.name}")
        self._strike(replica, f"after the vendor has {resource_of(request)}")

    def answered(self, replica: Replica, request: ProviderRequest) -> None:
        self._strike(replica, f"at the answer to {resource_of(request)}")

    def before_connection(self, replica: Replica, name: str) -> ServiceError | None:
        if self.is_over:
            return None
        if self._has_outage(replica):
            self._notes.fault("connections fail", f"{replica.name}: {name}")
            return _no_connection(Reason.STORE_UNAVAILABLE)
        if name == "refresh" and self._happens(0.3):
            self._notes.fault("refresh fails", replica.name)
            return _no_connection(Reason.PROVIDER_UNAVAILABLE)
        return None

    def applied(self, vendor_side: VendorSide, step_id: str) -> None:
        """Let a person alter or remove a new step after a while, perhaps."""
        if not self.is_over and self._happens(self._weather.person_edits):
            seconds = self._seconds(0, PERSON_EDITS_WITHIN_SECONDS)
            asyncio.get_running_loop().call_later(seconds, self._person_edits, vendor_side, step_id)

    def _person_edits(self, vendor_side: VendorSide, step_id: str) -> None:
        if self.is_over or step_id not in vendor_side.vendor.steps:
            return
        if self._happens(0.5):
            self._notes.fault("person alters a step", step_id)
            vendor_side.person_alters(step_id)
        else:
            self._notes.fault("person removes a step", step_id)
            vendor_side.person_removes(step_id)

    def _strike(self, replica: Replica, where: str, share: float = 1.0) -> None:
        """Crash or freeze the replica now, perhaps."""
        if self.is_over or not replica.is_up:
            return
        if self._happens(self._weather.crash * share):
            self._notes.fault("crash", f"{replica.name} {where}")
            replica.crash()
            asyncio.get_running_loop().call_later(
                self._dice.choice(DOWN_SECONDS), self._restart, replica
            )
        elif self._happens(self._weather.freeze * share) and not replica.process.is_frozen:
            seconds = self._dice.choice(FREEZE_SECONDS)
            with_machine = self._happens(0.5)
            kind = "machine suspended" if with_machine else "freeze"
            self._notes.fault(kind, f"{replica.name} for {seconds} s {where}")
            replica.freeze(seconds, with_machine=with_machine)

    def _restart(self, replica: Replica) -> None:
        self._notes.event(f"{replica.name} starts again")
        replica.start()

    def _has_outage(self, replica: Replica) -> bool:
        now_seconds = asyncio.get_running_loop().time()
        if now_seconds < self._outage_until_seconds[replica.name]:
            return True
        if not self._happens(self._weather.outage):
            return False
        seconds = self._seconds(*OUTAGE_SECONDS)
        self._notes.fault("outage", f"of the store for {replica.name}, {seconds:.1f} s")
        self._outage_until_seconds[replica.name] = now_seconds + seconds
        return True

    def _exchange(self, replica: Replica, request: ProviderRequest) -> Exchange:
        takes_seconds = self._dice.choice([0.01, 0.1, 1.0])
        if self.is_over:
            return Exchange(takes_seconds=takes_seconds)
        if self._happens(self._weather.token_expiry):
            self._notes.fault("token expires")
            replica.outside.tokens.expire(self._connection)
        if request.method == "GET":
            return self._read(takes_seconds)
        return self._write(replica, request, takes_seconds)

    def _read(self, takes_seconds: float) -> Exchange:
        if not self._happens(self._weather.read_fault):
            return Exchange(takes_seconds=takes_seconds)
        kinds: dict[str, Exchange] = {
            "read: 5xx": Exchange(answer=answer(self._dice.choice([500, 502, 503, 504]))),
            "read: lost": Exchange(answer=AnswerLost("reset")),
            "read: cut off": Exchange(answer=answer(200, flaw="broke off")),
            "read: 429": Exchange(answer=self._too_many()),
            "read: not connected": Exchange(is_refused=True),
            "read: hangs": Exchange(takes_seconds=None),
        }
        kind = self._dice.choice([*kinds])
        self._notes.fault(kind)
        return kinds[kind]

    def _write(self, replica: Replica, request: ProviderRequest, takes_seconds: float) -> Exchange:
        meanwhile = self._meanwhile(replica, request)
        shown_after_seconds = 0.0
        if self._happens(self._weather.shown_late):
            self._notes.fault("shown late")
            shown_after_seconds = self._seconds(0, SHOWN_WITHIN_SECONDS)
        connect_seconds = self._dice.choice([0.0, 0.0, 0.0, 0.5, 0.5, 3.0])
        fault_share = self._weather.write_fault
        if request.method == "DELETE":
            fault_share = min(2 * fault_share, 1.0)  # There are few of them.
        if not self._happens(fault_share):
            return Exchange(
                connect_seconds,
                shown_after_seconds=shown_after_seconds,
                takes_seconds=takes_seconds,
                meanwhile=meanwhile,
            )
        kind, given = self._write_fault(request)
        applied_after_seconds: float | None = None
        is_refused = kind == "write: not connected"
        if kind in PERHAPS_APPLIED:
            applied_after_seconds = self._applied_after_seconds(request, kind)
        if applied_after_seconds is not None:
            is_within = applied_after_seconds <= SHOWN_WITHIN_SECONDS
            longest_seconds = SHOWN_WITHIN_SECONDS - applied_after_seconds if is_within else 0.0
            shown_after_seconds = min(shown_after_seconds, longest_seconds)
        self._notes.fault(kind)
        return Exchange(
            connect_seconds,
            is_refused,
            applied_after_seconds,
            shown_after_seconds,
            given,
            None if kind == "write: hangs" else takes_seconds,
            meanwhile,
        )

    def _write_fault(self, request: ProviderRequest) -> tuple[str, ProviderAnswer | AnswerLost]:
        kinds: dict[str, ProviderAnswer | AnswerLost] = {
            "write: lost": AnswerLost("reset"),
            "write: hangs": AnswerLost("timed out"),
            "write: 5xx": self._dice.choice([*LOST_OUTCOMES.values()]),
            "write: 2xx without an id": self._dice.choice([*ACCEPTED_OUTCOMES.values()]),
            "write: refused": answer(self._dice.choice([302, 400, 403, 404, 422])),
            "write: 429": self._too_many(),
            "write: maintenance": answer(503, MAINTENANCE, {"retry-after": "3"}),
            "write: not connected": AnswerLost("not connected"),
        }
        refused = 1 if resource_of(request) in MAKES_STEP else 10
        weights = [5, 2, 5, 4, refused, 2, 1, 2]
        (kind,) = self._dice.choices([*kinds], weights)
        return kind, kinds[kind]

    def _applied_after_seconds(self, request: ProviderRequest, kind: str) -> float | None:
        """When a write is applied whose answer says too little; None for never."""
        is_accepted = kind == "write: 2xx without an id"
        if is_accepted and request.method != "POST":
            return 0.0  # It need not say more.
        is_step = resource_of(request) in MAKES_STEP
        dropped_share = ACCEPTED_AND_DROPPED_SHARE * is_step if is_accepted else LOST_SHARE
        if self._happens(dropped_share):
            return None
        if self._happens(APPLIED_AT_ONCE_SHARE):
            return 0.0
        if self._happens(self._weather.vendor_too_slow):
            self._notes.fault("vendor too slow")
            return self._seconds(*TOO_SLOW_SECONDS)
        self._notes.fault("applied late")
        return self._seconds(0.3, self._dice.choice([5, 40, SHOWN_WITHIN_SECONDS]))

    def _too_many(self) -> ProviderAnswer:
        headers = {"retry-after": str(self._dice.choice([1, 4, 20, 90]))}
        return answer(429, headers=self._dice.choice([headers, headers, {}]))

    def _meanwhile(
        self, replica: Replica, request: ProviderRequest
    ) -> Callable[[ProviderRequest], object]:
        """Let a person make an equal step, before ours arrives or some time later."""
        vendor_side = replica.outside.vendor_side
        if resource_of(request) not in MAKES_STEP or not self._happens(self._weather.person_adds):
            return lambda _: None
        self._notes.fault("person adds an equal step")
        if self._happens(0.5):
            return vendor_side.person_repeats
        seconds = self._seconds(0, 150)
        loop = asyncio.get_running_loop()
        return lambda given: loop.call_later(seconds, vendor_side.person_repeats, given)

    def _happens(self, share: float) -> bool:
        return share > 0 and self._dice.random() < share

    def _seconds(self, low: float, high: float) -> float:
        return self._dice.uniform(low, high)


PERHAPS_APPLIED: Final = frozenset(
    {"write: lost", "write: hangs", "write: 5xx", "write: 2xx without an id"}
)


def _share(call: JournalCall) -> float:
    """How often something strikes at a call, against the calls of an operation."""
    return IDLE_SHARE if call.name in IDLE_CALLS else 1.0


def _no_connection(reason: Reason) -> ServiceError:
    return ServiceError(reason, "No connection can be had now.", retry_after_seconds=5.0)


def _short(request: ProviderRequest) -> str:
    return f"{request.method} /{request.url.split('/', 4)[4]}"


def _comes(exchange: Exchange) -> str:
    """Say what comes of a request, in one line of the trace."""
    if exchange.is_refused:
        return "no connection"
    given = exchange.answer
    if isinstance(given, ProviderAnswer):
        says = f"{given.status}{' ' + given.flaw if given.flaw else ''}"
    else:
        says = "its own answer" if given is None else "lost"
    return (
        f"{says} after {exchange.takes_seconds} s, applied after {exchange.applied_after_seconds},"
        f" shown after {exchange.shown_after_seconds:.1f}"
    )


def _shown(operation: Operation) -> str:
    """Show what is saved of an operation."""
    calls = [*operation.calls, *([] if operation.undo is None else [operation.undo])]
    states = [
        f"{each.write.method} {path_of(each.write, operation.ids)} {each.state.value}"
        for each in calls
    ]
    candidates = None if operation.candidates is None else sorted(operation.candidates)
    return (
        f"{operation.key.request_id} epoch {operation.epoch} {operation.state.value}"
        f"{' open' if operation.is_open else ''} step {operation.step_id}"
        f" candidates {candidates} duplicates {sorted(operation.duplicates)} {states}"
        f" {operation.trouble}".rstrip()
    )
