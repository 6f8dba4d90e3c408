package userbridge

import (
	"context"
	"crypto/rand"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
)

// serviceConfig balances over all addresses that are up and say that they serve, and repeats only what
// changes nothing. A write may have happened although its answer was lost, so none is listed.
const serviceConfig = `{
  "loadBalancingConfig": [{"round_robin": {}}],
  "healthCheckConfig": {"serviceName": "users.v1.UserService"},
  "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
  "methodConfig": [{
    "name": [
      {"service": "users.v1.UserService", "method": "GetUser"},
      {"service": "users.v1.UserService", "method": "BatchGetUsers"},
      {"service": "users.v1.UserService", "method": "ListUsers"},
      {"service": "grpc.health.v1.Health", "method": "Check"}
    ],
    "retryPolicy": {
      "maxAttempts": 4,
      "initialBackoff": "0.1s",
      "maxBackoff": "1s",
      "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }]
}`

// registration repeats a RegisterUser that carries a key as the service config repeats reads.
var registration = struct {
	maxAttempts int
	wait        fullJitter
}{maxAttempts: 4, wait: fullJitter{base: 100 * time.Millisecond, ceiling: time.Second}}

const idempotencyKeyHeader = "idempotency-key"

// WithIdempotencyKey marks the RegisterUser calls of a context as attempts of one registration. The client
// sends the key, and only with it repeats the call on UNAVAILABLE, up to four attempts within the deadline.
//
// Today's bridge does not look at the key yet. Emails are unique, so that no second user comes of it; but
// where the first attempt had succeeded and only its answer was lost, the next one says ALREADY_EXISTS.
func WithIdempotencyKey(ctx context.Context, key string) context.Context {
	outgoing, _ := metadata.FromOutgoingContext(ctx)
	outgoing = outgoing.Copy()
	outgoing.Set(idempotencyKeyHeader, key)
	return metadata.NewOutgoingContext(ctx, outgoing)
}

// NewIdempotencyKey returns a key that nobody else has.
func NewIdempotencyKey() string { return rand.Text() }

func hasIdempotencyKey(ctx context.Context) bool {
	outgoing, _ := metadata.FromOutgoingContext(ctx)
	keys := outgoing.Get(idempotencyKeyHeader)
	return len(keys) > 0 && keys[0] != ""
}

func retryRegistrationWithKey(
	ctx context.Context, method string, request, response any,
	conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if method != usersv1.UserService_RegisterUser_FullMethodName || !hasIdempotencyKey(ctx) {
		return invoke(ctx, method, request, response, conn, options...)
	}
	for attempt := 1; ; attempt++ {
		err := invoke(ctx, method, request, response, conn, options...)
		if status.Code(err) != codes.Unavailable || attempt == registration.maxAttempts {
			return err
		}
		if registration.wait.sleep(ctx, attempt-1) != nil {
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
