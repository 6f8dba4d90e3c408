import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from tests.bridge import Bridge, copy_database, create_database, node
from user_bridge import Client


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips what needs a bridge where none can be started; fails it where REQUIRE_BRIDGE is set.

    From here, and not from a fixture: then pytest reports all of them in one line.
    """
    if "database" in getattr(item, "fixturenames", ()) and not node.exists():
        reason = f"no bridge to test against: run npm ci in {node.parents[2]}"
        if os.environ.get("REQUIRE_BRIDGE"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
async def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, to be copied."""
    folder = tmp_path_factory.mktemp("database") / "data"
    await create_database(folder)
    return folder


@pytest.fixture(scope="session")
async def bridge(database: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bridge]:
    """The bridge of most tests, which may restart it: each begins its streams at its own place."""
    bridge = Bridge(copy_database(database, tmp_path_factory.mktemp("bridge") / "data"))
    await bridge.start()
    yield bridge
    await bridge.stop(signal.SIGKILL)


@pytest.fixture
async def client(bridge: Bridge) -> AsyncIterator[Client]:
    async with Client(bridge.address) as client:
        yield client


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of PEM files: an authority, and what it has and has not signed."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name, certificate in [
        ("bridge", authority.issue_cert("127.0.0.1")),
        ("client", authority.issue_cert("client.example.com")),
        ("stranger", trustme.CA().issue_cert("stranger.example.com")),
    ]:
        certificate.private_key_pem.write_to_path(str(folder / f"{name}-key.pem"))
        certificate.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
    return folder


@pytest.fixture(scope="session")
async def tls_bridge(
    database: Path, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Bridge]:
    """A bridge that asks its clients for a certificate, on the database as it was before the other's first event."""
    bridge = Bridge(
        copy_database(database, tmp_path_factory.mktemp("tls") / "data"),
        TLS_CERT=str(certificates / "bridge.pem"),
        TLS_KEY=str(certificates / "bridge-key.pem"),
        TLS_CLIENT_CA=str(certificates / "ca.pem"),
    )
    await bridge.start()
    yield bridge
    await bridge.stop(signal.SIGKILL)
