package userbridge_test

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/user-bridge/user-bridge/clients/go/gen/auth"
	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
	"github.com/user-bridge/user-bridge/clients/go/internal/bridgetest"
	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

func TestAWriteIsRepeatedWithOneKey(t *testing.T) {
	server := startCountingServer(t)
	users := bridgetest.Dial(t, server.address).Users()
	given := userbridge.NewIdempotencyKey()

	for name, answer := range map[string]func() error{
		"UNAVAILABLE":                      unavailable,
		"the connection is lost meanwhile": server.dropConnections,
	} {
		for keyName, ctx := range map[string]context.Context{
			"a key of its own":   t.Context(),
			"the caller's key":   userbridge.WithIdempotencyKey(t.Context(), given),
			"and other metadata": metadata.AppendToOutgoingContext(t.Context(), "x-request-id", "1"),
		} {
			t.Run(name+", "+keyName, func(t *testing.T) {
				server.reset(answer, answer, succeed)
				if _, err := users.RegisterUser(ctx, &usersv1.RegisterUserRequest{}); err != nil {
					t.Fatal(err)
				}
				server.wantCalls(t, 3)
				want := onlyKey(t, server.sentMetadata()[0])
				for _, sent := range server.sentMetadata() {
					if got := onlyKey(t, sent); got != want || keyName == "the caller's key" && got != given {
						t.Errorf("an attempt carried the key %q, want %q", got, want)
					}
					if keyName == "and other metadata" && len(sent.Get("x-request-id")) != 1 {
						t.Errorf("an attempt carried only %v", sent)
					}
				}
			})
		}
	}
	t.Run("another call has another key", func(t *testing.T) {
		server.reset(succeed)
		for range 2 {
			if _, err := users.RegisterUser(t.Context(), &usersv1.RegisterUserRequest{}); err != nil {
				t.Fatal(err)
			}
		}
		sent := server.sentMetadata()
		if onlyKey(t, sent[0]) == onlyKey(t, sent[1]) {
			t.Error("two calls have one key")
		}
	})
	t.Run("not for ever", func(t *testing.T) {
		server.reset(unavailable)
		_, err := users.RegisterUser(t.Context(), &usersv1.RegisterUserRequest{})
		wantCode(t, err, codes.Unavailable)
		server.wantCalls(t, 4)
	})
	for _, code := range []codes.Code{
		codes.AlreadyExists, codes.DeadlineExceeded, codes.Unauthenticated, codes.PermissionDenied, codes.Internal,
	} {
		t.Run("nor for "+code.String(), func(t *testing.T) {
			server.reset(func() error { return status.Error(code, "no") })
			_, err := users.RegisterUser(t.Context(), &usersv1.RegisterUserRequest{})
			wantCode(t, err, code)
			server.wantCalls(t, 1)
		})
	}
	t.Run("nor where the caller wants no key", func(t *testing.T) {
		server.reset(unavailable)
		_, err := users.RegisterUser(userbridge.WithIdempotencyKey(t.Context(), ""), &usersv1.RegisterUserRequest{})
		wantCode(t, err, codes.Unavailable)
		server.wantCalls(t, 1)
		if keys := server.sentMetadata()[0].Get("idempotency-key"); len(keys) != 0 {
			t.Errorf("the call carried the keys %q", keys)
		}
	})
}

func onlyKey(t *testing.T, sent metadata.MD) string {
	t.Helper()
	keys := sent.Get("idempotency-key")
	if len(keys) != 1 || len(keys[0]) < 20 {
		t.Fatalf("an attempt carried the keys %q, want one", keys)
	}
	return keys[0]
}

func TestEveryCallIsRepeatedAndOnlyWritesHaveAKey(t *testing.T) {
	server := startCountingServer(t)
	conn := bridgetest.Dial(t, server.address)
	users, accounts := conn.Users(), auth.NewAuthServiceClient(conn)
	ctx := t.Context()

	for name, read := range map[string]func() error{
		"GetUser":       func() error { _, err := users.GetUser(ctx, &usersv1.GetUserRequest{}); return err },
		"BatchGetUsers": func() error { _, err := users.BatchGetUsers(ctx, &usersv1.BatchGetUsersRequest{}); return err },
		"ListUsers":     func() error { _, err := users.ListUsers(ctx, &usersv1.ListUsersRequest{}); return err },
		"GetUserRoles":  func() error { _, err := accounts.GetUserRoles(ctx, &auth.UserRequest{}); return err },
		"ValidateToken": func() error { _, err := accounts.ValidateToken(ctx, &auth.TokenRequest{}); return err },
		"health Check":  func() error { _, err := conn.Health().Check(ctx, &healthpb.HealthCheckRequest{}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			server.reset(unavailable, unavailable, succeed)
			if err := read(); err != nil {
				t.Fatal(err)
			}
			server.wantCalls(t, 3)
			for _, sent := range server.sentMetadata() {
				if keys := sent.Get("idempotency-key"); len(keys) != 0 {
					t.Errorf("an attempt carried the keys %q", keys)
				}
			}
		})
	}
	for name, write := range map[string]func() error{
		"UpdateUser":     func() error { _, err := users.UpdateUser(ctx, &usersv1.UpdateUserRequest{}); return err },
		"ActivateUser":   func() error { _, err := users.ActivateUser(ctx, &usersv1.ActivateUserRequest{}); return err },
		"DeactivateUser": func() error { _, err := users.DeactivateUser(ctx, &usersv1.DeactivateUserRequest{}); return err },
		"DeleteUser":     func() error { _, err := users.DeleteUser(ctx, &usersv1.DeleteUserRequest{}); return err },
		"CreateUser":     func() error { _, err := accounts.CreateUser(ctx, &auth.CreateUserRequest{}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			server.reset(unavailable, succeed)
			if err := write(); err != nil {
				t.Fatal(err)
			}
			server.wantCalls(t, 2)
			for _, sent := range server.sentMetadata() {
				onlyKey(t, sent)
			}
		})
	}
}

