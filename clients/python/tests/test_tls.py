"""TLS and mutual TLS on a real bridge."""

from pathlib import Path

import pytest

from tests.bridge import Bridge
from tests.support import mutual_tls, register
from user_bridge import Client, Tls, UnavailableError


async def test_a_client_with_a_certificate_is_served(tls_bridge: Bridge, certificates: Path) -> None:
    async with Client(tls_bridge.address, tls=mutual_tls(certificates)) as client:
        user_id = await register(client)
        assert (await client.get(id=user_id)).id == user_id
        assert (await anext(client.follow(start="earliest"))).payload.id == user_id


async def test_others_are_not(tls_bridge: Bridge, certificates: Path) -> None:
    ca = certificates / "ca.pem"
    for tls in (mutual_tls(certificates, "stranger"), Tls(ca=ca), Tls(), None):
        async with Client(tls_bridge.address, tls=tls) as client:
            with pytest.raises(UnavailableError):
                await register(client)


async def test_a_certificate_without_its_key_is_refused_at_once(certificates: Path) -> None:
    with pytest.raises(ValueError, match="both"):
        Tls(certificate=certificates / "client.pem")
    with pytest.raises(FileNotFoundError):
        async with Client("127.0.0.1:1", tls=Tls(ca=certificates / "missing.pem")):
            pass
