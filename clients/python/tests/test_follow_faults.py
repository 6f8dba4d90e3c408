"""The stream of events on a server that misbehaves."""

import asyncio
from collections.abc import AsyncIterator, Callable

import grpc
import pytest
from google.protobuf.message import Message

from tests.fake_bridge import Context, FakeBridge
from tests.support import WatchedStore, lost_streams, quick, take
from user_bridge import BridgeError, Client, MemoryCursorStore, UserEvent


def event(revision: int) -> UserEvent:
    return UserEvent(type="user_registered", revision=revision, cursor=f"cursor {revision}")


def progress(revision: int) -> UserEvent:
    return UserEvent(type="progress", revision=revision, cursor=f"cursor {revision}")


def streams(*each: list[UserEvent]) -> Callable[[Context], AsyncIterator[Message]]:
    """What each stream in turn sends, before it ends as if all were well."""
    remaining = iter(each)

    async def stream(_context: Context) -> AsyncIterator[Message]:
        for message in next(remaining):
            yield message

    return stream


async def test_an_event_that_the_bridge_repeats_is_handed_out_once() -> None:
    fake = FakeBridge(
        stream={
            "StreamUserEvents": streams([progress(6), event(7), event(7), event(8)], [event(7), event(8), event(9)])
        }
    )
    async with fake.serving(), Client(fake.address) as client:
        events = await take(client.follow(reconnect=quick), 3)
    assert [each.revision for each in events] == [7, 8, 9]


async def test_progress_is_saved_and_not_handed_out() -> None:
    store = WatchedStore()
    fake = FakeBridge(stream={"StreamUserEvents": streams([progress(6), progress(6), progress(9), event(10)])})
    async with fake.serving(), Client(fake.address) as client:
        assert (await anext(client.follow(store))).revision == 10
    assert store.saves == ["cursor 6", "cursor 9"]


async def test_a_bridge_that_is_not_there_yet_is_waited_for() -> None:
    fake = FakeBridge(stream={"StreamUserEvents": streams([event(1)])})
    async with Client(fake.address) as client:
        with lost_streams("UNAVAILABLE") as lost:
            stream = client.follow(reconnect=quick)
            waiting = asyncio.create_task(take(stream, 1))
            await lost.wait()
            async with fake.serving():
                assert [each.revision for each in await waiting] == [1]


@pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED])
async def test_a_final_refusal_is_raised_with_its_code(code: grpc.StatusCode) -> None:
    async def stream(context: Context) -> AsyncIterator[Message]:
        yield progress(1)
        await context.abort(code, "never")

    fake = FakeBridge(stream={"StreamUserEvents": stream})
    async with fake.serving(), Client(fake.address) as client:
        with pytest.raises(BridgeError, match="never") as refused:
            await anext(client.follow())
    assert refused.value.code is code
    assert fake.attempts["StreamUserEvents"] == 1


async def test_a_store_that_fails_is_the_callers_to_know() -> None:
    class BrokenStore(MemoryCursorStore):
        async def save(self, cursor: str) -> None:
            raise OSError("the disk is full")

    fake = FakeBridge(stream={"StreamUserEvents": streams([event(1), event(2)])})
    async with fake.serving(), Client(fake.address) as client:
        stream = client.follow(BrokenStore())
        assert (await anext(stream)).revision == 1
        for _ in range(2):
            with pytest.raises(OSError, match="the disk is full"):
                await anext(stream)


async def test_an_interval_that_the_bridge_would_refuse_is_refused_at_once() -> None:
    async with Client("127.0.0.1:1") as client:
        for seconds in (0, 0.05, 4000):
            with pytest.raises(ValueError, match="progress_interval"):
                client.follow(progress_interval=seconds)
