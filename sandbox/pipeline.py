"""What happens to each request to a vendor: find its account and its fault, apply it, answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from sandbox import faults
from sandbox.exchange import Exchange
from sandbox.messages import Request, text_answer
from sandbox.strict_json import JsonMismatchError
from sandbox.wire import Wire

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from sandbox.accounts import Account, World
    from sandbox.effects import Effect

FAULT_HEADER = "x-sandbox-fault"


class VendorApplication:
    """The ASGI application of one vendor, below its prefix."""

    def __init__(self, world: World, vendor: type[Account]) -> None:
        self._world = world
        self._vendor = vendor
        self._prefix = f"/{vendor.vendor}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        wire = Wire(scope, receive, send)
        request = self._read(scope, await wire.read_body())
        account = self._account_of(request)
        exchange = Exchange(self._world, self._vendor, account, request, wire)
        try:
            effect = _effect_of(request, account)
        except JsonMismatchError as mismatch:
            await exchange.send(text_answer(400, f"{FAULT_HEADER}: {mismatch}"))
            return
        if effect is None:
            await exchange.send(exchange.apply())
        else:
            exchange.note_fault(effect.kind)
            await effect.play(exchange)

    def _read(self, scope: Scope, body: bytes) -> Request:
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        query = scope["query_string"].decode("latin-1")
        return Request(
            method=scope["method"],
            path=scope["path"].removeprefix(self._prefix),
            query=parse_qsl(query, keep_blank_values=True) if query else [],
            headers=headers,
            body=body,
            base_url=f"{scope['scheme']}://{headers.get('host', '')}{self._prefix}",
        )

    def _account_of(self, request: Request) -> Account | None:
        """The owner of the request's credential; another vendor's credential is none here."""
        credential = self._vendor.credential_of(request)
        owner = self._world.owners.get(credential) if credential is not None else None
        return owner if isinstance(owner, self._vendor) else None


def _effect_of(request: Request, account: Account | None) -> Effect | None:
    """The fault asked for in the request's own header, or else the account's next one."""
    asked = request.headers.get(FAULT_HEADER)
    if asked is not None:
        try:
            value = json.loads(asked)
        except ValueError as problem:
            raise JsonMismatchError(str(problem)) from problem
        return faults.read_effect(value)
    if account is not None and account.faults:
        return faults.take(account.faults, request.method, request.path)
    return None
