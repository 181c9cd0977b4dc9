"""What the application needs from outside, as protocols: providers, connections, HTTP, time."""

from collections.abc import Mapping
from typing import Protocol

from service.domain.connection import Connection
from service.domain.json_value import JsonObject
from service.domain.outcome import Candidate, Refusal, Result
from service.domain.plan import Call, Plan, Write
from service.domain.provider_call import ProviderAnswer, ProviderRequest
from service.domain.step import ConnectionKey, Ids, ProviderName, StepRequest
from service.domain.survey import Survey
from service.domain.warnings import StepWarning


class Reader(Protocol):
    """Reads at one provider with one customer's credentials; it repeats what is safe to repeat."""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> JsonObject | None:
        """Return the JSON object at `path` (below the base URL), or None for 404.

        Raises:
            ServiceError: the read was refused, rate limited or could not be made.
        """


class Provider(Protocol):
    """One provider's API, as the application sees it. All but the reads is pure."""

    @property
    def name(self) -> ProviderName:
        """Which provider it is."""

    @property
    def base_url(self) -> str:
        """Where its API is, without a slash at the end."""

    @property
    def names_steps(self) -> bool:
        """Whether its answer to the write of a step says the step's id."""

    def headers(self, connection: Connection) -> Mapping[str, str]:
        """Return the headers of every request: content type and credential."""

    def check(self, request: StepRequest) -> tuple[StepWarning, ...]:
        """Say, without any I/O, what the provider would drop.

        Raises:
            ServiceError: what it cannot do at all, or ids that are not of its form.
        """

    async def survey(self, reader: Reader, request: StepRequest) -> Survey:
        """Read what must be known before the first write, in parallel where possible.

        Raises:
            ServiceError: the sequence or the template is unknown, or is of the wrong kind.
        """

    def plan(self, request: StepRequest, survey: Survey) -> Plan:
        """Decide the writes, and warn of what only the survey could show.

        Raises:
            ServiceError: what the survey rules out, such as a position that is taken.
        """

    def read_result(self, write: Write, answer: JsonObject) -> Result:
        """Read a 2xx answer; ids it does not hold are left out."""

    def explain(self, answer: ProviderAnswer) -> Refusal:
        """Read a 4xx answer: the vendor's sentence, and the field of ours that it points at."""

    def permission(self, method: str, path: str) -> str:
        """Name what the connection needs for a request, such as a scope; empty if not known."""

    def is_maintenance(self, answer: ProviderAnswer) -> bool:
        """Whether a 503 says that nothing was done, by the vendor's documentation."""

    async def look(
        self, reader: Reader, call: Call, snapshot: frozenset[str], ids: Ids
    ) -> tuple[Candidate, ...]:
        """Find what a call may have made: only steps that were not in the snapshot before it.

        When `ids` already has the id of what was made, the
        candidate is that one, with the ids that the answer left out.

        Raises:
            ServiceError: a read failed.
        """

    def undo(self, ids: Ids) -> Write | None:
        """Return the write that removes what was made so far, where the vendor has one."""


class Http(Protocol):
    """Sends one request to a provider."""

    async def send(
        self,
        request: ProviderRequest,
        *,
        timeout_seconds: float,
        start_by_seconds: float | None = None,
    ) -> ProviderAnswer:
        """Send it once and read the answer, all within `timeout_seconds`.

        `start_by_seconds`: no byte is sent later than this moment of `Clock.boot_seconds`.

        Raises:
            NotSent: no byte reached the provider.
            AnswerLost: no status was read, and the provider may have acted.
        """


class Connections(Protocol):
    """Customers' connections, with tokens that are refreshed once however many need them."""

    async def find(self, key: ConnectionKey) -> Connection:
        """Return the customer's connection, refreshed first when its token is about to end.

        Raises:
            ServiceError: there is none, the refresh was refused, or the store is down.
        """

    async def refresh(self, connection: Connection) -> Connection:
        """Return a connection with another token than this one, which the provider refused.

        Raises:
            ServiceError: CONNECTION_EXPIRED when it cannot be refreshed, PROVIDER_UNAVAILABLE or
                PROVIDER_RATE_LIMITED when the token endpoint does not answer now.
        """


class Clock(Protocol):
    """Time; a test's clock can be moved by hand."""

    def monotonic_seconds(self) -> float:
        """Return the time for measuring waits and deadlines."""

    def epoch_seconds(self) -> float:
        """Return the time of day."""

    def boot_seconds(self) -> float:
        """Return the time on a clock that runs while the machine is suspended, where it has one."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""
