"""The stream of events on a real bridge that comes and goes."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.bridge import Bridge
from tests.support import WatchedStore, collecting, find_end, lost_streams, quick, register, take
from user_bridge import BridgeError, Client, FileCursorStore, InvalidInputError, MemoryCursorStore, UserEvent
from user_bridge.gen.users.v1.users_pb2 import DeactivateUserRequest, UserEventsRequest


async def read_log(client: Client, after: str, count: int) -> list[UserEvent]:
    """What the bridge itself says comes behind a cursor."""
    call = client.users.StreamUserEvents(UserEventsRequest(after_cursor=after), timeout=20)
    events: list[UserEvent] = []
    async for event in call:
        events.append(event)
        if len(events) == count:
            break
    call.cancel()
    return events


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda end: end.name)
async def test_each_event_arrives_once_across_a_restart(bridge: Bridge, client: Client, end: signal.Signals) -> None:
    beginning = await find_end(client)
    stream = client.follow(MemoryCursorStore(beginning), progress_interval=1, reconnect=quick)
    async with collecting(stream) as collected, Client(bridge.address) as before:
        for _ in range(3):
            await register(before)
        # Of these some are answered, some happen all the same, some never reach the bridge.
        writes = [asyncio.create_task(register(before)) for _ in range(20)]
        await asyncio.wait(writes, return_when=asyncio.FIRST_COMPLETED)
        await bridge.stop(end)
        outcomes = await asyncio.gather(*writes, return_exceptions=True)

        await bridge.start()
        async with Client(bridge.address) as after:
            for _ in range(3):
                await register(after)
            await collected.wait_for(await register(after))
            log = await read_log(after, beginning, len(collected.events))

    events = collected.events
    assert [event.revision for event in events] == [events[0].revision + i for i in range(len(events))]
    assert events == log
    assert all(isinstance(outcome, str | BridgeError) for outcome in outcomes)
    answered = {outcome for outcome in outcomes if isinstance(outcome, str)}
    assert answered <= {event.payload.id for event in events}


async def test_a_second_run_goes_on_where_the_first_one_left(bridge: Bridge, tmp_path: Path) -> None:
    store = FileCursorStore(tmp_path / "cursor")
    async with Client(bridge.address) as client:
        await store.save(await find_end(client))
        ids = [await register(client) for _ in range(4)]
        stream = client.follow(store)
        first = await take(stream, 3)
    # The third was handed out, but nobody asked for what comes behind it: it may not have been dealt with.
    async with Client(bridge.address) as client:
        second = await take(client.follow(FileCursorStore(tmp_path / "cursor")), 2)
    assert [event.payload.id for event in first] == ids[:3]
    assert [event.payload.id for event in second] == ids[2:]


async def test_an_event_is_saved_when_the_next_one_is_asked_for(client: Client) -> None:
    store = WatchedStore(await find_end(client))
    for _ in range(3):
        await register(client)
    stream = client.follow(store)
    first, second = await take(stream, 2)
    assert store.saves == [first.cursor]
    third = await anext(stream)
    assert store.saves == [first.cursor, second.cursor]
    await stream.aclose()
    assert store.cursor == second.cursor
    assert third.cursor != second.cursor


async def test_there_is_a_cursor_before_the_first_event(client: Client) -> None:
    store = WatchedStore()
    async with collecting(client.follow(store)) as collected:
        await store.has_cursor.wait()
    assert collected.events == []
    user_id = await register(client)
    assert (await anext(client.follow(store))).payload.id == user_id


async def test_a_silent_stream_is_replaced(bridge: Bridge, client: Client) -> None:
    store = WatchedStore()
    stream = client.follow(store, progress_interval=0.2, reconnect=quick)
    async with collecting(stream) as collected:
        await store.has_cursor.wait()
        with lost_streams("silent for 0.6 s") as lost:
            bridge.freeze()
            try:
                await lost.wait()
            finally:
                bridge.thaw()
        user_id = await register(client)
        await collected.wait_for(user_id)
    assert [event.payload.id for event in collected.events] == [user_id]


async def test_a_cancelled_wait_loses_nothing(client: Client) -> None:
    stream = client.follow(MemoryCursorStore(await find_end(client)))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await anext(stream)
    ids = [await register(client), await register(client)]
    assert [event.payload.id for event in await take(stream, 2)] == ids


async def test_closing_the_client_ends_its_streams(bridge: Bridge) -> None:
    store = WatchedStore()
    async with Client(bridge.address) as client:
        waiting = asyncio.create_task(anext(client.follow(store), None))
        await store.has_cursor.wait()
        stream = client.follow(MemoryCursorStore(store.cursor))
    assert await waiting is None
    assert await anext(stream, None) is None


async def test_an_event_dealt_with_is_saved_even_if_the_client_was_closed_meanwhile(bridge: Bridge) -> None:
    store = WatchedStore()
    async with Client(bridge.address) as client:
        stream = client.follow(store, start="earliest")
        await register(client)
        event = await anext(stream)
    assert await anext(stream, None) is None
    assert store.cursor == event.cursor


async def test_events_can_be_chosen_by_type_and_user(client: Client) -> None:
    cursor = await find_end(client)
    user_id, other = await register(client), await register(client)
    for each in (other, user_id):
        await client.call(client.users.DeactivateUser, DeactivateUserRequest(id=each))
    by_type = await take(client.follow(MemoryCursorStore(cursor), types=["user_deactivated"]), 2)
    by_user = await take(client.follow(MemoryCursorStore(cursor), user_ids=[user_id]), 2)
    assert [event.payload.id for event in by_type] == [other, user_id]
    assert [event.type for event in by_user] == ["user_registered", "user_deactivated"]


async def test_a_filter_that_the_bridge_refuses_is_not_tried_again(client: Client) -> None:
    with pytest.raises(InvalidInputError) as invalid:
        await anext(client.follow(types=["user_imagined"]))
    assert [violation.field for violation in invalid.value.violations] == ["types[0]"]
