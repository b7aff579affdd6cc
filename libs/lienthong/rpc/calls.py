"""The client's side of a call: deadline in, trace context in, domain errors out.

A wrapping channel and not gRPC interceptors: those put a task and a queue between caller and wire, and cannot
raise anything but AioRpcError from an iterator.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

import grpc
from lienthong.errors import DomainError, Unavailable
from lienthong.rpc.deadline import timeout_for
from lienthong.rpc.errors import from_rpc_error
from lienthong.rpc.interceptors import is_traced
from opentelemetry import propagate, trace

_tracer: Final = trace.get_tracer("lienthong.rpc")


class DomainChannel(grpc.aio.Channel):
    """A channel whose calls raise domain errors; made by `client.channel_to`."""

    def __init__(self, channel: grpc.aio.Channel, default_timeout: float) -> None:
        self._channel = channel
        self._default_timeout = default_timeout

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        inner = self._channel.unary_unary(method, *args, **kwargs)
        return _Method(method, inner, _AnsweredCall, self._default_timeout)

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(method, self._channel.stream_unary(method, *args, **kwargs), _AnsweredCall, None)

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(method, self._channel.unary_stream(method, *args, **kwargs), _StreamedCall, None)

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Any:
        return _Method(method, self._channel.stream_stream(method, *args, **kwargs), _StreamedCall, None)

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    async def __aenter__(self) -> DomainChannel:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()


@dataclass(frozen=True, slots=True)
class _Method:
    """One method of a stub: starts calls."""

    name: str
    inner: Any
    wrap: Callable[[Any, _Span], _Call]
    default_timeout: float | None

    def __call__(
        self, request: Any = None, *, timeout: float | None = None, metadata: Any = None, **options: Any
    ) -> _Call:
        limit = timeout_for(self.default_timeout if timeout is None else timeout)
        span = _Span(self.name)
        call = self.inner(request, timeout=limit, metadata=span.carried_by(metadata), **options)
        if hasattr(call, "_write"):
            call._cython_call = _RealStatus(call._cython_call)
        return self.wrap(call, span)


class _RealStatus:
    """Lets the server's own status through when a stream ends while we write to it.

    grpc.aio (1.85) takes a failed send for a defect of its own and sets INTERNAL, which wins over the status
    on its way: one refusal of a stream in twenty lost its reason (measured). A send only fails because the
    call is over, so the real status always follows.
    """

    __slots__ = ("_call",)

    def __init__(self, call: Any) -> None:
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def set_internal_error(self, text: str) -> None:
        """Wait for the status instead."""


class _Span:
    """The client span of one call; nothing at all for the methods that are not traced."""

    __slots__ = ("_span",)

    def __init__(self, method: str) -> None:
        self._span: trace.Span | None = None
        if is_traced(method):
            service, _, name = method.removeprefix("/").partition("/")
            self._span = _tracer.start_span(
                method,
                kind=trace.SpanKind.CLIENT,
                attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": name},
            )

    def carried_by(self, metadata: Any) -> Any:
        if self._span is None or not self._span.get_span_context().is_valid:
            return metadata
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(self._span))
        return (*(metadata or ()), *carrier.items())

    def end(self, error: BaseException | None = None) -> None:
        span, self._span = self._span, None
        if span is None:
            return
        if error is not None:
            reason = error.reason if isinstance(error, DomainError) else type(error).__name__
            span.set_status(trace.StatusCode.ERROR, reason)
        span.end()


class _Call:
    """What all kinds of calls can do; everything that is not translated is gRPC's own call."""

    def __init__(self, call: Any, span: _Span) -> None:
        self._call = call
        self._span = span

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __del__(self) -> None:
        self._span.end()

    def cancel(self) -> bool:
        self._span.end()
        return bool(self._call.cancel())

    async def write(self, request: Any) -> None:
        await self._translated(self._call.write(request))

    async def done_writing(self) -> None:
        await self._translated(self._call.done_writing())

    async def wait_for_connection(self) -> None:
        await self._translated(self._call.wait_for_connection())

    async def _translated(self, step: Any) -> Any:
        try:
            return await step
        except grpc.aio.AioRpcError as error:
            raise self._ended(from_rpc_error(error)) from error
        except asyncio.InvalidStateError as error:
            if not self._call.done():  # our own mistake (a write after done_writing), not the peer's end
                raise
            raise self._ended(await self._why_closed()) from error
        except asyncio.CancelledError as error:
            self._span.end(error)
            raise

    async def _why_closed(self) -> DomainError:
        """gRPC only says that the stream is over; its status says why."""
        code, details = await self._call.code(), await self._call.details()
        trailers = await self._call.trailing_metadata()
        if code.value[0] == 0:
            return Unavailable("STREAM_CLOSED", "the stream is closed")
        return from_rpc_error(grpc.aio.AioRpcError(code, trailing_metadata=trailers, details=details))

    def _ended(self, error: DomainError) -> DomainError:
        self._span.end(error)
        return error


class _AnsweredCall(_Call):
    """A call with one answer: await it."""

    def __await__(self) -> Generator[Any, None, Any]:
        return self._answer().__await__()

    async def _answer(self) -> Any:
        answer = await self._translated(self._call)
        self._span.end()
        return answer


class _StreamedCall(_Call):
    """A call with a stream of answers: iterate it, or `read()` until `grpc.aio.EOF`."""

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._answers()

    async def _answers(self) -> AsyncIterator[Any]:
        answers = self._call.__aiter__()
        while True:
            try:
                answer = await self._translated(answers.__anext__())
            except StopAsyncIteration:
                self._span.end()
                return
            yield answer

    async def read(self) -> Any:
        answer = await self._translated(self._call.read())
        if answer is grpc.aio.EOF:
            self._span.end()
        return answer
