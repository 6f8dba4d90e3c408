package userbridge_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
	"github.com/user-bridge/user-bridge/clients/go/internal/bridgetest"
	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

// quick keeps tests short; nothing they prove depends on it.
var quick = userbridge.WithReconnectDelays(20*time.Millisecond, 200*time.Millisecond)

func TestEachEventIsHandledOnceAcrossRestartsOfTheBridge(t *testing.T) {
	bridge := bridgetest.Start(t)
	users := bridge.Dial(t).Users()
	store := userbridge.NewFileStore(filepath.Join(t.TempDir(), "cursor"))
	following := startFollowing(t, users, &usersv1.UserEventsRequest{
		Start:            usersv1.UserEventsRequest_EARLIEST,
		ProgressInterval: durationpb.New(200 * time.Millisecond),
	}, store)
	writer := startWriting(t, bridge.Dial(t).Users())

	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		following.waitFor(t, len(following.events())+20)
		cuts := following.cuts()
		bridge.Stop(t, signal)
		bridgetest.WaitFor(t, "the stream to be cut", func() bool { return following.cuts() > cuts })
		bridge.Restart(t)
	}
	following.waitFor(t, len(following.events())+20)
	acknowledged := writer.stop(t)

	log := readLog(t, users)
	following.waitForRevision(t, log[len(log)-1].Revision)
	following.stop(t)
	wantSameEvents(t, following.events(), log)
	logged := map[string]bool{}
	for _, event := range log {
		logged[event.Payload.Id] = true
	}
	for _, id := range acknowledged {
		if !logged[id] {
			t.Errorf("user %s was acknowledged and is not in the log", id)
		}
	}
	t.Logf("%d events, %d registrations acknowledged, %d streams cut", len(log), len(acknowledged), following.cuts())

	t.Run("and across restarts of the client", func(t *testing.T) {
		again := startFollowing(t, users, &usersv1.UserEventsRequest{Start: usersv1.UserEventsRequest_EARLIEST}, store)
		registered := register(t, users, "after")
		again.waitFor(t, 1)
		again.stop(t)
		if got := again.events(); len(got) != 1 || got[0].Payload.Id != registered.Id {
			t.Errorf("a client that goes on was given %v, want the new event alone", got)
		}
	})
	t.Run("and where no event matches, the cursor moves all the same", func(t *testing.T) {
		var store userbridge.MemoryStore
		deletions := startFollowing(t, users, &usersv1.UserEventsRequest{
			Types:            []string{"user_deleted"},
			ProgressInterval: durationpb.New(100 * time.Millisecond),
		}, &store)
		bridgetest.WaitFor(t, "a first cursor", func() bool { return load(t, &store) != "" })
		before := load(t, &store)
		register(t, users, "other")
		bridgetest.WaitFor(t, "a later cursor", func() bool { return load(t, &store) != before })
		deletions.stop(t)
		if got := deletions.events(); len(got) != 0 {
			t.Errorf("got %v, want nothing", got)
		}
	})
	t.Run("and what is no cursor is refused", func(t *testing.T) {
		err := userbridge.Follow(t.Context(), users, &usersv1.UserEventsRequest{AfterCursor: "nonsense"},
			&userbridge.MemoryStore{}, ignore)
		wantStreamError(t, err, codes.InvalidArgument, userbridge.ErrCursorInvalid)
	})
}

func TestACompactedCursorNamesTheEarliest(t *testing.T) {
	bridge := bridgetest.Start(t, "EVENT_RETENTION=1s")
	users := bridge.Dial(t).Users()
	start, err := userbridge.Head(t.Context(), users)
	if err != nil {
		t.Fatal(err)
	}
	register(t, users, "gone")

	request := &usersv1.UserEventsRequest{AfterCursor: start.Cursor, ProgressInterval: durationpb.New(100 * time.Millisecond)}
	var refused error
	bridgetest.WaitFor(t, "retention to pass the cursor", func() bool {
		// Follow itself would wait: ending the stream at its first message makes it look again.
		refused = userbridge.Follow(t.Context(), users, request, &endingStore{}, ignore)
		return !errors.Is(refused, errEnough)
	})
	streamError := wantStreamError(t, refused, codes.OutOfRange, userbridge.ErrCursorCompacted)

	following := startFollowing(t, users, &usersv1.UserEventsRequest{AfterCursor: streamError.EarliestCursor}, &userbridge.MemoryStore{})
	registered := register(t, users, "kept")
	bridgetest.WaitFor(t, "the new event", func() bool {
		events := following.events()
		return len(events) > 0 && events[len(events)-1].Payload.Id == registered.Id
	})
	following.stop(t)
}

