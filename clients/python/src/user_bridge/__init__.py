"""Client of a user bridge: users by gRPC, and a stream of their events that outlives restarts of the bridge."""

from user_bridge.backoff import FullJitter
from user_bridge.client import Client
from user_bridge.connection import Tls
from user_bridge.credential import Credential
from user_bridge.cursor_store import CursorStore, FileCursorStore, MemoryCursorStore
from user_bridge.errors import (
    AlreadyExistsError,
    BridgeError,
    ClientClosedError,
    CursorError,
    DeadlineExceededError,
    EmailTakenError,
    FieldViolation,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
    UsernameTakenError,
)
from user_bridge.follow import EventStream
from user_bridge.gen.users.v1.users_pb2 import RegisterUserResponse, User, UserEvent
from user_bridge.tracing import current_traceparent

__all__ = [
    "AlreadyExistsError",
    "BridgeError",
    "Client",
    "ClientClosedError",
    "Credential",
    "CursorError",
    "CursorStore",
    "DeadlineExceededError",
    "EmailTakenError",
    "EventStream",
    "FieldViolation",
    "FileCursorStore",
    "FullJitter",
    "InvalidInputError",
    "MemoryCursorStore",
    "NotFoundError",
    "PermissionDeniedError",
    "RegisterUserResponse",
    "Tls",
    "UnauthenticatedError",
    "UnavailableError",
    "User",
    "UserEvent",
    "UsernameTakenError",
    "current_traceparent",
]
