"""What happens to the replicas, to the store, at the vendor and on the way to it.

`Fate` decides that everything works; a test overrides what it wants to go wrong. Each method is
called at the instant that its name says, and may crash or freeze the replica then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.domain.errors import ServiceError
from service.domain.operation import Operation
from service.domain.provider_call import AnswerLost, ProviderAnswer, ProviderRequest

if TYPE_CHECKING:
    from tests.simulation.replica import Replica


@dataclass(frozen=True, slots=True)
class JournalCall:
    """One call of the journal."""

    name: str
    """Of the method."""

    operation: Operation | None = None
    """What is to be saved or discarded."""

    is_sending: bool = False


@dataclass(frozen=True, slots=True)
class StoreHappening:
    """What comes of one call of the journal."""

    before_seconds: float = 0.0
    is_done: bool = True
    after_seconds: float = 0.001
    fails: bool = False
    """Whether the process is told STORE_UNAVAILABLE, done or not."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What comes of one HTTP request."""

    connect_seconds: float = 0.0
    is_refused: bool = False
    """Whether there is no connection: nothing is sent."""

    applied_after_seconds: float | None = 0.0
    """When the vendor does what is asked, from its first byte on; None for never."""

    shown_after_seconds: float = 0.0
    """From when on lists show what it makes, once it is applied."""

    answer: ProviderAnswer | AnswerLost | None = None
    """What the client gets; None for the vendor's own answer, which needs it applied at once."""

    takes_seconds: float | None = 0.05
    """None for as long as the client lets it."""

    meanwhile: Callable[[ProviderRequest], object] = lambda _: None
    """What somebody else does at the vendor just before the request arrives."""


class Fate:
    """Everything works."""

    def before_journal(self, replica: "Replica", call: JournalCall) -> StoreHappening:  # noqa: ARG002 - for those that override it
        """Decide what comes of a call of the journal."""
        return StoreHappening()

    def after_journal(self, replica: "Replica", call: JournalCall) -> None:
        """What was asked of the journal is durable, and the process does not know it yet."""

    def before_send(self, replica: "Replica", request: ProviderRequest) -> Exchange:  # noqa: ARG002 - likewise
        """Decide what comes of a request to the vendor."""
        return Exchange()

    def too_late(self, replica: "Replica", request: ProviderRequest) -> None:
        """There is a connection now, and the time to start is over: no byte is sent."""

    def received(self, replica: "Replica", request: ProviderRequest) -> None:
        """The vendor has a request, and has applied it unless it does so later or never."""

    def answered(self, replica: "Replica", request: ProviderRequest) -> None:
        """The answer is there, or its loss, and the process has not read it yet."""

    def before_connection(self, replica: "Replica", name: str) -> ServiceError | None:  # noqa: ARG002 - likewise
        """Decide what comes of `find` or `refresh` of a connection; None when it works."""
        return None
