"""What a client shows to say who calls, as a server sees it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest
from google.protobuf.message import Message

from tests.fake_bridge import Context, FakeBridge, refuse
from tests.support import quick, take
from user_bridge import (
    BridgeError,
    Client,
    Credential,
    DeadlineExceededError,
    NotFoundError,
    PermissionDeniedError,
    Tls,
    UnauthenticatedError,
    UnavailableError,
    UserEvent,
)
from user_bridge.gen.users.v1.users_pb2 import GetUserResponse, RegisterUserResponse


def counting() -> Callable[[], str]:
    """Each credential it gives is another one."""
    count = 0

    def credential() -> str:
        nonlocal count
        count += 1
        return f"token{count}"

    return credential


async def get(_context: Context) -> Message:
    return GetUserResponse()


async def test_each_call_attempt_of_a_write_and_stream_asks_for_the_credential() -> None:
    async def register(context: Context) -> Message:
        return await refuse(context) if fake.attempts["RegisterUser"] < 2 else RegisterUserResponse()

    async def stream(_context: Context) -> AsyncIterator[Message]:
        yield UserEvent(type="user_registered", revision=fake.attempts["StreamUserEvents"])

    fake = FakeBridge({"GetUser": get, "RegisterUser": register}, {"StreamUserEvents": stream})
    async with fake.serving(), Client(fake.address, credential=counting()) as client:
        await client.get(id="1")
        await client.register("ada@example.com", "ada")
        await take(client.follow(reconnect=quick), 2)
    assert fake.shown == [f"Bearer token{number}" for number in range(1, 6)]


async def bring() -> str:
    await asyncio.sleep(0)
    return "brought"


@pytest.mark.parametrize(
    ("credential", "shown"), [("ubk_secret", "Bearer ubk_secret"), (bring, "Bearer brought"), ("", None), (None, None)]
)
async def test_a_credential_is_a_text_or_what_a_function_brings(
    credential: Credential | None, shown: str | None
) -> None:
    fake = FakeBridge({"GetUser": get})
    async with fake.serving(), Client(fake.address, credential=credential) as client:
        await client.get(id="1")
    assert fake.shown == [shown]


async def test_a_call_without_a_credential_to_be_had_says_why() -> None:
    fake = FakeBridge({"GetUser": get})

    async def fails_with(credential: Callable[[], str | Awaitable[str]]) -> BridgeError:
        async with Client(fake.address, credential=credential) as client:
            with pytest.raises(BridgeError) as failure:
                await client.get(id="1", timeout=0.5)
        return failure.value

    def raise_error(error: Exception) -> Callable[[], str]:
        def credential() -> str:
            raise error

        return credential

    async def never() -> str:
        await asyncio.Event().wait()
        raise AssertionError

    async with fake.serving():
        own = NotFoundError(grpc.StatusCode.NOT_FOUND, "no such session")
        assert await fails_with(raise_error(own)) is own
        offline = await fails_with(raise_error(OSError("offline")))
        assert isinstance(offline, UnavailableError)
        assert "no credential could be had: offline" in str(offline)
        assert isinstance(await fails_with(never), DeadlineExceededError)
        unpresentable = await fails_with(lambda: "ubk_secret\r\nx: y")
        assert isinstance(unpresentable, UnauthenticatedError)
        assert "secret" not in str(unpresentable)
    assert fake.attempts == {}


async def test_a_stream_waits_for_a_credential_that_cannot_be_had_yet() -> None:
    failures = [OSError("offline"), OSError("offline")]

    def credential() -> str:
        if failures:
            raise failures.pop()
        return "token"

    async def stream(_context: Context) -> AsyncIterator[Message]:
        yield UserEvent(type="user_registered", revision=1)

    fake = FakeBridge(stream={"StreamUserEvents": stream})
    async with fake.serving(), Client(fake.address, credential=credential) as client:
        await take(client.follow(reconnect=quick), 1)
    assert fake.shown == ["Bearer token"]


async def test_a_stream_whose_credential_has_ended_is_opened_once_more() -> None:
    async def stream(context: Context) -> AsyncIterator[Message]:
        number = fake.attempts["StreamUserEvents"]
        if number <= 3:
            yield UserEvent(type="user_registered", revision=number)
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the credential behind this stream has ended")

    fake = FakeBridge(stream={"StreamUserEvents": stream})
    async with fake.serving(), Client(fake.address, credential="ubk_revoked") as client:
        following = client.follow(reconnect=quick)
        assert [event.revision for event in await take(following, 3)] == [1, 2, 3]
        with pytest.raises(UnauthenticatedError, match="has ended"):
            await anext(following)
    assert fake.attempts["StreamUserEvents"] == 4


@pytest.mark.parametrize(
    "target", ["127.0.0.1:1", "dns:///127.9.9.9:1", "localhost", "dns:///LOCALHOST:1", "[::1]:1", "unix:///tmp/bridge"]
)
def test_a_credential_goes_in_plaintext_to_this_machine(target: str) -> None:
    Client(target, credential="ubk_secret")


@pytest.mark.parametrize(
    "target", ["bridge.internal:1", "10.0.0.1:1", "localhost.example.com:1", "dns://10.0.0.1/localhost:1", "[::2]:1"]
)
def test_a_credential_goes_elsewhere_only_over_tls_or_where_that_is_allowed(target: str) -> None:
    for credential in ("ubk_secret", counting()):
        with pytest.raises(ValueError, match="only over TLS"):
            Client(target, credential=credential)
        Client(target, credential=credential, tls=Tls())
        Client(target, credential=credential, allow_insecure_credential=True)
    Client(target)


def test_a_credential_that_no_metadata_can_carry_is_refused_and_not_repeated() -> None:
    for text in ("ubk_secret\n", "ubk secret", "gehe\u00efm-secret"):
        with pytest.raises(ValueError, match="no metadata can carry") as refused:
            Client("127.0.0.1:1", credential=text)
        assert "secret" not in str(refused.value)


def test_the_missing_permission_is_named() -> None:
    denied = PermissionDeniedError(
        grpc.StatusCode.PERMISSION_DENIED, "no", reason="PERMISSION_MISSING", metadata={"permission": "users:write"}
    )
    assert denied.permission == "users:write"
