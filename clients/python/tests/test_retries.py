"""Deadlines, retries and traces, as a server sees them."""

import asyncio
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc import StatusCode

from tests.fake_bridge import Context, FakeBridge, refuse
from user_bridge import (
    BridgeError,
    Client,
    ClientClosedError,
    DeadlineExceededError,
    FullJitter,
    UnavailableError,
    current_traceparent,
)
from user_bridge.gen.users.v1 import users_pb2
from user_bridge.gen.users.v1.users_pb2 import GetUserResponse, RegisterUserResponse, User

methods = [m for m in users_pb2.DESCRIPTOR.services_by_name["UserService"].methods if not m.server_streaming]
reads = {"GetUser", "BatchGetUsers", "ListUsers"}

traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
other_traceparent = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


async def test_get_is_repeated_until_the_bridge_is_there() -> None:
    async def answer(context: Context) -> Message:
        return await refuse(context) if fake.attempts["GetUser"] < 3 else GetUserResponse(user=User(id="1"))

    fake = FakeBridge({"GetUser": answer})
    async with fake.serving(), Client(fake.address) as client:
        assert (await client.get(id="1")).id == "1"
    assert fake.attempts == {"GetUser": 3}


async def test_a_write_is_repeated_with_one_key_and_the_next_one_has_another() -> None:
    async def answer(context: Context) -> Message:
        return await refuse(context) if fake.attempts["RegisterUser"] < 3 else RegisterUserResponse(id="1")

    fake = FakeBridge({"RegisterUser": answer})
    async with fake.serving(), Client(fake.address) as client:
        for _ in range(2):
            assert (await client.register("ada@example.com", "ada")).id == "1"
    assert fake.attempts == {"RegisterUser": 4}
    first, *attempts, other = fake.keys
    assert attempts == [first, first]
    assert None not in (first, other)
    assert first != other


@pytest.mark.parametrize(("given", "sent"), [("mine", ["mine"] * 4), ("", [None])])
async def test_a_write_keeps_the_key_that_it_is_given_and_without_one_is_sent_once(
    given: str, sent: list[str | None]
) -> None:
    fake = FakeBridge({"RegisterUser": refuse})
    async with fake.serving(), Client(fake.address) as client:
        with pytest.raises(UnavailableError, match="try again"):
            await client.register("ada@example.com", "ada", idempotency_key=given)
    assert fake.keys == sent


@pytest.mark.parametrize(
    "code", [StatusCode.UNAUTHENTICATED, StatusCode.PERMISSION_DENIED, StatusCode.INTERNAL, StatusCode.ABORTED]
)
async def test_nothing_is_repeated_but_what_is_unavailable(code: StatusCode) -> None:
    async def answer(context: Context) -> Message:
        return await context.abort(code, "no")

    fake = FakeBridge({"RegisterUser": answer, "GetUser": answer})
    async with fake.serving(), Client(fake.address) as client:
        with pytest.raises(BridgeError):
            await client.register("ada@example.com", "ada")
        with pytest.raises(BridgeError):
            await client.get(id="1")
    assert fake.attempts == {"RegisterUser": 1, "GetUser": 1}


@pytest.mark.parametrize("method", methods, ids=lambda method: method.name)
async def test_all_calls_are_repeated_and_only_writes_have_a_key(method: Any) -> None:
    fake = FakeBridge({method.name: refuse})
    async with fake.serving(), Client(fake.address) as client:
        with pytest.raises(UnavailableError):
            await client.call(getattr(client.users, method.name), GetMessageClass(method.input_type)())
    assert fake.attempts[method.name] == 4
    assert len(set(fake.keys)) == 1
    assert (fake.keys[0] is None) is (method.name in reads)


async def test_the_deadline_spans_all_attempts_of_a_write() -> None:
    fake = FakeBridge({"RegisterUser": refuse})
    async with fake.serving(), Client(fake.address) as client:
        async with asyncio.timeout(2):
            with pytest.raises(UnavailableError):
                await client.register("ada@example.com", "ada", timeout=0.1)


async def test_closing_the_client_ends_the_wait_for_the_next_attempt() -> None:
    reached = asyncio.Event()

    async def answer(context: Context) -> Message:
        reached.set()
        return await refuse(context)

    fake = FakeBridge({"RegisterUser": answer})
    async with fake.serving():
        async with Client(fake.address) as client:
            call = asyncio.create_task(client.register("ada@example.com", "ada"))
            await reached.wait()
        with pytest.raises((ClientClosedError, UnavailableError)):
            await call


async def test_a_call_has_five_seconds_unless_told_otherwise() -> None:
    remaining: list[float] = []

    async def answer(context: Context) -> Message:
        remaining.append(context.time_remaining())
        return GetUserResponse()

    fake = FakeBridge({"GetUser": answer})
    async with fake.serving(), Client(fake.address) as client, Client(fake.address, deadline=60) as patient:
        await client.get(id="1")
        await client.get(id="1", timeout=30)
        await patient.get(id="1")
    assert remaining == pytest.approx([5, 30, 60], abs=1)


async def test_the_deadline_spans_all_attempts() -> None:
    async def hang(_context: Context) -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    fake = FakeBridge({"GetUser": hang})
    async with fake.serving(), Client(fake.address) as client:
        with pytest.raises(DeadlineExceededError):
            await client.get(id="1", timeout=0.1)


async def test_closing_the_client_ends_its_calls_without_cancelling_the_callers_task() -> None:
    reached = asyncio.Event()

    async def hang(_context: Context) -> Message:
        reached.set()
        await asyncio.Event().wait()
        raise AssertionError

    fake = FakeBridge({"GetUser": hang})
    async with fake.serving():
        async with Client(fake.address) as client:
            call = asyncio.create_task(client.get(id="1"))
            await reached.wait()
        with pytest.raises(ClientClosedError):
            await call


async def test_a_trace_is_passed_on_from_the_argument_or_else_from_the_context() -> None:
    async def answer(_context: Context) -> Message:
        return GetUserResponse()

    fake = FakeBridge({"GetUser": answer})

    async def sent(client: Client, value: str | None = None) -> str | bytes | None:
        await client.get(id="1", traceparent=value)
        return fake.metadata["GetUser"].get("traceparent")

    async with fake.serving(), Client(fake.address) as client:
        assert await sent(client) is None
        assert await sent(client, traceparent) == traceparent
        assert await sent(client, "00-nonsense\n") is None
        token = current_traceparent.set(other_traceparent)
        try:
            assert await sent(client) == other_traceparent
            assert await sent(client, traceparent) == traceparent
            with pytest.raises(BridgeError, match="UNIMPLEMENTED"):
                await anext(client.follow())
        finally:
            current_traceparent.reset(token)
    assert fake.metadata["StreamUserEvents"]["traceparent"] == other_traceparent


def test_the_back_off_doubles_up_to_its_ceiling_and_is_spread_over_all_of_it() -> None:
    jitter = FullJitter(base=0.1, ceiling=1)
    for failures, limit in [(0, 0.1), (1, 0.2), (3, 0.8), (4, 1), (10_000, 1)]:
        delays = [jitter.delay(failures) for _ in range(1000)]
        assert 0 <= min(delays) < limit * 0.1
        assert limit * 0.9 < max(delays) <= limit
