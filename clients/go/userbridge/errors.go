package userbridge

import (
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrCredentialRefused: the bridge does not accept the credential, which is missing, wrong, revoked or has expired, nor
// the one that was had when it was asked for anew.
var ErrCredentialRefused = errors.New("userbridge: the bridge does not accept the credential")

// What a cursor can be refused for; match with [errors.Is].
var (
	// ErrCursorInvalid: the text is not a cursor of the bridge.
	ErrCursorInvalid = errors.New("userbridge: not a cursor")
	// ErrCursorForeign: another database made the cursor. Read the users anew and follow without a cursor.
	ErrCursorForeign = errors.New("userbridge: the cursor belongs to another database")
	// ErrCursorAhead: the log ends before the cursor, e.g. after a restored backup. Read the users anew and
	// follow without a cursor.
	ErrCursorAhead = errors.New("userbridge: the cursor is ahead of the log")
	// ErrCursorCompacted: events behind the cursor have been removed. Read the users anew and follow from
	// [StreamError].EarliestCursor.
	ErrCursorCompacted = errors.New("userbridge: the cursor is older than the retained events")
)

var cursorErrors = map[string]error{
	"CURSOR_INVALID":   ErrCursorInvalid,
	"CURSOR_FOREIGN":   ErrCursorForeign,
	"CURSOR_AHEAD":     ErrCursorAhead,
	"CURSOR_COMPACTED": ErrCursorCompacted,
}

// StreamError ends [Follow]: the bridge refused the stream, and would refuse it again.
type StreamError struct {
	Code codes.Code
	// Reason is the bridge's stable name for the failure, e.g. CURSOR_COMPACTED; empty where it gave none.
	Reason string
	// EarliestCursor is the oldest cursor that a stream can still begin behind; set with CURSOR_COMPACTED.
	EarliestCursor string

	status error
}

func (e *StreamError) Error() string {
	return "userbridge: the bridge refused the stream: " + e.status.Error()
}

// Unwrap returns the gRPC status.
func (e *StreamError) Unwrap() error { return e.status }

// Is reports whether target is the ErrCursor… of the error's reason, or ErrCredentialRefused with UNAUTHENTICATED.
func (e *StreamError) Is(target error) bool {
	if target == ErrCredentialRefused {
		return e.Code == codes.Unauthenticated
	}
	known, ok := cursorErrors[e.Reason]
	return ok && target == known
}

// finalCodes say that the same request will not do better later.
var finalCodes = map[codes.Code]bool{
	codes.InvalidArgument:    true,
	codes.FailedPrecondition: true,
	codes.OutOfRange:         true,
	codes.Unauthenticated:    true,
	codes.PermissionDenied:   true,
	codes.Unimplemented:      true,
}

// findStreamError returns nil where the stream should be tried again.
func findStreamError(err error) *StreamError {
	code := status.Code(err)
	if !finalCodes[code] {
		return nil
	}
	info := ErrorInfo(err)
	return &StreamError{
		Code:           code,
		Reason:         info.GetReason(),
		EarliestCursor: info.GetMetadata()["earliest_cursor"],
		status:         err,
	}
}

// ErrorInfo returns why the bridge refused a call, in a form for programs; nil where the error does not say.
func ErrorInfo(err error) *errdetails.ErrorInfo { return findDetail[*errdetails.ErrorInfo](err) }

// BadRequest returns which fields of a request the bridge found at fault; nil where the error names none.
func BadRequest(err error) *errdetails.BadRequest { return findDetail[*errdetails.BadRequest](err) }

func findDetail[Detail any](err error) Detail {
	for _, detail := range status.Convert(err).Details() {
		if found, ok := detail.(Detail); ok {
			return found
		}
	}
	var none Detail
	return none
}
