"""A vendor on a real socket that obeys its model, except where an attack says what it does instead.

Accounts are told apart by the number in their credential, so that every attack has one of its own.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from service.domain.provider_call import CallKind, ProviderAnswer, ProviderRequest
from tests.application.apollo_model import ApolloModel
from tests.application.outreach_model import OutreachModel
from tests.application.salesloft_model import SalesloftModel
from tests.application.scripted_http import Vendor, answer, resource_of

MODELS: Mapping[str, type[Vendor]] = {
    "outreach": OutreachModel,
    "salesloft": SalesloftModel,
    "apollo": ApolloModel,
}
TOKEN_REQUEST = "POST /token"

_NUMBER = re.compile(rb"canary-(?:access|refresh)-([0-9]+)-")


@dataclass(slots=True)
class Request:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes
    resource: str

    @property
    def is_write(self) -> bool:
        """Whether it could change something at the vendor; a token is nothing of a sequence."""
        return not self.line.startswith("GET ") and self.resource != TOKEN_REQUEST


class Exchange:
    """A request that waits for what an attack does with it."""

    def __init__(
        self, account: "Account", request: Request, writer: asyncio.StreamWriter, elsewhere: str
    ) -> None:
        self._account = account
        self._writer = writer
        self.request = request
        self.elsewhere = elsewhere
        """URL of a host that nobody may ever be sent to."""

    def applied(self) -> ProviderAnswer:
        """Do what the request asks for, and return what a vendor of good will would answer."""
        request = self.request
        if request.resource == TOKEN_REQUEST:
            return answer(200, self._account.new_tokens())
        method, target, _ = request.line.split(" ")
        url = f"http://vendor.test{target}"
        return self._account.model.handle(
            ProviderRequest("outreach", CallKind.WRITE, method, url, request.headers, request.body)
        )

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def sent(self) -> None:
        """Wait until the client has taken what was sent."""
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()


Strike = Callable[[Exchange], Awaitable[None]]
"""What an attack does in the place of an answer."""


@dataclass(slots=True)
class Account:
    """One attack's own account."""

    number: int
    vendor: str
    strikes: Mapping[str, Strike | Sequence[Strike]] = field(default_factory=dict)
    """By resource, such as `GET /sequences`: for every request, or for the first few."""

    requests: list[Request] = field(default_factory=list)
    model: Vendor = field(init=False)
    _tokens: int = 1

    def __post_init__(self) -> None:
        self.model = MODELS[self.vendor]()

    @property
    def access_token(self) -> str:
        return f"canary-access-{self.number}-1/x+y="

    @property
    def refresh_token(self) -> str:
        return f"canary-refresh-{self.number}-1/x+y="

    @property
    def writes(self) -> int:
        return sum(request.is_write for request in self.requests)

    def new_tokens(self) -> dict[str, Any]:
        self._tokens += 1
        return {
            "access_token": f"canary-access-{self.number}-{self._tokens}",
            "refresh_token": f"canary-refresh-{self.number}-{self._tokens}",
            "token_type": "Bearer",
            "expires_in": 7200,
        }

    def strike(self, resource: str) -> Strike | None:
        """Return what to do with the request that has just come."""
        strikes = self.strikes.get(resource)
        if not isinstance(strikes, Sequence):
            return strikes
        earlier = sum(request.resource == resource for request in self.requests) - 1
        return strikes[earlier] if earlier < len(strikes) else None


def as_bytes(
    status: int = 200,
    body: bytes = b"",
    content_type: str = "application/json",
    **headers: str,
) -> bytes:
    """Write an HTTP answer; underscores in header names stand for hyphens."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    if content_type:
        lines.append(f"Content-Type: {content_type}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class HostileVendor:
    """Serves all accounts, and a second host beside it whose visitors are counted."""

    def __init__(self) -> None:
        self._accounts: dict[int, Account] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.strangers: list[Request] = []
        """Requests whose credential belongs to no account."""

        self.visits_elsewhere = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._elsewhere = await asyncio.start_server(self._visit, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self.elsewhere = f"http://127.0.0.1:{self._elsewhere.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self._elsewhere.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def add(self, account: Account) -> None:
        self._accounts[account.number] = account

    def _visit(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits_elsewhere += 1
        writer.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while not writer.is_closing():
                    await self._answer(await _read(reader), writer)
        finally:
            writer.transport.abort()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        credential = " ".join(request.headers.values()).encode() + request.body
        found = _NUMBER.search(credential)
        account = self._accounts.get(int(found[1])) if found else None
        if account is None:
            self.strangers.append(request)
            writer.write(as_bytes(401))
            return
        account.requests.append(request)
        exchange = Exchange(account, request, writer, self.elsewhere)
        strike = account.strike(request.resource)
        if strike is not None:
            await strike(exchange)
            return
        good = exchange.applied()
        writer.write(as_bytes(good.status, good.body))


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii")
    line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, target, _ = line.split(" ")
    resource = resource_of(
        ProviderRequest("outreach", CallKind.WRITE, method, f"http://vendor.test{target}", {})
    )
    return Request(line, headers, body, resource)


def json_of(good: ProviderAnswer) -> Any:
    """Return the body of a model's answer."""
    return json.loads(good.body)
