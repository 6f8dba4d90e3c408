"""What the bridge refuses a call with, as exceptions."""

from collections.abc import Mapping
from dataclasses import dataclass

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that is wrong."""

    field: str
    """Path of the field as the .proto file names it, e.g. `user.email`."""
    description: str
    reason: str
    """Stable identifier of the rule that was broken, e.g. `string.email`; may be empty."""


class BridgeError(Exception):
    """A call failed. Its cause is gRPC's own error."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
    ) -> None:
        super().__init__(f"{reason or code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        """The bridge's stable name for the failure, e.g. `EMAIL_TAKEN`; empty where it gave none."""
        self.metadata: Mapping[str, str] = metadata or {}
        """Facts that belong to the reason."""
        self.violations = violations
        """The fields at fault, where the failure is about fields."""


class InvalidInputError(BridgeError):
    """INVALID_ARGUMENT: the violations name each field at fault."""


class NotFoundError(BridgeError):
    """NOT_FOUND."""


class AlreadyExistsError(BridgeError):
    """ALREADY_EXISTS."""


class EmailTakenError(AlreadyExistsError):
    """Another user holds the email."""


class UsernameTakenError(AlreadyExistsError):
    """Another user holds the username."""


class DeadlineExceededError(BridgeError):
    """DEADLINE_EXCEEDED. A write may have happened all the same."""


class UnavailableError(BridgeError):
    """UNAVAILABLE: no bridge could be reached, or it has no database. A write may have happened all the same."""


class UnauthenticatedError(BridgeError):
    """UNAUTHENTICATED: the bridge knows nobody by the credential.

    The reason is `CREDENTIAL_MISSING`, `CREDENTIAL_INVALID` (also where it is revoked or has expired),
    `CREDENTIALS_AMBIGUOUS` or `CREDENTIAL_ENDED`.
    """


class PermissionDeniedError(BridgeError):
    """PERMISSION_DENIED: the bridge knows who calls, and that they may not do this."""

    @property
    def permission(self) -> str:
        """The one that is missing, e.g. `users:write`; empty where the bridge did not say."""
        return self.metadata.get("permission", "")


class ClientClosedError(BridgeError):
    """The client was closed, or not opened yet."""

    def __init__(self) -> None:
        super().__init__(grpc.StatusCode.CANCELLED, "the client is not open")


class CursorError(BridgeError):
    """The bridge cannot go on behind a cursor, and never will.

    The reason is `CURSOR_COMPACTED` (older than the retained events), `CURSOR_FOREIGN` (another database's),
    `CURSOR_AHEAD` (the database was restored from a backup) or `CURSOR_INVALID` (not a cursor).
    """

    @property
    def earliest_cursor(self) -> str:
        """The oldest cursor that a stream can still begin behind; empty but with `CURSOR_COMPACTED`."""
        return self.metadata.get("earliest_cursor", "")


_by_reason: Mapping[str, type[BridgeError]] = {
    "EMAIL_TAKEN": EmailTakenError,
    "USERNAME_TAKEN": UsernameTakenError,
    "CURSOR_INVALID": CursorError,
    "CURSOR_FOREIGN": CursorError,
    "CURSOR_AHEAD": CursorError,
    "CURSOR_COMPACTED": CursorError,
}

_by_code: Mapping[grpc.StatusCode, type[BridgeError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInputError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.UNAUTHENTICATED: UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
}


def to_bridge_error(error: grpc.aio.AioRpcError) -> BridgeError:
    """Reads the details that the bridge sent; a failure without any is told by its code alone."""
    info, bad_request = _read_details(error)
    kind = _by_reason.get(info.reason) or _by_code.get(error.code()) or BridgeError
    return kind(
        error.code(),
        error.details() or "",
        reason=info.reason,
        metadata=dict(info.metadata),
        violations=tuple(FieldViolation(v.field, v.description, v.reason) for v in bad_request.field_violations),
    )


def _read_details(error: grpc.aio.AioRpcError) -> tuple[ErrorInfo, BadRequest]:
    info, bad_request = ErrorInfo(), BadRequest()
    try:
        # Declared for calls, but an error has all that it uses.
        status: Status | None = rpc_status.from_call(error)  # type: ignore[arg-type]
        for detail in status.details if status is not None else ():
            # Each fills its message only from a detail of its type.
            detail.Unpack(info)
            detail.Unpack(bad_request)
    except (ValueError, DecodeError):
        # Unreadable, or they contradict the status: not the bridge's work, but of something on the way.
        pass
    return info, bad_request
