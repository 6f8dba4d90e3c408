"""A connection to a user bridge."""

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

import grpc
import grpc.aio
from google.protobuf.message import Message

from user_bridge.backoff import FullJitter
from user_bridge.connection import Tls, is_write, max_attempts, open_channel
from user_bridge.credential import Credential, check_credential, credential_metadata
from user_bridge.cursor_store import CursorStore, MemoryCursorStore
from user_bridge.errors import ClientClosedError, DeadlineExceededError, UnavailableError, to_bridge_error
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

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response")
Metadata = tuple[tuple[str, str], ...]

_default_follow_reconnect = FullJitter()

# As the service config has it for reads.
_write_wait = FullJitter(base=0.1, ceiling=1)


class Client:
    """A connection to a bridge, opened and closed by `async with`. Any number of tasks may share it.

    The target is a gRPC name such as `dns:///bridge.internal:8080`, which is balanced over all addresses that the name
    has; `host:port` means the same. Without `tls` the connection is plaintext. `deadline` is how many seconds a call
    may take that is given no timeout of its own. `options` are gRPC's own channel arguments.

    `credential` is shown with every call and stream. It goes only over TLS or to this machine, unless
    `allow_insecure_credential` lets everybody on the way read it.
    """

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | None = None,
        credential: Credential | None = None,
        allow_insecure_credential: bool = False,
        deadline: float = 5.0,
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        check_credential(credential, target, is_private=tls is not None or allow_insecure_credential)
        self._target = target
        self._credential = credential
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
        self,
        email: str,
        username: str,
        *,
        timeout: float | None = None,
        traceparent: str | None = None,
        idempotency_key: str | None = None,
    ) -> RegisterUserResponse:
        """Creates an active user. A failure other than a refusal leaves open whether it happened.

        Raises EmailTakenError, UsernameTakenError, InvalidInputError.
        """
        request = RegisterUserRequest(email=email, username=username)
        return await self.call(
            self.users.RegisterUser,
            request,
            timeout=timeout,
            traceparent=traceparent,
            idempotency_key=idempotency_key,
        )

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
        idempotency_key: str | None = None,
    ) -> Response:
        """Makes any unary call of `users` with the client's credential, deadline, trace and exceptions.

        While the bridge is unavailable the call is repeated. The bridge carries out a write with the same key and the
        same request once, for 24 hours, and answers each repetition as it did the first time; a write gets a new key
        unless it is given one. With the empty key it is sent once, without a key.
        """
        ends_at = time.monotonic() + (self._deadline if timeout is None else timeout)
        metadata = trace_metadata(traceparent)
        # gRPC itself repeats reads.
        attempts = 1
        if is_write(request) and idempotency_key != "":
            metadata += (("idempotency-key", secrets.token_hex(16) if idempotency_key is None else idempotency_key),)
            attempts = max_attempts
        for failures in range(attempts):
            try:
                return await self._attempt(method, request, metadata, ends_at)
            except UnavailableError:
                delay = _write_wait.delay(failures)
                # What the bridge said tells more than that the time is up.
                if failures + 1 == attempts or time.monotonic() + delay >= ends_at:
                    raise
            try:
                async with asyncio.timeout(delay):
                    await self._closed.wait()
            except TimeoutError:
                continue
            raise ClientClosedError
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        metadata: Metadata,
        ends_at: float,
    ) -> Response:
        task = asyncio.current_task()
        try:
            async with asyncio.timeout(ends_at - time.monotonic()):
                metadata += await credential_metadata(self._credential)
        except TimeoutError:
            raise DeadlineExceededError(
                grpc.StatusCode.DEADLINE_EXCEEDED, "the time is up, and no credential could be had"
            ) from None
        try:
            return await method(request, timeout=ends_at - time.monotonic(), metadata=metadata)
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
        whenever the stream ends, it is opened anew, after a wait by `reconnect`; where its credential has ended, once,
        with the credential of that moment.

        Raises CursorError where the bridge cannot go on behind the stored cursor, InvalidInputError where it refuses
        the filter, UnauthenticatedError and PermissionDeniedError where it refuses the credential, and the store's own
        errors.
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

        async def open_stream(request: UserEventsRequest) -> Stream:
            shown = await credential_metadata(self._credential)
            return self.users.StreamUserEvents(request, metadata=metadata + shown)

        return EventStream(
            open_stream,
            self._closed,
            request,
            MemoryCursorStore() if store is None else store,
            reconnect,
        )