func TestACallOfAnotherServiceIsLeftAlone(t *testing.T) {
	server := startCountingServer(t)
	conn := bridgetest.Dial(t, server.address)
	server.reset(unavailable)
	err := conn.Invoke(t.Context(), "/somebody.Else/Write", &usersv1.GetUserRequest{}, &usersv1.GetUserResponse{})
	wantCode(t, err, codes.Unavailable)
	server.wantCalls(t, 1)
	if keys := server.sentMetadata()[0].Get("idempotency-key"); len(keys) != 0 {
		t.Errorf("the call carried the keys %q", keys)
	}
}

func TestACallWithoutADeadlineGetsOne(t *testing.T) {
	server := startCountingServer(t)
	users := bridgetest.Dial(t, server.address).Users()

	server.reset(succeed)
	if _, err := users.GetUser(t.Context(), &usersv1.GetUserRequest{}); err != nil {
		t.Fatal(err)
	}
	if left := server.timeLeft(t); left <= 0 || left > 5*time.Second {
		t.Errorf("the bridge was given %s, want up to 5 s", left)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := users.GetUser(ctx, &usersv1.GetUserRequest{}); err != nil {
		t.Fatal(err)
	}
	if left := server.timeLeft(t); left <= 5*time.Second || left > time.Minute {
		t.Errorf("the bridge was given %s, want the caller's minute", left)
	}
}

func TestAFrozenBridgeCostsTheDeadlineAndNoMore(t *testing.T) {
	bridge := bridgetest.Start(t)
	users := bridge.Dial(t, userbridge.WithDefaultDeadline(200*time.Millisecond)).Users()
	long, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	registered := register(t, users, "ada") // a connection is up

	bridge.Signal(t, syscall.SIGSTOP)
	_, err := users.GetUser(t.Context(), &usersv1.GetUserRequest{Id: registered.Id})
	wantCode(t, err, codes.DeadlineExceeded)

	bridge.Signal(t, syscall.SIGCONT)
	if _, err := users.GetUser(long, &usersv1.GetUserRequest{Id: registered.Id}); err != nil {
		t.Errorf("after the bridge went on: %v", err)
	}
}

func TestTraceContextIsPassedOn(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	server := startCountingServer(t)
	users := bridgetest.Dial(t, server.address).Users()

	headers := func(parent, state string) http.Header {
		return http.Header{"Traceparent": {parent}, "Tracestate": {state}}
	}
	for name, test := range map[string]struct {
		ctx                   context.Context
		wantParent, wantState string
	}{
		"of an HTTP request": {
			ctx:        userbridge.WithTraceHeaders(t.Context(), headers(parent, "vendor=1")),
			wantParent: parent, wantState: "vendor=1",
		},
		"of an incoming gRPC call": {
			ctx:        metadata.NewIncomingContext(t.Context(), metadata.Pairs("traceparent", parent, "tracestate", "vendor=2")),
			wantParent: parent, wantState: "vendor=2",
		},
		"a trace that the caller set stays": {
			ctx: metadata.AppendToOutgoingContext(
				userbridge.WithTraceContext(t.Context(), strings.Replace(parent, "0af7", "ffff", 1), ""), "traceparent", parent),
			wantParent: parent,
		},
		"what is no trace is left out": {
			ctx: userbridge.WithTraceHeaders(t.Context(), headers("00-zz\r\nevil", "vendor=3")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			server.reset(succeed)
			if _, err := users.GetUser(test.ctx, &usersv1.GetUserRequest{}); err != nil {
				t.Fatal(err)
			}
			stream, err := users.StreamUserEvents(test.ctx, &usersv1.UserEventsRequest{})
			if err != nil {
				t.Fatal(err)
			}
			_, _ = stream.Recv()
			server.wantCalls(t, 2)
			for _, sent := range server.sentMetadata() {
				if got := strings.Join(sent.Get("traceparent"), ","); got != test.wantParent {
					t.Errorf("traceparent is %q, want %q", got, test.wantParent)
				}
				if got := strings.Join(sent.Get("tracestate"), ","); got != test.wantState {
					t.Errorf("tracestate is %q, want %q", got, test.wantState)
				}
			}
		})
	}
}

func TestTooLargeAMessageIsRefusedBeforeItIsSent(t *testing.T) {
	server := startCountingServer(t)
	users := bridgetest.Dial(t, server.address, userbridge.WithMaxMessageBytes(1_000)).Users()
	server.reset(succeed)
	_, err := users.GetUser(t.Context(), &usersv1.GetUserRequest{Id: strings.Repeat("x", 1_000)})
	wantCode(t, err, codes.ResourceExhausted)
	server.wantCalls(t, 0)
}

func TestThePoolGoesRound(t *testing.T) {
	server := startCountingServer(t)
	users := bridgetest.Dial(t, server.address, userbridge.WithPoolSize(3)).Users()
	server.reset(succeed)
	for range 6 {
		if _, err := users.GetUser(t.Context(), &usersv1.GetUserRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.accepted.Load(); got != 3 {
		t.Errorf("%d connections were made, want 3", got)
	}
}

func unavailable() error { return status.Error(codes.Unavailable, "try again") }
func succeed() error     { return nil }
