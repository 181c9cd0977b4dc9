"""The one place where a failed call becomes a status, whatever made it fail.

grpc.aio answers an exception with UNKNOWN and the exception's text, bytes that do not parse and a
handler's wrong return value likewise, and a cancellation that the caller did not ask for with
nothing at all, so that the caller hangs. Here each of these ends in one clean status, and in one
line in the log.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, TypeAlias, cast

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from opentelemetry.trace import TracerProvider

from service.domain.errors import Reason, ServiceError
from service.domain.value_class import value_class
from service.telemetry.metrics import rpcs_started
from service.telemetry.tracing import begin_rpc, tracer_of
from service.transport.access_log import CallEntry, current_call
from service.transport.call_metadata import deadline_seconds
from service.transport.caller_identity import Context, Identify
from service.transport.status import to_wire_status

REQUEST_BYTES_MAX = 768 * 1024
"""Of a whole request. gRPC's own limit is higher, so that this one's clear error is what a caller
meets first."""

INTERNAL_MESSAGE = (
    "The service failed in a way that it should not. Its operators find the cause by the error id."
)

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class StatusBoundary:
    """Answers every way in which a unary handler can fail with one clean status."""

    def __init__(
        self, identify: Identify, open_services: Collection[str], tracer_provider: TracerProvider
    ) -> None:
        """Take callers as `identify` says, but for services that are open to everybody."""
        self._identify = identify
        self._tracer = tracer_of(tracer_provider)
        self._open_services = open_services
        self._running: set[asyncio.Task[Any]] = set()

    def guarded(self, service: str, handlers: Mapping[str, _Handler]) -> dict[str, _Handler]:
        """Return a service's handlers by method: unary ones wrapped, streams as they are.

        They are wrapped once, before they are registered: an interceptor would find and wrap them
        again for each call.
        """
        return {
            name: handler
            if handler.unary_unary is None
            else self._guard(self._method(service, name, handler))
            for name, handler in handlers.items()
        }

    async def wait_for_running(self, seconds: float) -> None:
        """Wait until no call is being handled, so long at most.

        gRPC's own stop cancels what outlives the grace, but does not wait for it to end.
        """
        if self._running:
            await asyncio.wait(self._running, timeout=seconds)

    def _method(self, service: str, name: str, handler: _Handler) -> "_Method":
        assert handler.request_deserializer is not None
        found = descriptor_pool.Default().FindMethodByName(f"{service}.{name}")
        return _Method(
            name=f"{service}/{name}",
            identify=None if service in self._open_services else self._identify,
            parse=handler.request_deserializer,
            # The stubs call handlers synchronous; here they are coroutine functions.
            handle=cast("Callable[[Message, Context], Awaitable[object]]", handler.unary_unary),
            answer_type=found.output_type,
        )

    def _guard(self, method: "_Method") -> _Handler:
        """Wrap a unary handler; the wrapper does the parsing and serializing itself."""

        async def guarded(raw: bytes, context: Context) -> bytes:
            task = asyncio.current_task()
            assert task is not None
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            rpcs_started(method.name).inc()
            span = begin_rpc(self._tracer, method.name, context.invocation_metadata() or ())
            entry = CallEntry(method.name, deadline_seconds(context), span)
            current_call.set(entry)
            outcome = await _outcome(method, raw, context, entry)
            if isinstance(outcome, ServiceError):
                entry.write_failure(outcome)
                status = to_wire_status(outcome, entry.provider, entry.request_id)
                await context.abort(status.code, status.message, status.trailing_metadata)
            entry.write_success()
            return outcome

        return grpc.unary_unary_rpc_method_handler(guarded)


@value_class
class _Method:
    """A unary method, with the parsing and serializing that gRPC would do outside of any guard."""

    name: str
    identify: Identify | None
    """Says who calls, which nobody has to prove where this is None."""

    parse: Callable[[bytes], Message]
    handle: Callable[[Message, Context], Awaitable[object]]
    answer_type: Descriptor

    async def answer(self, raw: bytes, context: Context, entry: CallEntry) -> bytes:
        """Serve one call; who is not known learns nothing of its message.

        Raises:
            ServiceError: CALLER_UNAUTHENTICATED, REQUEST_TOO_LARGE, INVALID_FIELD for bytes that
                are no message, or whatever the handler raises.
        """
        if self.identify is not None:
            entry.caller = self.identify(context)
        answer = await self.handle(self._request(raw), context)
        # Serializing by the wrong class succeeds, and the caller would read nonsense.
        if not isinstance(answer, Message) or answer.DESCRIPTOR is not self.answer_type:
            raise TypeError(f"{self.name} answered with {type(answer).__name__}")
        return answer.SerializeToString()

    def _request(self, raw: bytes) -> Message:
        if len(raw) > REQUEST_BYTES_MAX:
            raise ServiceError(
                Reason.REQUEST_TOO_LARGE,
                f"The request has {len(raw)} bytes; at most {REQUEST_BYTES_MAX} are taken.",
            )
        try:
            return self.parse(raw)
        except DecodeError:
            raise ServiceError(
                Reason.INVALID_FIELD,
                f"The request is no valid message of {self.name}: its bytes do not parse, a text "
                "is not UTF-8, or it is nested too deep.",
            ) from None


async def _outcome(
    method: _Method, raw: bytes, context: Context, entry: CallEntry
) -> bytes | ServiceError:
    """Return the serialized answer, or the error to answer with.

    Raises:
        AbortError: the handler has ended the call by itself.
        CancelledError: nobody waits for an answer.
    """
    try:
        return await method.answer(raw, context, entry)
    except grpc.aio.AbortError:
        entry.write_ended(context.code())
        raise
    except asyncio.CancelledError as error:
        if _is_cancelled_from_outside():
            entry.write_ended(_code_of_leaving(context))
            raise
        return _internal(error)
    except ServiceError as error:
        return _internal(error) if error.reason is Reason.INTERNAL else error
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - nothing may pass
        return _internal(error)


def _internal(cause: BaseException) -> ServiceError:
    """Return an error that tells the caller nothing but an id, and the log the cause."""
    error = ServiceError(Reason.INTERNAL, INTERNAL_MESSAGE, metadata={"errorId": uuid.uuid4().hex})
    error.__cause__ = cause
    return error


def _is_cancelled_from_outside() -> bool:
    """Whether gRPC cancelled this task: the caller left, its deadline passed, or we are stopping.

    Otherwise something that the handler waited for was cancelled.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _code_of_leaving(context: Context) -> grpc.StatusCode:
    left_seconds = deadline_seconds(context)
    if left_seconds is not None and left_seconds <= 0:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.CANCELLED