func TestFollowReturnsWhyTheBridgeRefuses(t *testing.T) {
	for reason, test := range map[string]struct {
		code codes.Code
		want error
	}{
		"CURSOR_FOREIGN":   {codes.FailedPrecondition, userbridge.ErrCursorForeign},
		"CURSOR_AHEAD":     {codes.FailedPrecondition, userbridge.ErrCursorAhead},
		"CURSOR_COMPACTED": {codes.OutOfRange, userbridge.ErrCursorCompacted},
		"CURSOR_INVALID":   {codes.InvalidArgument, userbridge.ErrCursorInvalid},
	} {
		t.Run(reason, func(t *testing.T) {
			bridge, users := startScriptedBridge(t)
			following := startFollowing(t, users, nil, &userbridge.MemoryStore{})
			refusal, err := status.New(test.code, "no").WithDetails(&errdetails.ErrorInfo{
				Reason: reason, Metadata: map[string]string{"earliest_cursor": "c7"},
			})
			if err != nil {
				t.Fatal(err)
			}
			bridge.nextStream(t).end(refusal.Err())
			streamError := wantStreamError(t, following.wait(t), test.code, test.want)
			if streamError.EarliestCursor != "c7" || streamError.Reason != reason {
				t.Errorf("got %+v", streamError)
			}
		})
	}
	for _, code := range []codes.Code{codes.PermissionDenied, codes.Unimplemented} {
		t.Run(code.String(), func(t *testing.T) {
			bridge, users := startScriptedBridge(t)
			following := startFollowing(t, users, nil, &userbridge.MemoryStore{})
			bridge.nextStream(t).end(status.Error(code, "no"))
			wantStreamError(t, following.wait(t), code, nil)
		})
	}
}

func TestFollowResumesWhateverElseEndsAStream(t *testing.T) {
	bridge, users := startScriptedBridge(t)
	following := startFollowing(t, users, nil, &userbridge.MemoryStore{})
	revision := uint64(0)
	for _, ending := range []error{
		nil, // a proxy's idea of a good end
		status.Error(codes.Unavailable, "the server is shutting down"),
		status.Error(codes.ResourceExhausted, "too slow"),
		status.Error(codes.Internal, "internal error"),
		status.Error(codes.Unknown, "a proxy's page"),
		status.Error(codes.DeadlineExceeded, "a proxy's limit"),
	} {
		stream := bridge.nextStream(t)
		if want := cursorOf(revision); revision > 0 && stream.request.AfterCursor != want {
			t.Fatalf("resumed behind %q, want %q", stream.request.AfterCursor, want)
		}
		revision++
		stream.send(t, progress(revision-1), event(revision), event(revision)) // said twice
		stream.end(ending)
	}
	// What lies behind the cursor has been handled, whatever a bridge says.
	bridge.nextStream(t).send(t, event(1), event(revision), event(revision+1))
	following.waitForRevision(t, revision+1)
	following.stop(t)
	for index, got := range following.events() {
		if got.Revision != uint64(index+1) {
			t.Fatalf("event %d has revision %d", index+1, got.Revision)
		}
	}
}

func TestASilentStreamIsReplaced(t *testing.T) {
	bridge, users := startScriptedBridge(t)
	const interval = 400 * time.Millisecond
	following := startFollowing(t, users,
		&usersv1.UserEventsRequest{ProgressInterval: durationpb.New(interval)}, &userbridge.MemoryStore{})
	silent := bridge.nextStream(t)
	since := time.Now()
	silent.send(t, progress(7))
	next := bridge.nextStream(t)
	if took := time.Since(since); took < 3*interval {
		t.Errorf("replaced after %s, want 3 intervals of %s", took, interval)
	}
	if next.request.AfterCursor != cursorOf(7) {
		t.Errorf("resumed behind %q, want %q", next.request.AfterCursor, cursorOf(7))
	}
	bridgetest.Receive(t, "the silent stream to be given up", silent.server.Context().Done())
	next.send(t, event(8))
	following.waitFor(t, 1)
	following.stop(t)
}

