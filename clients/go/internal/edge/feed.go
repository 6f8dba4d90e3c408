package edge

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

const (
	// What the bridge allows at least.
	minProgressInterval = 100 * time.Millisecond

	// How long to leave a bridge alone that refused the stream.
	refusedDelay = time.Second
)

// feed keeps a cache true by following the bridge's events.
type feed struct {
	users  usersv1.UserServiceClient
	cache  *cache
	store  userbridge.CursorStore
	logger *slog.Logger
}

// run lasts until the context is done.
func (f *feed) run(ctx context.Context) {
	vouching := make(chan struct{})
	go func() {
		defer close(vouching)
		f.vouch(ctx)
	}()
	f.follow(ctx)
	<-vouching
}

func (f *feed) follow(ctx context.Context) {
	request := &usersv1.UserEventsRequest{
		ProgressInterval: durationpb.New(max(f.cache.maxStaleness/2, minProgressInterval)),
	}
	for {
		err := userbridge.Follow(ctx, f.users, request, f.store, f.handle,
			userbridge.OnProgress(func(message *usersv1.UserEvent) { f.cache.progress(message.Revision) }),
			userbridge.OnDisconnected(func(err error) {
				f.cache.disconnect()
				f.logger.Warn("the event stream is down; trying again", "error", err)
			}))
		if ctx.Err() != nil {
			return
		}
		f.logger.Error("the event stream ended; beginning anew, events may have been missed", "error", err)
		f.cache.reset()
		if err := f.store.Save(ctx, nextCursor(ctx, f.store, err)); err != nil {
			f.logger.Error("the cursor cannot be saved", "error", err)
		}
		if wait(ctx, refusedDelay) != nil {
			return
		}
	}
}

// nextCursor is where to go on after a failure: where we were, unless the bridge has no such place any more.
func nextCursor(ctx context.Context, store userbridge.CursorStore, failure error) string {
	streamError := new(userbridge.StreamError)
	switch {
	case errors.Is(failure, userbridge.ErrCursorCompacted) && errors.As(failure, &streamError):
		return streamError.EarliestCursor
	case errors.Is(failure, userbridge.ErrCursorForeign),
		errors.Is(failure, userbridge.ErrCursorAhead),
		errors.Is(failure, userbridge.ErrCursorInvalid):
		return ""
	default:
		cursor, _ := store.Load(ctx)
		return cursor
	}
}

func (f *feed) handle(_ context.Context, event *usersv1.UserEvent) error {
	f.cache.apply(event)
	f.logger.Info("user event",
		"type", event.Type, "id", event.Id, "revision", event.Revision, "user", event.Payload.GetId())
	return nil
}

// vouch asks again and again where the log ends, and lets the cache answer as of the moment before it asked
// once every event up to there has been applied. A stream's own messages would not do: a resumed stream
// sends them while it is still behind, and a slow one delivers them late.
func (f *feed) vouch(ctx context.Context) {
	if f.cache.capacity == 0 {
		return
	}
	interval := f.cache.maxStaleness / 4
	for wait(ctx, interval) == nil {
		connection, ok := f.cache.streamName()
		if !ok {
			continue
		}
		attempt, cancel := context.WithTimeout(ctx, f.cache.maxStaleness)
		asOf := f.cache.now()
		head, err := userbridge.Head(attempt, f.users)
		if err == nil {
			err = f.cache.vouchWhenReached(attempt, connection, head.Revision, asOf)
		}
		cancel()
		if err != nil && ctx.Err() == nil {
			f.logger.Debug("nothing vouches for the cache", "error", err)
		}
	}
}

func wait(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
