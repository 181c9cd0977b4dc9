"""Accounts: one customer's tenant at one vendor, with its credentials, state, log and faults.

The demo accounts are there from the start; tests make further ones, which share nothing, so that
they can run side by side on one server.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sandbox.strict_json import JsonMismatchError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.clock import Clock, RetryAfter
    from sandbox.faults import Fault
    from sandbox.messages import Answer, Request

REQUESTS_KEPT = 10_000
"""Per account; older ones leave the log."""

SEEDED_MOST = 100_000

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


def _hold(number: int, place: str) -> None:
    if not 0 <= number <= SEEDED_MOST:
        raise JsonMismatchError(f"{place}: must be between 0 and {SEEDED_MOST}")


@dataclass(frozen=True, slots=True)
class SequenceSeed:
    """One sequence, or `count` equal ones with ids counting up from `id`, made with an account.

    `kind` is `interval` or `date` (Outreach), `waiting_time` or `exact_time` (Apollo); `archived`
    is Salesloft's; `steps` is the number of call steps that are there already.
    """

    id: int | str | None = None
    name: str | None = None
    kind: Literal["interval", "date", "waiting_time", "exact_time"] | None = None
    archived: bool = False
    steps: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        """Keeps a slip of the finger from filling the memory."""
        _hold(self.steps, "seed.sequences.steps")
        _hold(self.count, "seed.sequences.count")


@dataclass(frozen=True, slots=True)
class TemplateSeed:
    """One template, or `count` equal ones with ids counting up from `id`."""

    id: int | str | None = None
    name: str = "Intro"
    subject: str = "Hello"
    body: str = "<p>Hi</p>"
    count: int = 1

    def __post_init__(self) -> None:
        """Keeps a slip of the finger from filling the memory."""
        _hold(self.count, "seed.templates.count")


@dataclass(frozen=True, slots=True)
class Seed:
    """What an account holds when it is made or reset."""

    sequences: tuple[SequenceSeed, ...] = ()
    templates: tuple[TemplateSeed, ...] = ()
    team_templates: tuple[TemplateSeed, ...] = ()


@dataclass(frozen=True, slots=True)
class Setup:
    """All that is needed to make an account, and to make it anew; without `seed`, the demo's."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: Seed | None = None


@dataclass(slots=True)
class LoggedRequest:
    """One request seen, for the log. `status` is None while and when nothing was answered.

    `applied`: a write that the vendor carried out, whatever the client got to see of it.
    """

    number: int
    at: float
    request: Request
    fault: str | None = None
    status: int | None = None
    answered_at: float | None = None
    applied: bool = False


class RequestLog:
    """The last requests of an account, numbered from 1."""

    def __init__(self) -> None:
        self.records: deque[LoggedRequest] = deque(maxlen=REQUESTS_KEPT)
        self._seen = 0

    def add(self, request: Request, now: float) -> LoggedRequest:
        """Notes a request as it comes in; the rest of the record is filled in as it happens."""
        self._seen += 1
        record = LoggedRequest(self._seen, now, request)
        self.records.append(record)
        return record


class Account(ABC):
    """What the server, the faults and the control interface know of any vendor's account."""

    vendor: ClassVar[str]
    demo_seed: ClassVar[Seed]

    def __init__(self, setup: Setup, world: World) -> None:
        self.setup = setup
        self.name = setup.name
        self.world = world
        self.clock = world.clock
        self.log = RequestLog()
        self.faults: list[Fault] = []

    def register(self, credential: str) -> None:
        """Makes requests with this credential belong to this account."""
        self.world.owners[credential] = self

    @staticmethod
    @abstractmethod
    def credential_of(request: Request) -> str | None:
        """Returns what the request identifies itself with, if anything."""

    @staticmethod
    @abstractmethod
    def answer_stranger(request: Request) -> Answer:
        """Answers a request whose credential belongs to no account."""

    @staticmethod
    @abstractmethod
    def rate_limited(request: Request, retry_after: RetryAfter) -> Answer:
        """The vendor's 429."""

    @abstractmethod
    def answer(self, request: Request) -> Answer:
        """Applies the request to the account, whole or not at all, and answers as the vendor."""

    @abstractmethod
    def credentials(self) -> dict[str, Any]:
        """All that a client needs to get in, as it is now."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Everything in the account, in the vendor's own form, nothing hidden."""

    @abstractmethod
    def delete_step(self, step_id: str) -> bool:
        """Removes a step as a person does in the vendor's app; False when there is none."""

    @abstractmethod
    def expire_access_tokens(self) -> None:
        """Makes the credentials that are sent with requests invalid, until a refresh or a reset."""

    @abstractmethod
    def revoke_refresh_token(self) -> None:
        """Makes the next refresh fail; nothing where the vendor has none."""


class World:
    """All accounts on one server, and whose credential is whose."""

    def __init__(self, kinds: Mapping[str, type[Account]], clock: Clock = time.time) -> None:
        self.kinds = kinds
        self.clock = clock
        self.accounts: dict[str, Account] = {}
        self.owners: dict[str, Account] = {}
        self.strangers = RequestLog()
        """Requests that belong to no account."""
        for vendor in kinds:
            self.create(vendor, Setup(f"{vendor}-demo"))

    def create(self, vendor: str, setup: Setup) -> Account:
        """Makes an account.

        Raises:
            JsonMismatchError: the name is taken or ill-formed, an option or the seed is wrong.
        """
        if not _NAME.fullmatch(setup.name):
            raise JsonMismatchError("name: lower-case letters, digits and hyphens, at most 100")
        if setup.name in self.accounts:
            raise JsonMismatchError(f"name: {setup.name} is taken")
        return self._put(vendor, setup)

    def free_name(self, vendor: str) -> str:
        """The first name of the form `VENDOR-NUMBER` that is not taken."""
        number = len(self.accounts)
        while f"{vendor}-{number}" in self.accounts:
            number += 1
        return f"{vendor}-{number}"

    def remove(self, account: Account) -> None:
        """Takes an account away with its credentials."""
        del self.accounts[account.name]
        self.owners = {key: owner for key, owner in self.owners.items() if owner is not account}

    def reset(self, account: Account) -> Account:
        """Puts an account back to its first moment: seed, tokens, empty log, no faults."""
        self.remove(account)
        return self._put(account.vendor, account.setup)

    def _put(self, vendor: str, setup: Setup) -> Account:
        account = self.kinds[vendor](setup, self)
        self.accounts[account.name] = account
        return account