func TestASlowHandlerIsNotASilentStream(t *testing.T) {
	bridge, users := startScriptedBridge(t)
	const interval = 400 * time.Millisecond
	slowWork := time.After(5 * interval)
	following := startFollowing(t, users,
		&usersv1.UserEventsRequest{ProgressInterval: durationpb.New(interval)}, &userbridge.MemoryStore{},
		func(ctx context.Context, event *usersv1.UserEvent) error {
			if event.Revision > 1 {
				return nil
			}
			select {
			case <-slowWork:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	// Were the stream given up, its second event would never come.
	bridge.nextStream(t).send(t, event(1), event(2))
	following.waitFor(t, 2)
	following.stop(t)
}

func TestAnEventWhoseHandlerFailedComesAgain(t *testing.T) {
	bridge, users := startScriptedBridge(t)
	var store userbridge.MemoryStore
	broken := errors.New("broken")
	failing := startFollowing(t, users, nil, &store, func(_ context.Context, event *usersv1.UserEvent) error {
		if event.Revision == 2 {
			return broken
		}
		return nil
	})
	bridge.nextStream(t).send(t, progress(0), event(1), event(2), event(3))
	if err := failing.wait(t); !errors.Is(err, broken) {
		t.Errorf("Follow returned %v, want the handler's error", err)
	}
	if got := load(t, &store); got != cursorOf(1) {
		t.Errorf("the store holds %q, want the cursor of the last event that was handled", got)
	}
}

func TestACrashBeforeTheSaveRepeatsThatEventAlone(t *testing.T) {
	bridge, users := startScriptedBridge(t)
	store := &crashingStore{crashAt: cursorOf(2)}
	first := startFollowing(t, users, nil, store)
	bridge.nextStream(t).send(t, progress(0), event(1), event(2), event(3))
	if err := first.wait(t); !errors.Is(err, errCrashed) {
		t.Errorf("Follow returned %v, want the store's error", err)
	}
	if got := first.events(); len(got) != 2 {
		t.Errorf("handled %v before the crash, want two events", got)
	}

	store.crashAt = ""
	second := startFollowing(t, users, nil, store)
	stream := bridge.nextStream(t)
	if stream.request.AfterCursor != cursorOf(1) {
		t.Errorf("resumed behind %q, want %q", stream.request.AfterCursor, cursorOf(1))
	}
	stream.send(t, progress(1), event(2), event(3))
	second.waitFor(t, 2)
	second.stop(t)
}

func progress(revision uint64) *usersv1.UserEvent {
	return &usersv1.UserEvent{Type: "progress", Cursor: cursorOf(revision), Revision: revision}
}

func event(revision uint64) *usersv1.UserEvent {
	return &usersv1.UserEvent{Type: "user_registered", Cursor: cursorOf(revision), Revision: revision}
}

func cursorOf(revision uint64) string { return fmt.Sprintf("c%d", revision) }

func ignore(context.Context, *usersv1.UserEvent) error { return nil }

func load(t *testing.T, store userbridge.CursorStore) string {
	t.Helper()
	cursor, err := store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cursor
}

var errEnough = errors.New("enough")

// endingStore ends a stream that has been let in. It saves nothing.
type endingStore struct{ userbridge.MemoryStore }

func (s *endingStore) Save(context.Context, string) error { return errEnough }

var errCrashed = errors.New("crashed")

// crashingStore is a store whose process dies between a handler and its save.
type crashingStore struct {
	userbridge.MemoryStore
	crashAt string
}

func (s *crashingStore) Save(ctx context.Context, cursor string) error {
	if cursor == s.crashAt {
		return errCrashed
	}
	return s.MemoryStore.Save(ctx, cursor)
}

// following is a call of Follow in the background, and what it was given.
type following struct {
	cancel context.CancelFunc
	done   chan struct{}
	result error

	mu      sync.Mutex
	handled []*usersv1.UserEvent
	ends    []error
}

func startFollowing(
	t *testing.T, users usersv1.UserServiceClient, request *usersv1.UserEventsRequest,
	store userbridge.CursorStore, handlers ...userbridge.Handler,
) *following {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &following{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.result = userbridge.Follow(ctx, users, request, store,
			func(ctx context.Context, event *usersv1.UserEvent) error {
				for _, handle := range handlers {
					if err := handle(ctx, event); err != nil {
						return err
					}
				}
				f.mu.Lock()
				defer f.mu.Unlock()
				f.handled = append(f.handled, event)
				return nil
			},
			quick,
			userbridge.OnDisconnected(func(err error) {
				f.mu.Lock()
				f.ends = append(f.ends, err)
				f.mu.Unlock()
			}))
	}()
	t.Cleanup(func() {
		cancel()
		<-f.done
	})
	return f
}

func (f *following) events() []*usersv1.UserEvent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*usersv1.UserEvent(nil), f.handled...)
}

func (f *following) cuts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ends)
}

