"""The stream of events, across restarts of the bridge."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self

import grpc
import grpc.aio

from user_bridge.backoff import FullJitter
from user_bridge.cursor_store import CursorStore
from user_bridge.errors import UnavailableError, to_bridge_error
from user_bridge.gen.users.v1.users_pb2 import UserEvent, UserEventsRequest

logger = logging.getLogger("user_bridge")

_progress = "progress"

# A stream that owes its progress message for this many intervals is dead.
_silent_intervals = 3

# These say that the same request will not do better later.
_final_codes = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)

Stream = grpc.aio.UnaryStreamCall[UserEventsRequest, UserEvent]


class EventStream(AsyncIterator[UserEvent]):
    """Every event that matches, in order, until the client is closed. See `Client.follow`.

    For one task at a time. A cancelled wait for the next event loses nothing: ask again.
    """

    def __init__(
        self,
        open_stream: Callable[[UserEventsRequest], Awaitable[Stream]],
        closed: asyncio.Event,
        request: UserEventsRequest,
        store: CursorStore,
        reconnect: FullJitter,
    ) -> None:
        self._open_stream = open_stream
        self._closed = closed
        self._request = request  # its after_cursor is where the next stream begins
        self._store = store
        self._reconnect = reconnect
        self._patience = _silent_intervals * request.progress_interval.ToMilliseconds() / 1000
        self._saved: str | None = None  # None until the store has been asked
        # Revisions can be compared, since each stream begins behind a cursor of the one before and the bridge refuses
        # cursors of another database.
        self._revision = 0
        self._failures = 0
        self._asked_anew = False  # for the credential, since the last message
        self._stream: Stream | None = None
        self._messages: AsyncIterator[UserEvent] | None = None

    def __aiter__(self) -> Self:
        """Itself."""
        return self

    async def __anext__(self) -> UserEvent:
        """The next event. To ask for it says that the one before has been dealt with: its cursor is saved first."""
        while True:
            await self._save()
            if self._closed.is_set():
                self._drop()
                raise StopAsyncIteration
            try:
                message = await self._receive()
            except _LostError as lost:
                await self._pause(lost)
                continue
            self._failures = 0
            self._asked_anew = False
            if message.type != _progress and message.revision <= self._revision:
                continue  # a bridge that repeats itself is not believed
            self._revision = max(self._revision, message.revision)
            self._request.after_cursor = message.cursor
            if message.type != _progress:
                return message

    async def aclose(self) -> None:
        """Ends the stream; the last event that was handed out counts as not dealt with."""
        self._drop()

    async def _save(self) -> None:
        """Makes the store agree with where we are; at first, makes us agree with the store."""
        if self._saved is None:
            self._saved = await self._store.load()
            self._request.after_cursor = self._saved
        elif self._saved != self._request.after_cursor:
            await self._store.save(self._request.after_cursor)
            self._saved = self._request.after_cursor

    async def _receive(self) -> UserEvent:
        """The next message of the stream, which is opened where there is none."""
        task = asyncio.current_task()
        try:
            # Runs only while we wait for the bridge: who deals with an event may take their time.
            async with asyncio.timeout(self._patience):
                if self._messages is None:
                    self._stream = await self._open_stream(self._request)
                    self._messages = aiter(self._stream)
                return await anext(self._messages)
        except BaseException as failure:
            self._drop()
            match failure:
                case TimeoutError():
                    raise _LostError(f"silent for {self._patience:g} s") from None
                case StopAsyncIteration():
                    raise _LostError("ended by the bridge") from None
                case UnavailableError():
                    # There was no credential to be had.
                    raise _LostError(str(failure)) from failure
                case grpc.aio.AioRpcError() if failure.code() in _final_codes and not self._asks_anew(failure):
                    raise to_bridge_error(failure) from failure
                case grpc.aio.AioRpcError():
                    raise _LostError(f"{failure.code().name}: {failure.details()}") from failure
                case asyncio.CancelledError() if task is not None and task.cancelling() == 0:
                    # Nobody cancelled us: gRPC tells us in this way that the client was closed.
                    raise _LostError("cancelled") from None
                case _:
                    raise

    def _asks_anew(self, failure: grpc.aio.AioRpcError) -> bool:
        """Whether another credential may mend it: one that has ended is asked for anew, once."""
        asks_anew = failure.code() is grpc.StatusCode.UNAUTHENTICATED and not self._asked_anew
        self._asked_anew = self._asked_anew or asks_anew
        return asks_anew

    async def _pause(self, lost: "_LostError") -> None:
        """Waits before the next attempt, or until the client is closed."""
        delay = self._reconnect.delay(self._failures)
        self._failures += 1
        if not self._closed.is_set():
            logger.warning("lost the event stream (%s); trying again in %.1f s", lost, delay)
        try:
            async with asyncio.timeout(delay):
                await self._closed.wait()
        except TimeoutError:
            pass

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
        self._stream = self._messages = None


class _LostError(Exception):
    """The stream ended in a way that another attempt may mend."""
