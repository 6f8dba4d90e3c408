"""How the connection to the bridge is made and kept."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

from user_bridge.gen.users.v1 import users_pb2

_service = users_pb2.DESCRIPTOR.services_by_name["UserService"]


@dataclass(frozen=True, slots=True)
class Tls:
    """Protects the connection with TLS, or mutual TLS where a certificate and its key are named. All are PEM files."""

    ca: str | PathLike[str] | None = None
    """The authorities that may have signed the bridge's certificate; those that come with gRPC unless given."""
    certificate: str | PathLike[str] | None = None
    """Our own certificate, followed by those between it and an authority that the bridge trusts."""
    key: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("name both a certificate and its key, or neither")

    def read(self) -> grpc.ChannelCredentials:
        """Reads the files. A file that cannot be read raises the system's error."""
        return grpc.ssl_channel_credentials(
            root_certificates=_read(self.ca),
            private_key=_read(self.key),
            certificate_chain=_read(self.certificate),
        )


def _read(path: str | PathLike[str] | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()


def _is_read(method: MethodDescriptor) -> bool:
    level: int = method.GetOptions().idempotency_level
    return level == MethodOptions.NO_SIDE_EFFECTS


def is_write(request: Message) -> bool:
    """Whether the unary call with this request may have side effects."""
    return request.DESCRIPTOR.full_name in _write_requests


# No two methods have the same request.
_write_requests = frozenset(
    method.input_type.full_name for method in _service.methods if not _is_read(method) and not method.server_streaming
)

max_attempts = 4


def service_config() -> dict[str, Any]:
    """Balances over all addresses, and repeats on UNAVAILABLE only what the .proto file says changes nothing.

    A write may have happened although its answer was lost: the client repeats it itself, with an idempotency key.
    """
    reads = [method.name for method in _service.methods if _is_read(method)]
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        # Where failures outnumber a tenth of the successes for long, repeats stop: they would keep the bridge down.
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
        "methodConfig": [
            {
                "name": [{"service": _service.full_name, "method": name} for name in reads],
                "retryPolicy": {
                    "maxAttempts": max_attempts,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }


def open_channel(target: str, tls: Tls | None, options: Sequence[tuple[str, Any]]) -> grpc.aio.Channel:
    """Prepares the connection, which is made when first needed and again whenever it is lost."""
    all_options = [
        ("grpc.service_config", json.dumps(service_config())),
        # Else a TXT record could hand us a policy that repeats writes.
        ("grpc.service_config_disable_resolution", 1),
        # A peer that vanished without a word is noticed within the sum of the two; the bridge answers any number.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A stream may be silent for longer than gRPC sends pings by default.
        ("grpc.http2.max_pings_without_data", 0),
        # gRPC's own back-off with a lower ceiling: a bridge restarts in seconds, not in minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        # A connection for each client: the bridge limits the streams of one (to 100, unless told otherwise).
        ("grpc.use_local_subchannel_pool", 1),
        *options,
    ]
    if tls is None:
        return grpc.aio.insecure_channel(target, options=all_options)
    return grpc.aio.secure_channel(target, tls.read(), options=all_options)
