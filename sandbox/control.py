"""The control interface under `/_sandbox/`: accounts, state, faults, and the log of requests.

JSON in, JSON out; what does not fit is answered 400 with `{"error": …}` naming the place, an
unknown account 404. How to use it is in the README beside this file.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox import faults, strict_json
from sandbox.accounts import Account, LoggedRequest, RequestLog, Seed, Setup, World
from sandbox.strict_json import JsonMismatchError

Respond = Callable[[World, HttpRequest], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class NewAccount:
    """The body of `POST /_sandbox/accounts`."""

    vendor: Literal["outreach", "salesloft", "apollo"]
    name: str | None = None
    options: dict[str, Any] | None = None
    seed: Seed | None = None


class _UnknownAccountError(Exception):
    """The path names no account."""


def routes(world: World) -> list[BaseRoute]:
    """The control interface of a world."""
    table: list[tuple[str, str, Respond]] = [
        ("GET", "/accounts", _list_accounts),
        ("POST", "/accounts", _create_account),
        ("GET", "/accounts/{name}", _show_account),
        ("DELETE", "/accounts/{name}", _remove_account),
        ("POST", "/accounts/{name}/reset", _reset_account),
        ("POST", "/accounts/{name}/expire-access-tokens", _expire_access_tokens),
        ("POST", "/accounts/{name}/revoke-refresh-token", _revoke_refresh_token),
        ("DELETE", "/accounts/{name}/steps/{step_id}", _delete_step),
        ("GET", "/accounts/{name}/faults", _list_faults),
        ("POST", "/accounts/{name}/faults", _add_faults),
        ("DELETE", "/accounts/{name}/faults", _clear_faults),
        ("GET", "/accounts/{name}/requests", _list_requests),
        ("DELETE", "/accounts/{name}/requests", _clear_requests),
        ("GET", "/strangers/requests", _list_strangers),
        ("DELETE", "/strangers/requests", _clear_strangers),
        ("POST", "/reset", _reset_all),
    ]
    return [
        Route(path, _endpoint(world, respond), methods=[method]) for method, path, respond in table
    ]


def _endpoint(world: World, respond: Respond) -> Callable[[HttpRequest], Awaitable[Response]]:
    async def endpoint(request: HttpRequest) -> Response:
        try:
            return await respond(world, request)
        except _UnknownAccountError as problem:
            return JSONResponse({"error": str(problem)}, 404)
        except ValueError as problem:
            return JSONResponse({"error": str(problem)}, 400)

    return endpoint


def _account(world: World, request: HttpRequest) -> Account:
    name = request.path_params["name"]
    account = world.accounts.get(name)
    if account is None:
        raise _UnknownAccountError(f"no account is named {name}")
    return account


async def _body(request: HttpRequest) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError as problem:
        raise JsonMismatchError(f"body: {problem}") from problem


def _describe(request: HttpRequest, account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "vendor": account.vendor,
        "base_url": f"{request.url.scheme}://{request.url.netloc}/{account.vendor}",
        "credentials": account.credentials(),
        "options": dict(account.setup.options),
        "state": account.state(),
    }


async def _list_accounts(world: World, request: HttpRequest) -> Response:
    del request
    listed = [{"name": item.name, "vendor": item.vendor} for item in world.accounts.values()]
    return JSONResponse({"accounts": listed})


async def _create_account(world: World, request: HttpRequest) -> Response:
    asked = strict_json.read(NewAccount, await _body(request))
    name = asked.name or world.free_name(asked.vendor)
    account = world.create(asked.vendor, Setup(name, asked.options or {}, asked.seed))
    return JSONResponse(_describe(request, account), 201)


async def _show_account(world: World, request: HttpRequest) -> Response:
    return JSONResponse(_describe(request, _account(world, request)))


async def _remove_account(world: World, request: HttpRequest) -> Response:
    world.remove(_account(world, request))
    return Response(status_code=204)


async def _reset_account(world: World, request: HttpRequest) -> Response:
    return JSONResponse(_describe(request, world.reset(_account(world, request))))


async def _reset_all(world: World, request: HttpRequest) -> Response:
    del request
    for account in list(world.accounts.values()):
        world.reset(account)
    world.strangers = RequestLog()
    return Response(status_code=204)


async def _expire_access_tokens(world: World, request: HttpRequest) -> Response:
    _account(world, request).expire_access_tokens()
    return Response(status_code=204)


async def _revoke_refresh_token(world: World, request: HttpRequest) -> Response:
    _account(world, request).revoke_refresh_token()
    return Response(status_code=204)


async def _delete_step(world: World, request: HttpRequest) -> Response:
    step_id = request.path_params["step_id"]
    if not _account(world, request).delete_step(step_id):
        return JSONResponse({"error": f"no step has the id {step_id}"}, 404)
    return Response(status_code=204)


def _faults_of(account: Account) -> dict[str, Any]:
    return {"faults": [fault.describe() for fault in account.faults]}


async def _list_faults(world: World, request: HttpRequest) -> Response:
    return JSONResponse(_faults_of(_account(world, request)))


async def _add_faults(world: World, request: HttpRequest) -> Response:
    account = _account(world, request)
    body = await _body(request)
    account.faults += [
        faults.read_fault(item) for item in (body if isinstance(body, list) else [body])
    ]
    return JSONResponse(_faults_of(account), 201)


async def _clear_faults(world: World, request: HttpRequest) -> Response:
    _account(world, request).faults.clear()
    return Response(status_code=204)


def _log_of(log: RequestLog) -> Response:
    return JSONResponse({"requests": [_show_request(record) for record in log.records]})


def _show_request(record: LoggedRequest) -> dict[str, Any]:
    request = record.request
    try:
        body = request.json()
    except (ValueError, RecursionError):
        body = request.body.decode("utf-8", "replace")
    return {
        "number": record.number,
        "at": record.at,
        "answered_at": record.answered_at,
        "method": request.method,
        "path": request.path,
        "query": request.query,
        "headers": request.headers,
        "body": body,
        "status": record.status,
        "applied": record.applied,
        "fault": record.fault,
    }


async def _list_requests(world: World, request: HttpRequest) -> Response:
    return _log_of(_account(world, request).log)


async def _clear_requests(world: World, request: HttpRequest) -> Response:
    _account(world, request).log.records.clear()
    return Response(status_code=204)


async def _list_strangers(world: World, request: HttpRequest) -> Response:
    del request
    return _log_of(world.strangers)


async def _clear_strangers(world: World, request: HttpRequest) -> Response:
    del request
    world.strangers = RequestLog()
    return Response(status_code=204)
