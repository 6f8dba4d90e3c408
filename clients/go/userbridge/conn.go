// Package userbridge connects Go programs to a user bridge: pooled connections with deadlines, safe
// retries, credentials and trace context ([Dial]), and an event stream that outlives restarts of the bridge ([Follow]).
package userbridge

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
)

// Conn is a small pool of connections to one target. Calls and streams go round the pool, so that no
// single HTTP/2 connection's stream limit (100 on the bridge, unless told otherwise) holds them up.
//
// It is a [grpc.ClientConnInterface]: any generated client works on it. It is safe for concurrent use.
type Conn struct {
	members []*grpc.ClientConn
	next    atomic.Uint64
}

// Dial prepares a pool of connections; they are made when first needed, and again whenever they are lost.
//
// The target is a gRPC name such as "dns:///bridge.internal:8080", which is balanced over all addresses
// that the name has; "host:port" means the same.
//
// It fails only where an option is wrong, a TLS file cannot be read or a credential would go in plaintext to another
// machine.
func Dial(target string, options ...Option) (*Conn, error) {
	settings := defaultSettings()
	for _, option := range options {
		option(&settings)
	}
	dialOptions, err := settings.dialOptions(target)
	if err != nil {
		return nil, fmt.Errorf("userbridge: %w", err)
	}
	conn := &Conn{}
	for range settings.poolSize {
		member, err := grpc.NewClient(target, dialOptions...)
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("userbridge: dial %q: %w", target, err)
		}
		conn.members = append(conn.members, member)
	}
	return conn, nil
}

// Users returns a client of the user service on this pool.
func (c *Conn) Users() usersv1.UserServiceClient { return usersv1.NewUserServiceClient(c) }

// Health returns a client of the health service on this pool.
func (c *Conn) Health() healthpb.HealthClient { return healthpb.NewHealthClient(c) }

// Invoke makes a unary call on the next connection.
func (c *Conn) Invoke(ctx context.Context, method string, request, response any, options ...grpc.CallOption) error {
	return c.pick().Invoke(ctx, method, request, response, options...)
}

// NewStream begins a stream on the next connection.
func (c *Conn) NewStream(
	ctx context.Context, description *grpc.StreamDesc, method string, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return c.pick().NewStream(ctx, description, method, options...)
}

// Close ends every call and connection.
func (c *Conn) Close() error {
	var failures []error
	for _, member := range c.members {
		failures = append(failures, member.Close())
	}
	return errors.Join(failures...)
}

// pick passes over members that cannot reach the bridge, as long as another one might.
func (c *Conn) pick() *grpc.ClientConn {
	first := c.next.Add(1)
	size := uint64(len(c.members))
	for offset := range size {
		member := c.members[(first+offset)%size]
		if member.GetState() != connectivity.TransientFailure {
			return member
		}
	}
	return c.members[first%size]
}
