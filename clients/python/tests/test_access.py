"""Credentials on a real bridge that asks for them."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import pytest

from tests.api_keys import create_api_key
from tests.bridge import Bridge, copy_database
from tests.support import collecting, quick, register
from user_bridge import Client, PermissionDeniedError, UnauthenticatedError
from user_bridge.gen.apikeys.v1.apikeys_pb2 import ListApiKeysRequest, RevokeApiKeyRequest
from user_bridge.gen.apikeys.v1.apikeys_pb2_grpc import ApiKeyServiceStub


@dataclass(frozen=True)
class Guarded:
    """A bridge with AUTH=on, and keys for it."""

    address: str
    reader: str
    admin: str


@pytest.fixture(scope="session")
async def guarded(database: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guarded]:
    data_dir = copy_database(database, tmp_path_factory.mktemp("guarded") / "data")
    reader = await create_api_key(data_dir, "reader", "users:read", "events:read")
    admin = await create_api_key(data_dir, "admin", "users:write", "api-keys:read", "api-keys:write")
    bridge = Bridge(data_dir, AUTH="on")
    await bridge.start()
    yield Guarded(bridge.address, reader, admin)
    await bridge.stop(signal.SIGKILL)


async def test_a_key_may_do_what_its_scopes_say(guarded: Guarded) -> None:
    async with (
        Client(guarded.address, credential=guarded.reader) as reader,
        Client(guarded.address, credential=lambda: guarded.admin) as admin,
    ):
        user_id = await register(admin)
        assert (await reader.get(id=user_id)).id == user_id
        assert (await anext(reader.follow(start="earliest"))).type == "user_registered"
        with pytest.raises(PermissionDeniedError) as denied:
            await register(reader)
        assert (denied.value.reason, denied.value.permission) == ("PERMISSION_MISSING", "users:write")
        with pytest.raises(PermissionDeniedError) as denied_stream:
            await anext(admin.follow())
        assert denied_stream.value.permission == "events:read"


async def test_nobody_is_known_without_a_good_credential(guarded: Guarded) -> None:
    changed = guarded.reader[:10] + ("a" if guarded.reader[10] != "a" else "b") + guarded.reader[11:]
    for credential, reason in [(None, "CREDENTIAL_MISSING"), (changed, "CREDENTIAL_INVALID")]:
        async with Client(guarded.address, credential=credential) as client:
            with pytest.raises(UnauthenticatedError) as refused:
                await client.get(username="nobody")
            assert refused.value.reason == reason
            with pytest.raises(UnauthenticatedError):
                await anext(client.follow(reconnect=quick))


async def test_a_stream_ends_when_its_key_is_revoked(guarded: Guarded) -> None:
    async with (
        Client(guarded.address, credential=guarded.reader) as reader,
        Client(guarded.address, credential=guarded.admin) as admin,
    ):
        with pytest.RaisesGroup(UnauthenticatedError):
            async with collecting(reader.follow(start="earliest", reconnect=quick)) as collected:
                await collected.wait_for(await register(admin))
                await revoke(guarded, "reader")
                await asyncio.Event().wait()  # the stream fails the block


async def revoke(guarded: Guarded, name: str) -> None:
    """By the generated stub: the client has no method for it."""
    metadata = (("authorization", f"Bearer {guarded.admin}"),)
    async with grpc.aio.insecure_channel(guarded.address) as channel:
        keys = ApiKeyServiceStub(channel)
        listed = await keys.ListApiKeys(ListApiKeysRequest(), metadata=metadata)
        for key in listed.api_keys:
            if key.name == name:
                await keys.RevokeApiKey(RevokeApiKeyRequest(id=key.id), metadata=metadata)
