"""The id that makes a request safe to repeat: how it is read, and how a caller is told it."""

import asyncio
import contextlib
import re
import uuid
from typing import Any

import grpc

REQUEST_ID_HEADER = "engagement-request-id"
REQUEST_ID_RULE = "Must be a UUID such as 3f0c7a52-9b1e-4d68-8a47-c25e90d1b6f4, and not all zeros."

_NIL = str(uuid.UUID(int=0))
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def request_id_for(given: str) -> str:
    """Return the id that a call runs under: the caller's in lower case, or a fresh one without it.

    Empty when what the caller gave is no id.
    """
    if not given:
        return str(uuid.uuid4())
    return given.lower() if is_request_id(given) else ""


def is_request_id(text: str) -> bool:
    """Whether a text is a UUID in the form of RFC 4122, and not the nil UUID."""
    return _UUID.fullmatch(text) is not None and text != _NIL


class RequestIdHeader:
    """Tells the caller of one call its request's id, as initial metadata; at most once.

    A client library that has received it does not repeat the call by itself any more.
    """

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any], request_id: str) -> None:
        self._context = context
        self._request_id = request_id
        self._sending: asyncio.Task[None] | None = None

    def send(self) -> None:
        """Start to send it, unless that was done."""
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())

    async def sent(self) -> None:
        """Wait until what was started is sent: no answer and no error may overtake it."""
        if self._sending is not None and not self._sending.done():
            # Not awaited itself: a cancellation of this call must not break the library's sending.
            await asyncio.wait([self._sending])

    async def _send(self) -> None:
        # To a caller that is gone nothing can be sent, and nothing has to be.
        with contextlib.suppress(grpc.aio.BaseError):
            await self._context.send_initial_metadata(((REQUEST_ID_HEADER, self._request_id),))
