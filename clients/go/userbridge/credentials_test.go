package userbridge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
	"github.com/user-bridge/user-bridge/clients/go/internal/bridgetest"
	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

func TestACredentialIsShownByEachAttemptAndStream(t *testing.T) {
	server := startCountingServer(t)
	asked := 0
	users := bridgetest.Dial(t, server.address, userbridge.WithCredential(func(context.Context) (string, error) {
		asked++
		return fmt.Sprintf("token%d", asked), nil
	})).Users()

	server.reset(unavailable, succeed, unavailable, succeed)
	if _, err := users.GetUser(t.Context(), &usersv1.GetUserRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := users.DeleteUser(t.Context(), &usersv1.DeleteUserRequest{}); err != nil {
		t.Fatal(err)
	}
	stream, err := users.StreamUserEvents(t.Context(), &usersv1.UserEventsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = stream.Recv()
	wantShown(t, server, "token1", "token2", "token3", "token4", "token5")
}

func TestAnAPIKeyIsShownUnlessTheCallHasACredentialOfItsOwn(t *testing.T) {
	server := startCountingServer(t)
	users := bridgetest.Dial(t, server.address, userbridge.WithAPIKey("ubk_secret")).Users()
	server.reset(succeed)
	ofAUser := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer ofAUser")
	for _, ctx := range []context.Context{t.Context(), ofAUser} {
		if _, err := users.GetUser(ctx, &usersv1.GetUserRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	wantShown(t, server, "ubk_secret", "ofAUser")
}

func TestACallSaysWhyThereIsNoCredential(t *testing.T) {
	server := startCountingServer(t)
	for name, test := range map[string]struct {
		text string
		err  error
		want codes.Code
	}{
		"the source's own status":      {err: status.Error(codes.PermissionDenied, "not you"), want: codes.PermissionDenied},
		"another error":                {err: errors.New("offline"), want: codes.Unavailable},
		"text that no header can have": {text: "ubk_secret\r\nx: y", want: codes.Unauthenticated},
		"none is shown":                {text: "", want: codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			server.reset(succeed)
			users := bridgetest.Dial(t, server.address, userbridge.WithCredential(func(context.Context) (string, error) {
				return test.text, test.err
			})).Users()
			_, err := users.GetUser(t.Context(), &usersv1.GetUserRequest{})
			wantCode(t, err, test.want)
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error tells the secret: %v", err)
			}
			if test.want == codes.OK {
				wantShown(t, server, "")
			} else {
				server.wantCalls(t, 0)
			}
		})
	}
}

func TestACredentialGoesInPlaintextOnlyToThisMachine(t *testing.T) {
	key := userbridge.WithAPIKey("ubk_secret")
	for _, target := range []string{
		"127.0.0.1:1", "dns:///127.9.9.9:1", "localhost:1", "dns:///LOCALHOST", "[::1]:1", "dns:///[::1]", "unix:///tmp/bridge",
	} {
		conn, err := userbridge.Dial(target, key)
		if err != nil {
			t.Errorf("%s: %v", target, err)
			continue
		}
		_ = conn.Close()
	}
	for _, target := range []string{
		"bridge.internal:1", "dns:///bridge.internal", "10.0.0.1:1", "localhost.example.com:1", "dns://10.0.0.1/localhost:1",
	} {
		if conn, err := userbridge.Dial(target, key); err == nil {
			_ = conn.Close()
			t.Errorf("%s: Dial accepted it", target)
		}
		for name, option := range map[string]userbridge.Option{
			"TLS": userbridge.WithTLSFiles(userbridge.TLSFiles{}), "leave": userbridge.WithInsecureCredential(),
		} {
			conn, err := userbridge.Dial(target, key, option)
			if err != nil {
				t.Errorf("%s with %s: %v", target, name, err)
				continue
			}
			_ = conn.Close()
		}
	}
}

func TestDialRefusesAKeyThatCannotBeOne(t *testing.T) {
	for _, key := range []string{"", "ubk_secret\n", "ubk secret"} {
		conn, err := userbridge.Dial("127.0.0.1:1", userbridge.WithAPIKey(key))
		if err == nil {
			_ = conn.Close()
			t.Errorf("Dial accepted %q", key)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the secret: %v", err)
		}
	}
}

func TestAStreamWhoseCredentialEndsIsOpenedOnceMore(t *testing.T) {
	ended := status.Error(codes.Unauthenticated, "the credential behind this stream has ended")
	bridge, users := startScriptedBridge(t)
	handled := make(chan uint64, 10)
	result := make(chan error, 1)
	go func() {
		result <- userbridge.Follow(t.Context(), users, &usersv1.UserEventsRequest{}, &userbridge.MemoryStore{},
			func(_ context.Context, event *usersv1.UserEvent) error { handled <- event.Revision; return nil },
			userbridge.WithReconnectDelays(1, 1))
	}()

	// Each that has begun may have had its credential end.
	for revision := range uint64(3) {
		stream := bridge.nextStream(t)
		stream.send(t, &usersv1.UserEvent{Type: "user_registered", Revision: revision + 1, Cursor: fmt.Sprint(revision + 1)})
		if got := bridgetest.Receive(t, "an event", handled); got != revision+1 {
			t.Fatalf("got revision %d, want %d", got, revision+1)
		}
		stream.end(ended)
	}
	// The next one is refused at once: what was asked for anew is no better.
	bridge.nextStream(t).end(ended)
	err := bridgetest.Receive(t, "the end", result)
	refused := new(userbridge.StreamError)
	if !errors.Is(err, userbridge.ErrCredentialRefused) || !errors.As(err, &refused) || refused.Code != codes.Unauthenticated {
		t.Errorf("got %v", err)
	}
	if errors.Is(err, userbridge.ErrCursorInvalid) {
		t.Error("it passes for another error")
	}
}

// wantShown compares the credentials of all calls; "" is none.
func wantShown(t *testing.T, server *countingServer, want ...string) {
	t.Helper()
	got := []string{}
	for _, sent := range server.sentMetadata() {
		got = append(got, strings.TrimPrefix(strings.Join(sent.Get("authorization"), "+"), "Bearer "))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the calls showed %q, want %q", got, want)
	}
}
