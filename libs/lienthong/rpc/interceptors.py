"""What every served call passes through, in this order: tracing, then identity, authorisation, the method
itself, and at its end the translation of errors and one log line.

Servicers therefore raise domain errors and mention no codes, certificates or logs.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import grpc
from lienthong.errors import DomainError, Internal, Unavailable
from lienthong.ids import IdFactory, new_id
from lienthong.rpc.access import AccessTable, is_open
from lienthong.rpc.deadline import Deadline, set_deadline
from lienthong.rpc.errors import code_name, to_abort
from lienthong.rpc.identity import Identities, set_current_caller
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import aio_server_interceptor

_log: Final = logging.getLogger("lienthong.rpc")

Behavior = Callable[[Any, Any], Any]
Q = TypeVar("Q")
R = TypeVar("R")


class _CallDetails(Protocol):
    @property
    def method(self) -> str: ...


def is_traced(method: str) -> bool:
    """Whether a call gets a span: probes would drown the others, and a stream of weeks has no useful one."""
    return not is_open(method) and not is_endless(method)


def is_endless(method: str) -> bool:
    """Whether a call goes on until one side leaves: a link, or somebody who watches."""
    name = method.rpartition("/")[2]
    return name == "Exchange" or name.startswith("Watch")


def server_interceptors(
    identities: Identities,
    access: AccessTable,
    stopping: asyncio.Event,
    id_factory: IdFactory = new_id,
) -> list[grpc.aio.ServerInterceptor]:
    """The interceptors of every server, outermost first. Once `stopping` is set, endless calls end."""

    def traced(details: _CallDetails) -> bool:
        return is_traced(details.method)

    tracing: grpc.aio.ServerInterceptor = aio_server_interceptor(filter_=traced)  # type: ignore[no-untyped-call]
    return [tracing, CallInterceptor(identities, access, stopping, id_factory)]


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Identity, authorisation, deadline, error translation and the log line of one call.

    One interceptor and not five: each would wrap every message of every stream once more.
    """

    def __init__(
        self,
        identities: Identities,
        access: AccessTable,
        stopping: asyncio.Event,
        id_factory: IdFactory = new_id,
    ) -> None:
        self._identities = identities
        self._access = access
        self._stopping = stopping
        self._id_factory = id_factory

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Q, R] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Q, R] | None:
        handler: Any = await continuation(handler_call_details)
        if handler is None:  # unknown method: gRPC answers UNIMPLEMENTED
            return None
        name = _behavior_name(handler)
        wrap = self._streamed if handler.response_streaming else self._answered
        served: grpc.RpcMethodHandler[Q, R] = _replaced(
            handler, name, wrap(handler_call_details.method, getattr(handler, name))
        )
        return served

    def _answered(self, method: str, behavior: Behavior) -> Behavior:
        async def call(request: Any, context: Any) -> Any:
            async with self._served(method, context):
                return await behavior(request, context)

        return call

    def _streamed(self, method: str, behavior: Behavior) -> Behavior:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            async with self._served(method, context):
                answers = behavior(request, context)
                if inspect.isawaitable(answers):  # the style that writes to the context (gRPC's health)
                    await answers
                    return
                going_on = _until(self._stopping, answers) if is_endless(method) else answers
                try:
                    async for answer in going_on:
                        yield answer
                finally:
                    # Not left to the garbage collector: the servicer's `finally` runs before the call ends.
                    if inspect.isasyncgen(answers):
                        await answers.aclose()

        return call

    def _served(self, method: str, context: Any) -> _Served:
        return _Served(method, context, self)

    def admit(self, method: str, context: Any) -> str:
        """Let the caller in, or raise; afterwards the caller is current."""
        caller = self._identities.caller(context.auth_context())
        set_current_caller(caller)
        self._access.check(method, caller)
        return str(caller)

    def unknown(self, error: Exception, method: str) -> Internal:
        """What the caller learns of a defect: only the id under which our log tells the rest."""
        correlation_id = str(self._id_factory())
        _log.error("call failed", exc_info=error, extra={"method": method, "correlation_id": correlation_id})
        return Internal(
            "INTERNAL", f"internal error, correlation id {correlation_id}", correlation_id=correlation_id
        )


@dataclass(slots=True)
class _Served:
    """One call from its start to its end, whichever way it ends."""

    method: str
    context: Any
    interceptor: CallInterceptor
    caller: str = ""
    started: float = 0.0
    deadline: Deadline | None = None

    async def __aenter__(self) -> None:
        self.started = time.perf_counter()
        self.deadline = set_deadline(self.context.time_remaining())
        try:
            self.caller = self.interceptor.admit(self.method, self.context)
        except Exception as error:
            await self._end(error)

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        await self._end(error)

    async def _end(self, error: BaseException | None) -> None:
        if self.deadline is not None:
            self.deadline.over = True
        if isinstance(error, grpc.aio.AbortError):
            self._record(Internal("INTERNAL", "the servicer aborted by itself"))
            return
        if isinstance(error, Exception) and not isinstance(error, DomainError):
            error = self.interceptor.unknown(error, self.method)
        self._record(error)
        if isinstance(error, DomainError):
            abort = to_abort(error)
            await self.context.abort(abort.code, abort.details, abort.trailing_metadata)

    def _record(self, error: BaseException | None) -> None:
        """One line a call; message texts stay out, they may quote documents."""
        reason = error.reason if isinstance(error, DomainError) else ""
        fields = {
            "method": self.method,
            "caller": self.caller,
            "code": code_name(error),
            "reason": reason,
            "ms": round((time.perf_counter() - self.started) * 1000, 2),
        }
        # Probes come every second from everywhere.
        _log.log(logging.DEBUG if is_open(self.method) else logging.INFO, "call", extra=fields)
        if reason:
            span = trace.get_current_span()
            # OpenTelemetry leaves the span of a refused call unset; for us a refusal is worth finding.
            span.set_status(trace.StatusCode.ERROR, reason)
            span.set_attribute("lienthong.reason", reason)
        elif isinstance(error, asyncio.CancelledError):
            trace.get_current_span().set_attribute("lienthong.reason", "CALL_CANCELLED")


async def _until(stopping: asyncio.Event, answers: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The answers until the process stops: nobody who watches may hold up its end for the whole grace."""
    stop = asyncio.create_task(stopping.wait())
    try:
        while True:
            following = asyncio.ensure_future(anext(answers))
            try:
                await asyncio.wait({following, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    raise Unavailable("SHUTTING_DOWN", "this process is stopping", retry_after=1.0)
                answer = following.result()
            except StopAsyncIteration:
                return
            finally:
                if not following.done():
                    following.cancel()
                    await asyncio.wait([following])
            yield answer
    finally:
        stop.cancel()


def _behavior_name(handler: Any) -> str:
    first = "stream" if handler.request_streaming else "unary"
    second = "stream" if handler.response_streaming else "unary"
    return f"{first}_{second}"


def _replaced(handler: Any, name: str, behavior: Behavior) -> Any:
    make = getattr(grpc, f"{name}_rpc_method_handler")
    return make(
        behavior,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
