"""Calls on a real bridge."""

import grpc
import pytest

from tests.bridge import Bridge
from tests.fake_bridge import FakeBridge
from tests.support import register, unique_name
from user_bridge import (
    BridgeError,
    Client,
    ClientClosedError,
    DeadlineExceededError,
    EmailTakenError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
    UsernameTakenError,
)
from user_bridge.gen.users.v1.users_pb2 import DeactivateUserRequest


async def test_a_registered_user_is_found_by_id_email_and_username(client: Client) -> None:
    name = unique_name()
    registered = await client.register(f"{name}@Example.com", name.upper())
    assert (registered.email, registered.username, registered.status) == (f"{name}@example.com", name, "active")

    by_id = await client.get(id=registered.id)
    assert by_id == await client.get(email=registered.email)
    assert by_id == await client.get(username=registered.username)
    assert (by_id.id, by_id.is_active) == (registered.id, True)


async def test_what_is_taken_is_told_by_its_own_exception(client: Client) -> None:
    name, other = unique_name(), unique_name()
    await client.register(f"{name}@example.com", name)

    with pytest.raises(EmailTakenError) as email_taken:
        await client.register(f"{name.upper()}@example.com", other)
    assert email_taken.value.code is grpc.StatusCode.ALREADY_EXISTS
    assert email_taken.value.reason == "EMAIL_TAKEN"
    assert isinstance(email_taken.value.__cause__, grpc.aio.AioRpcError)

    with pytest.raises(UsernameTakenError) as username_taken:
        await client.register(f"{other}@example.com", name)
    assert username_taken.value.reason == "USERNAME_TAKEN"


async def test_a_user_that_does_not_exist_is_not_found(client: Client) -> None:
    with pytest.raises(NotFoundError) as not_found:
        await client.get(username=unique_name())
    assert not_found.value.reason != ""


async def test_invalid_input_names_each_field_at_fault(client: Client) -> None:
    with pytest.raises(InvalidInputError) as invalid:
        await client.register("nowhere", "1")
    assert {violation.field for violation in invalid.value.violations} == {"email", "username"}
    assert all(violation.description and violation.reason for violation in invalid.value.violations)


async def test_any_other_call_has_the_same_exceptions(client: Client) -> None:
    user_id = await register(client)
    response = await client.call(client.users.DeactivateUser, DeactivateUserRequest(id=user_id))
    assert response.user.is_active is False
    with pytest.raises(InvalidInputError):
        await client.call(client.users.DeactivateUser, DeactivateUserRequest(id="1"))


async def test_a_bridge_that_does_not_answer_is_left_at_the_deadline(client: Client, bridge: Bridge) -> None:
    user_id = await register(client)
    bridge.freeze()
    try:
        with pytest.raises(DeadlineExceededError):
            await client.get(id=user_id, timeout=0.3)
    finally:
        bridge.thaw()
    assert (await client.get(id=user_id)).id == user_id


async def test_a_bridge_that_is_not_there_is_unavailable() -> None:
    async with Client(FakeBridge().address) as client:
        with pytest.raises(UnavailableError) as unavailable:
            await client.register("ada@example.com", "ada")
    assert unavailable.value.reason == ""


async def test_a_client_that_is_not_open_says_so() -> None:
    client = Client("127.0.0.1:1")
    with pytest.raises(ClientClosedError):
        await client.get(id="1")
    with pytest.raises(BridgeError):
        await anext(client.follow())
