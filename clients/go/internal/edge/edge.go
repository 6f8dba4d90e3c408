// Package edge is a small HTTP edge in front of a user bridge: JSON in and out, and a read cache that the
// bridge's event stream keeps true.
package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

const (
	headerTimeout = 5 * time.Second
	idleTimeout   = 2 * time.Minute

	// Reading a request and writing its answer take their time beside the call's deadline.
	transferTime = 10 * time.Second

	// The longest call and then some.
	drainTimeout = 10 * time.Second
)

// Edge answers HTTP requests by calls to a bridge.
type Edge struct {
	users    usersv1.UserServiceClient
	health   healthpb.HealthClient
	deadline time.Duration
	cache    *cache
	feed     *feed
	logger   *slog.Logger
	stopping atomic.Bool
}

// New makes an edge over the clients of a bridge; of the configuration it uses what is about neither the
// connection nor the listener.
func New(users usersv1.UserServiceClient, health healthpb.HealthClient, config Config, logger *slog.Logger) *Edge {
	var store userbridge.CursorStore = &userbridge.MemoryStore{}
	if config.CursorFile != "" {
		store = userbridge.NewFileStore(config.CursorFile)
	}
	cache := newCache(config.CacheSize, config.MaxStaleness)
	return &Edge{
		users:    users,
		health:   health,
		deadline: config.Deadline,
		cache:    cache,
		logger:   logger,
		feed:     &feed{users: users, cache: cache, store: store, logger: logger},
	}
}

// FollowEvents keeps the cache true until the context is done. Without it the cache is not used.
func (e *Edge) FollowEvents(ctx context.Context) { e.feed.run(ctx) }

// Run serves on the listener until the context is done, then lets requests finish.
func Run(ctx context.Context, config Config, listener net.Listener, logger *slog.Logger) error {
	conn, err := userbridge.Dial(config.Bridge, config.dialOptions()...)
	if err != nil {
		_ = listener.Close()
		return err
	}
	defer func() { _ = conn.Close() }()
	edge := New(conn.Users(), conn.Health(), config, logger)

	feedCtx, stopFeed := context.WithCancel(context.WithoutCancel(ctx))
	feedEnded := make(chan struct{})
	go func() {
		defer close(feedEnded)
		edge.FollowEvents(feedCtx)
	}()
	defer func() {
		stopFeed()
		<-feedEnded
	}()

	server := &http.Server{
		Handler:           edge.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       transferTime,
		WriteTimeout:      config.Deadline + transferTime,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
	serving := make(chan error, 1)
	go func() { serving <- server.Serve(listener) }()
	logger.Info("serving", "address", listener.Addr().String(), "bridge", config.Bridge)
	select {
	case err := <-serving:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}

	logger.Info("stopping")
	edge.stopping.Store(true)
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("requests were cut off: %w", err), server.Close())
	}
	return nil
}
