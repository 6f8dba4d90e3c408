"""A connection to a user bridge."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

import grpc.aio

from user_bridge.backoff import FullJitter
from user_bridge.connection import Tls, open_channel
from user_bridge.cursor_store import CursorStore, MemoryCursorStore
from user_bridge.errors import ClientClosedError, to_bridge_error
from user_bridge.follow import EventStream, Stream
from user_bridge.gen.users.v1.users_pb2 import (
    GetUserRequest,
    RegisterUserRequest,
    RegisterUserResponse,
    User,
    UserEventsRequest,
)
from user_bridge.gen.users.v1.users_pb2_grpc import UserServiceStub
from user_bridge.tracing import trace_metadata

Request = TypeVar("Request")
Response = TypeVar("Response")

_default_follow_reconnect = FullJitter()


class Client:
    """A connection to a bridge, opened and closed by `async with`. Any number of tasks may share it.

    The target is a gRPC name such as `dns:///bridge.internal:8080`, which is balanced over all addresses that the name
    has; `host:port` means the same. Without `tls` the connection is plaintext. `deadline` is how many seconds a call
    may take that is given no timeout of its own. `options` are gRPC's own channel arguments.
    """

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | None = None,
        deadline: float = 5.0,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self._target = target
        self._tls = tls
        self._deadline = deadline
        self._options = options
        self._channel: grpc.aio.Channel | None = None
        self._users: UserServiceStub | None = None
        self._closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Prepares the connection. Fails only where a TLS file cannot be read."""
        if self._channel is not None:
            raise RuntimeError("a client is opened once")
        self._channel = open_channel(self._target, self._tls, self._options)
        self._users = UserServiceStub(self._channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends every call and stream."""
        self._closed.set()
        if self._channel is not None:
            await self._channel.close()

    @property
    def users(self) -> UserServiceStub:
        """The generated stub, for calls that have no method here; see `call`."""
        if self._users is None or self._closed.is_set():
            raise ClientClosedError
        return self._users

    async def register(
        self, email: str, username: str, *, timeout: float | None = None, traceparent: str | None = None
    ) -> RegisterUserResponse:
        """Creates an active user. Never repeated: a failure other than a refusal leaves open whether it happened.

        Raises EmailTakenError, UsernameTakenError, InvalidInputError.
        """
        request = RegisterUserRequest(email=email, username=username)
        return await self.call(self.users.RegisterUser, request, timeout=timeout, traceparent=traceparent)

    @overload
    async def get(self, *, id: str, timeout: float | None = None, traceparent: str | None = None) -> User: ...
    @overload
    async def get(self, *, email: str, timeout: float | None = None, traceparent: str | None = None) -> User: ...
    @overload
    async def get(self, *, username: str, timeout: float | None = None, traceparent: str | None = None) -> User: ...
    async def get(
        self,
        *,
        id: str = "",
        email: str = "",
        username: str = "",
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> User:
        """Looks one user up by exactly one of id, email and username. Repeated while the bridge is unavailable.

        Raises NotFoundError, InvalidInputError.
        """
        request = GetUserRequest(id=id, email=email, username=username)
        response = await self.call(self.users.GetUser, request, timeout=timeout, traceparent=traceparent)
        return response.user

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        *,
        timeout: float | None = None,
        traceparent: str | None = None,
    ) -> Response:
        """Makes any unary call of `users` with the client's deadline, trace and exceptions."""
        task = asyncio.current_task()
        try:
            return await method(
                request,
                timeout=self._deadline if timeout is None else timeout,
                metadata=trace_metadata(traceparent),
            )
        except grpc.aio.AioRpcError as error:
            raise to_bridge_error(error) from error
        except asyncio.CancelledError:
            # gRPC cancels the calls of a channel that is closed. Passed on, that would end our caller's task in
            # silence, which nobody asked to be cancelled.
            if self._closed.is_set() and task is not None and task.cancelling() == 0:
                raise ClientClosedError from None
            raise

    def follow(
        self,
        store: CursorStore | None = None,
        *,
        start: Literal["now", "earliest"] = "now",
        types: Iterable[str] = (),
        user_ids: Iterable[str] = (),
        progress_interval: float = 10.0,
        reconnect: FullJitter = _default_follow_reconnect,
        traceparent: str | None = None,
    ) -> EventStream:
        """Every event that matches, in order, across restarts of the bridge and losses of the connection.

        It begins behind the cursor in the store, or at `start` where the store is empty. An event's cursor is saved
        when the next event is asked for. So one iterator gives each event exactly once. Across crashes of this process
        it is at least once: the one event that had been handed out, but whose successor had not been asked for, is
        handed out again, and no other. The same holds for an event in whose handling the loop was left.

        Every `progress_interval` seconds of silence (0.1 to 3600) the bridge sends a sign of life, the first one at
        once, so that the store has a cursor before the first event. After three intervals without a message, and
        whenever the stream ends, it is opened anew, after a wait by `reconnect`.

        Raises CursorError where the bridge cannot go on behind the stored cursor, InvalidInputError where it refuses
        the filter, and the store's own errors.
        """
        if not 0.1 <= progress_interval <= 3600:
            raise ValueError(f"progress_interval must be 0.1 to 3600 s, not {progress_interval}")
        request = UserEventsRequest(
            start=UserEventsRequest.EARLIEST if start == "earliest" else UserEventsRequest.NOW,
            types=types,
            user_ids=user_ids,
        )
        request.progress_interval.FromTimedelta(timedelta(seconds=progress_interval))
        metadata = trace_metadata(traceparent)

        def open_stream(request: UserEventsRequest) -> Stream:
            return self.users.StreamUserEvents(request, metadata=metadata)

        return EventStream(
            open_stream,
            self._closed,
            request,
            MemoryCursorStore() if store is None else store,
            reconnect,
        )
