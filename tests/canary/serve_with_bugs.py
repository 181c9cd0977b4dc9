"""`serve` with bugs: for some sequences of Outreach it fails as no program should, with data in it.

Each bug puts what the service holds at that moment, contents and credentials alike, into an
exception, a task, a thread or a library's log line.
"""

import asyncio
import gc
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from service.__main__ import main
from service.domain.connection import Connection
from service.domain.errors import Reason, ServiceError
from service.domain.provider_call import ProviderAnswer, ProviderRequest
from service.domain.step import StepRequest
from service.providers.outreach.adapter import Outreach
from service.providers.provider_http import ProviderHttp

IN_CHECK, IN_PLAN, IN_HEADERS, IN_HTTP, IN_EXPLAIN, IN_RESULT, AROUND = (
    str(number) for number in range(660_001, 660_008)
)
"""Sequences, by where the bug is."""

OTHERS = (IN_CHECK, IN_PLAN, IN_HEADERS, IN_HTTP, IN_RESULT, AROUND)
"""All but `IN_EXPLAIN`, for which the vendor has to name it."""

_check, _plan, _headers = Outreach.check, Outreach.plan, Outreach.headers
_explain, _read_result, _send = Outreach.explain, Outreach.read_result, ProviderHttp.send


class Carrier:
    """Says all in its `repr`, and fails when it is thrown away."""

    def __init__(self, data: object) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"Carrier({self.data!r})"

    def __del__(self) -> None:
        raise ValueError(repr(self.data))


def _fail(*data: object) -> NoReturn:
    """Raise a bug whose message, cause, context and notes hold the data."""
    text = repr(data)
    bug = ExceptionGroup(text, [RuntimeError(text), ValueError(data)])
    bug.add_note(text)
    raise bug from ServiceError(Reason.PROVIDER_REJECTED, text, metadata={"data": text})


def _check_with_bugs(self: Outreach, request: StepRequest) -> Any:
    if request.sequence_id == IN_CHECK:
        _fail(request)
    if request.sequence_id == AROUND:
        _spread(request)
    return _check(self, request)


def _plan_with_bugs(self: Outreach, request: StepRequest, survey: Any) -> Any:
    if request.sequence_id == IN_PLAN:
        _fail(request, survey)
    return _plan(self, request, survey)


def _headers_with_bugs(self: Outreach, connection: Connection) -> Mapping[str, str]:
    headers = _headers(self, connection)
    if connection.key.customer_id.endswith(IN_HEADERS):
        _fail(connection, headers, connection.credential.reveal())
    return headers


def _explain_with_bugs(self: Outreach, answer: ProviderAnswer) -> Any:
    if IN_EXPLAIN.encode() in answer.body:
        _fail(answer, answer.body, answer.headers)
    return _explain(self, answer)


def _read_result_with_bugs(self: Outreach, write: Any, answer: Any) -> Any:
    if IN_RESULT in repr(write):
        _fail(write, answer)
    return _read_result(self, write, answer)


async def _send_with_bugs(self: ProviderHttp, request: ProviderRequest, **times: Any) -> Any:
    if IN_HTTP in f"{request.url}{request.body!r}":
        _fail(request, request.headers, request.body)
    return await _send(self, request, **times)


def _spread(data: object) -> None:
    """Leave the data wherever Python or a library prints of its own accord."""
    text = repr(data)
    loop = asyncio.get_running_loop()

    async def unheard() -> None:
        raise ValueError(text)

    def callback(given: object) -> None:
        raise ValueError(given)

    loop.create_task(unheard(), name=text)  # noqa: RUF006 - to be lost
    future: asyncio.Future[object] = loop.create_future()
    future.set_exception(ValueError(text))
    del future
    loop.call_soon(callback, data)
    loop.call_later(0.05, gc.collect)
    threading.Thread(target=int, args=(text,), name=text).start()
    Carrier(data)
    warnings.warn(text, stacklevel=1)
    for name in ("httpx", "grpc", "psycopg.pool", "asyncio", "made.up"):
        log = logging.getLogger(name)
        log.error("failed with %s and %r", text, data)
        log.error(ValueError(text))
        try:
            _fail(data)
        except ExceptionGroup:
            log.exception("failed with %s", text)


PATCHES: Sequence[tuple[type, str, Callable[..., Any]]] = (
    (Outreach, "check", _check_with_bugs),
    (Outreach, "plan", _plan_with_bugs),
    (Outreach, "headers", _headers_with_bugs),
    (Outreach, "explain", _explain_with_bugs),
    (Outreach, "read_result", _read_result_with_bugs),
    (ProviderHttp, "send", _send_with_bugs),
)

if __name__ == "__main__":
    for patch in PATCHES:
        setattr(*patch)
    sys.exit(main(["serve"]))
