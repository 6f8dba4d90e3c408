"""Cursors that cannot be honoured, on real bridges."""

import asyncio
import signal
from pathlib import Path

import grpc
import pytest

from tests.bridge import Bridge
from tests.support import find_end, mutual_tls, register, take
from user_bridge import Client, CursorError, MemoryCursorStore


async def refusal(client: Client, cursor: str) -> CursorError:
    with pytest.raises(CursorError) as refused:
        await anext(client.follow(MemoryCursorStore(cursor)))
    return refused.value


async def refusal_once_removed(client: Client, cursor: str) -> CursorError:
    """Reads what comes behind a cursor, again and again, until it has been removed."""
    while True:
        try:
            await anext(client.follow(MemoryCursorStore(cursor)))
        except CursorError as error:
            return error
        await asyncio.sleep(0.1)


async def test_what_is_no_cursor(client: Client) -> None:
    error = await refusal(client, "nonsense")
    assert (error.reason, error.code) == ("CURSOR_INVALID", grpc.StatusCode.INVALID_ARGUMENT)
    assert error.earliest_cursor == ""
    assert [violation.field for violation in error.violations] == ["after_cursor"]


async def test_a_cursor_from_before_a_backup_was_restored(
    client: Client, tls_bridge: Bridge, certificates: Path
) -> None:
    for _ in range(5):
        await register(client)
    async with Client(tls_bridge.address, tls=mutual_tls(certificates)) as client_of_restored:
        error = await refusal(client_of_restored, await find_end(client))
    assert (error.reason, error.code) == ("CURSOR_AHEAD", grpc.StatusCode.FAILED_PRECONDITION)


async def test_cursors_of_another_database_and_of_removed_events(client: Client, tmp_path: Path) -> None:
    other = Bridge(tmp_path / "data", EVENT_RETENTION="1s")
    await other.start()
    try:
        async with Client(other.address) as client_of_other:
            foreign = await refusal(client_of_other, await find_end(client))
            assert (foreign.reason, foreign.code) == ("CURSOR_FOREIGN", grpc.StatusCode.FAILED_PRECONDITION)

            beginning = await find_end(client_of_other)
            await register(client_of_other)
            compacted = await refusal_once_removed(client_of_other, beginning)
            assert (compacted.reason, compacted.code) == ("CURSOR_COMPACTED", grpc.StatusCode.OUT_OF_RANGE)

            user_id = await register(client_of_other)
            stream = client_of_other.follow(MemoryCursorStore(compacted.earliest_cursor))
            assert [event.payload.id for event in await take(stream, 1)] == [user_id]
    finally:
        await other.stop(signal.SIGKILL)
