package userbridge

import (
	"context"
	"crypto/rand"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// maxAttempts is how often a call is made at most, while the bridge is UNAVAILABLE.
const maxAttempts = 4

// writeWait is between the attempts of a write, as the service config has it for reads.
var writeWait = fullJitter{base: 100 * time.Millisecond, ceiling: time.Second}

const idempotencyKeyHeader = "idempotency-key"

// WithIdempotencyKey names the writes of a context: the bridge carries out a write with the same key and the same
// request once, for 24 hours, and answers each repetition as it did the first time. A program that keeps the key with
// its own work can repeat a write after a crash.
//
// Writes without it get a new key for each call, so that their attempts are one write. The empty key switches that
// off: the write is sent once, without a key.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	outgoing, _ := metadata.FromOutgoingContext(ctx)
	outgoing = outgoing.Copy()
	outgoing.Set(idempotencyKeyHeader, key)
	return metadata.NewOutgoingContext(ctx, outgoing)
}

// NewIdempotencyKey returns a key that nobody else has.
func NewIdempotencyKey() string { return rand.Text() }

// repeatWrites makes writes again while the bridge is UNAVAILABLE, all attempts with one key. A write may have happened
// although its answer was lost; by the key the bridge knows it again.
func repeatWrites(
	ctx context.Context, method string, request, response any,
	conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if !writes[method] {
		return invoke(ctx, method, request, response, conn, options...)
	}
	outgoing, _ := metadata.FromOutgoingContext(ctx)
	switch keys := outgoing.Get(idempotencyKeyHeader); {
	case len(keys) == 0:
		ctx = WithIdempotencyKey(ctx, NewIdempotencyKey())
	case keys[0] == "":
		outgoing = outgoing.Copy()
		outgoing.Delete(idempotencyKeyHeader)
		return invoke(metadata.NewOutgoingContext(ctx, outgoing), method, request, response, conn, options...)
	}
	for attempt := 1; ; attempt++ {
		err := invoke(ctx, method, request, response, conn, options...)
		if status.Code(err) != codes.Unavailable || attempt == maxAttempts {
			return err
		}
		if writeWait.sleep(ctx, attempt-1) != nil {
			return err // what the bridge said tells more than that the time is up
		}
	}
}

func defaultDeadlineInterceptor(deadline time.Duration) grpc.UnaryClientInterceptor {
	return func(
		ctx context.Context, method string, request, response any,
		conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
	) error {
		if _, ok := ctx.Deadline(); !ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, deadline)
			defer cancel()
		}
		return invoke(ctx, method, request, response, conn, options...)
	}
}
