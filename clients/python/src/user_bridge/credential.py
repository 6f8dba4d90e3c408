"""What a client shows to say who calls."""

import inspect
import ipaddress
import re
from collections.abc import Awaitable, Callable

import grpc

from user_bridge.errors import BridgeError, UnauthenticatedError, UnavailableError

Credential = str | Callable[[], str | Awaitable[str]]
"""An API key or an access token, or a function that has the one of the moment.

The function is asked for every call, every attempt of a write and every stream, so that a token can be refreshed in
between. The empty text is none. A BridgeError that it raises is raised by the call; any other exception becomes an
UnavailableError, after which writes and streams try again.
"""

# Visible ASCII.
_presentable = re.compile(r"[!-~]+", re.ASCII)

_unpresentable = "the credential has characters that no metadata can carry"


def check_credential(credential: Credential | None, target: str, *, is_private: bool) -> None:
    """Raises ValueError where it would be sent in the clear, or no metadata could carry it."""
    if credential is None:
        return
    if not is_private and not is_loopback(target):
        raise ValueError("a credential goes only over TLS or to this machine, unless allow_insecure_credential is set")
    if isinstance(credential, str) and credential != "" and _presentable.fullmatch(credential) is None:
        raise ValueError(_unpresentable)


async def credential_metadata(credential: Credential | None) -> tuple[tuple[str, str], ...]:
    """The metadata that shows the credential of the moment."""
    text = "" if credential is None else await _ask(credential)
    if text == "":
        return ()
    if _presentable.fullmatch(text) is None:
        raise UnauthenticatedError(grpc.StatusCode.UNAUTHENTICATED, _unpresentable)
    return (("authorization", f"Bearer {text}"),)


async def _ask(credential: Credential) -> str:
    if isinstance(credential, str):
        return credential
    try:
        text = credential()
        return await text if inspect.isawaitable(text) else text
    except BridgeError:
        raise
    except Exception as error:
        raise UnavailableError(grpc.StatusCode.UNAVAILABLE, f"no credential could be had: {error}") from error


def is_loopback(target: str) -> bool:
    """Whether a gRPC target is certainly this machine."""
    scheme, separator, endpoint = target.partition(":///")
    if not separator:
        endpoint = target
    elif scheme not in ("dns", "passthrough"):
        return scheme == "unix"
    if endpoint.startswith("["):
        host = endpoint[1:].partition("]")[0]
    else:
        # More than one colon without brackets is an IPv6 address, or a form that is not known here.
        host = endpoint.partition(":")[0] if endpoint.count(":") == 1 else endpoint
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
