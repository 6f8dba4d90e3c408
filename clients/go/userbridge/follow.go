package userbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
)

// A Handler takes one event. Its error ends [Follow].
type Handler func(ctx context.Context, event *usersv1.UserEvent) error

const (
	progressType            = "progress"
	defaultProgressInterval = 10 * time.Second

	// A stream that owes its progress message for this many intervals is dead.
	silentIntervals = 3
)

var (
	errSilent = errors.New("userbridge: the stream went silent")
	errEnded  = errors.New("userbridge: the bridge ended the stream")
)

// A FollowOption changes how [Follow] goes about it.
type FollowOption func(*follower)

// WithReconnectDelays sets the bounds of the wait before the stream is opened anew: a random time up to
// first, doubling with each attempt that brings no message, up to ceiling. 200 ms and 10 s unless told
// otherwise.
func WithReconnectDelays(first, ceiling time.Duration) FollowOption {
	return func(f *follower) { f.reconnect = fullJitter{base: first, ceiling: ceiling} }
}

// OnProgress is called with each progress message, the first of which begins a stream: every matching event
// up to its revision has been handled.
func OnProgress(observe func(*usersv1.UserEvent)) FollowOption {
	return func(f *follower) { f.onProgress = observe }
}

// OnDisconnected is called whenever a stream ends that will be tried again, and with what ended it.
func OnDisconnected(observe func(error)) FollowOption {
	return func(f *follower) { f.onDisconnected = observe }
}

// Follow hands every event that matches the request to the handler, in order, across restarts of the bridge
// and losses of the connection, until the context is done.
//
// It begins behind the cursor in the store, or where the request says if the store is empty, and saves an
// event's cursor after the handler returned nil for it. Within one call of Follow each event is handled
// exactly once. Across crashes of this process it is at least once: an event whose handler had begun, but
// whose cursor was not saved yet, is handed out again, and no other. A handler that must not do its work
// twice keeps the event's revision with the work.
//
// The progress messages that it asks for (request.progress_interval, or 10 s) give it a cursor before the
// first event, and a sign of life: after three intervals without a message it opens a new stream.
//
// It returns the context's cause; the handler's or the store's error, wrapped; or a [*StreamError] where the
// bridge refuses the stream for good. Anything else is tried again, and so is a stream whose credential has
// ended, once: the credential's source may have a new one.
func Follow(
	ctx context.Context, client usersv1.UserServiceClient, request *usersv1.UserEventsRequest,
	store CursorStore, handle Handler, options ...FollowOption,
) error {
	follower, err := newFollower(ctx, client, request, store, handle, options)
	if err != nil {
		return err
	}
	askedAnew := false
	for failures := 0; ; failures++ {
		progressed, err := follower.runStream(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if own := new(ownError); errors.As(err, &own) {
			return own.error
		}
		if progressed {
			failures, askedAnew = 0, false
		}
		if refused := findStreamError(err); refused != nil {
			if refused.Code != codes.Unauthenticated || askedAnew {
				return refused
			}
			askedAnew = true
		}
		follower.onDisconnected(err)
		if err := follower.reconnect.sleep(ctx, failures); err != nil {
			return err
		}
	}
}

// ownError is a failure of the handler or the store: whatever it wraps says nothing about the stream.
type ownError struct{ error }

type follower struct {
	client  usersv1.UserServiceClient
	store   CursorStore
	handle  Handler
	request *usersv1.UserEventsRequest // its after_cursor is where the next stream begins

	// Every matching event up to here has been handled. Revisions can be compared, since each stream resumes from a cursor of
	// the one before, and the bridge refuses cursors of another database.
	revision uint64

	reconnect      fullJitter
	onProgress     func(*usersv1.UserEvent)
	onDisconnected func(error)
}

func newFollower(
	ctx context.Context, client usersv1.UserServiceClient, request *usersv1.UserEventsRequest,
	store CursorStore, handle Handler, options []FollowOption,
) (*follower, error) {
	follower := &follower{
		client:         client,
		store:          store,
		handle:         handle,
		request:        &usersv1.UserEventsRequest{},
		reconnect:      fullJitter{base: 200 * time.Millisecond, ceiling: 10 * time.Second},
		onProgress:     func(*usersv1.UserEvent) {},
		onDisconnected: func(error) {},
	}
	for _, option := range options {
		option(follower)
	}
	proto.Merge(follower.request, request)
	if follower.request.ProgressInterval == nil {
		follower.request.ProgressInterval = durationpb.New(defaultProgressInterval)
	}
	cursor, err := store.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("userbridge: load the cursor: %w", err)
	}
	if cursor != "" {
		follower.request.AfterCursor = cursor
	}
	return follower, nil
}

// runStream handles one stream to its end, and says whether it brought any message.
func (f *follower) runStream(ctx context.Context) (progressed bool, err error) {
	// Not the handler's context: the watchdog may lose a race against the message that it waited for.
	streamCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// It runs only while we wait for the bridge: a handler may take its time.
	patience := silentIntervals * f.request.ProgressInterval.AsDuration()
	watchdog := time.AfterFunc(patience, func() { cancel(errSilent) })
	defer watchdog.Stop()

	stream, err := f.client.StreamUserEvents(streamCtx, f.request)
	for err == nil {
		var message *usersv1.UserEvent
		if message, err = stream.Recv(); err != nil {
			break
		}
		watchdog.Stop()
		progressed = true
		if err := f.take(ctx, message); err != nil {
			return progressed, &ownError{err}
		}
		watchdog.Reset(patience)
	}
	if errors.Is(context.Cause(streamCtx), errSilent) {
		return progressed, errSilent
	}
	if errors.Is(err, io.EOF) {
		return progressed, errEnded
	}
	return progressed, err
}

// take handles a message and moves the place behind it.
func (f *follower) take(ctx context.Context, message *usersv1.UserEvent) error {
	switch {
	case message.Type == progressType:
		f.onProgress(message)
	case message.Revision <= f.revision:
		return nil // a bridge that repeats itself is not believed
	default:
		if err := f.handle(ctx, message); err != nil {
			return fmt.Errorf("userbridge: handle the event of revision %d: %w", message.Revision, err)
		}
	}
	f.revision = max(f.revision, message.Revision)
	if message.Cursor == f.request.AfterCursor {
		return nil
	}
	f.request.AfterCursor = message.Cursor
	if err := f.store.Save(ctx, message.Cursor); err != nil {
		return fmt.Errorf("userbridge: save the cursor of revision %d: %w", message.Revision, err)
	}
	return nil
}

// Head returns the log's present end: a message whose cursor and revision are those of the newest event. To
// copy the users and then keep the copy true, take the head, list the users, and follow from its cursor.
//
// Without a deadline in the context it takes at most 5 s.
func Head(ctx context.Context, client usersv1.UserServiceClient) (*usersv1.UserEvent, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultDeadline)
		defer cancel()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.StreamUserEvents(ctx, &usersv1.UserEventsRequest{
		Start:            usersv1.UserEventsRequest_NOW,
		ProgressInterval: durationpb.New(time.Hour),
	})
	if err != nil {
		return nil, err
	}
	return stream.Recv()
}