// waitFor waits until so many events have been handled in all.
func (f *following) waitFor(t *testing.T, count int) {
	t.Helper()
	bridgetest.WaitFor(t, fmt.Sprintf("%d events", count), func() bool { return len(f.events()) >= count || f.isDone() })
	if f.isDone() {
		t.Fatalf("Follow returned early: %v", f.result)
	}
}

func (f *following) waitForRevision(t *testing.T, revision uint64) {
	t.Helper()
	bridgetest.WaitFor(t, fmt.Sprintf("revision %d", revision), func() bool {
		events := f.events()
		return f.isDone() || len(events) > 0 && events[len(events)-1].Revision >= revision
	})
}

func (f *following) isDone() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// wait returns what Follow returned of itself.
func (f *following) wait(t *testing.T) error {
	t.Helper()
	bridgetest.Receive(t, "Follow to return", f.done)
	return f.result
}

// stop ends Follow by its context.
func (f *following) stop(t *testing.T) {
	t.Helper()
	f.cancel()
	if err := f.wait(t); !errors.Is(err, context.Canceled) {
		t.Errorf("Follow returned %v, want the context's error", err)
	}
}

// writer registers users, one after the other, whatever becomes of the bridge.
type writer struct {
	cancel       context.CancelFunc
	done         chan struct{}
	acknowledged []string
	failure      error
}

func startWriting(t *testing.T, users usersv1.UserServiceClient) *writer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &writer{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for number := 0; ctx.Err() == nil; number++ {
			username := fmt.Sprintf("writer_%d", number)
			registered, err := users.RegisterUser(ctx, &usersv1.RegisterUserRequest{
				Email: username + "@example.com", Username: username,
			})
			switch status.Code(err) {
			case codes.OK:
				w.acknowledged = append(w.acknowledged, registered.Id)
			case codes.AlreadyExists:
				w.failure = fmt.Errorf("%s was sent twice: %w", username, err)
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-w.done
	})
	return w
}

func (w *writer) stop(t *testing.T) []string {
	t.Helper()
	w.cancel()
	bridgetest.Receive(t, "the writer to end", w.done)
	if w.failure != nil {
		t.Error(w.failure)
	}
	return w.acknowledged
}

// readLog reads the whole log, by another way than Follow.
func readLog(t *testing.T, users usersv1.UserServiceClient) []*usersv1.UserEvent {
	t.Helper()
	head, err := userbridge.Head(t.Context(), users)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := users.StreamUserEvents(ctx, &usersv1.UserEventsRequest{Start: usersv1.UserEventsRequest_EARLIEST})
	if err != nil {
		t.Fatal(err)
	}
	var log []*usersv1.UserEvent
	for len(log) == 0 || log[len(log)-1].Revision < head.Revision {
		event, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		log = append(log, event)
	}
	return log
}

func wantSameEvents(t *testing.T, got, want []*usersv1.UserEvent) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("handled %d events, the log has %d", len(got), len(want))
	}
	for index := range min(len(got), len(want)) {
		if got[index].Id != want[index].Id || got[index].Revision != want[index].Revision {
			t.Fatalf("event %d is %v, and %v in the log", index, got[index], want[index])
		}
	}
}

func wantStreamError(t *testing.T, err error, code codes.Code, cause error) *userbridge.StreamError {
	t.Helper()
	streamError := new(userbridge.StreamError)
	if !errors.As(err, &streamError) || streamError.Code != code || status.Code(err) != code {
		t.Fatalf("Follow returned %v, want a StreamError of %s", err, code)
	}
	if cause != nil && !errors.Is(err, cause) {
		t.Errorf("Follow returned %v, want %v", err, cause)
	}
	return streamError
}
