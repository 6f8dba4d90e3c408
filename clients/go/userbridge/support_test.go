package userbridge_test

import (
	"context"
	"crypto/rand"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/user-bridge/user-bridge/clients/go/gen/auth"
	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
	"github.com/user-bridge/user-bridge/clients/go/internal/bridgetest"
)

// countingServer answers every method with the next of its answers, the last one for ever, and keeps what
// each call carried.
type countingServer struct {
	address  string
	accepted atomic.Int64

	mu          sync.Mutex
	connections []net.Conn
	answers     []func() error
	metadata    []metadata.MD
	deadline    time.Time
}

func startCountingServer(t *testing.T) *countingServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	counting := &countingServer{address: listener.Addr().String()}
	server := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, _ any, info *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
			if err := counting.answer(ctx); err != nil {
				return nil, err
			}
			return &usersv1.GetUserResponse{}, nil // without content all messages are the same on the wire
		}),
		grpc.StreamInterceptor(func(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			if info.FullMethod != usersv1.UserService_StreamUserEvents_FullMethodName {
				return handle(service, stream) // health, which each connection watches
			}
			return counting.answer(stream.Context())
		}),
	)
	usersv1.RegisterUserServiceServer(server, usersv1.UnimplementedUserServiceServer{})
	auth.RegisterAuthServiceServer(server, auth.UnimplementedAuthServiceServer{})
	server.RegisterService(&somebodyElse, nil)
	healthpb.RegisterHealthServer(server, servingHealth())
	go func() { _ = server.Serve(recordingListener{listener, counting}) }()
	t.Cleanup(server.Stop)
	return counting
}

// somebodyElse is a service that is not the bridge's.
var somebodyElse = grpc.ServiceDesc{ServiceName: "somebody.Else", Methods: []grpc.MethodDesc{{
	MethodName: "Write",
	Handler: func(_ any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
		if err := decode(&usersv1.GetUserRequest{}); err != nil {
			return nil, err
		}
		return intercept(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/somebody.Else/Write"}, nil)
	},
}}}

func (s *countingServer) answer(ctx context.Context) error {
	sent, _ := metadata.FromIncomingContext(ctx)
	s.mu.Lock()
	s.metadata = append(s.metadata, sent)
	s.deadline, _ = ctx.Deadline()
	answer := s.answers[min(len(s.metadata), len(s.answers))-1]
	s.mu.Unlock()
	return answer()
}

func (s *countingServer) reset(answers ...func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers, s.metadata = answers, nil
}

// dropConnections is an answer that never arrives: the call has been received, then its connection is cut.
func (s *countingServer) dropConnections() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, connection := range s.connections {
		_ = connection.Close()
	}
	s.connections = nil
	return nil
}

func (s *countingServer) sentMetadata() []metadata.MD {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.metadata
}

func (s *countingServer) timeLeft(t *testing.T) time.Duration {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deadline.IsZero() {
		t.Fatal("the call had no deadline")
	}
	return time.Until(s.deadline)
}

func (s *countingServer) wantCalls(t *testing.T, want int) {
	t.Helper()
	if got := len(s.sentMetadata()); got != want {
		t.Errorf("the server received %d calls, want %d", got, want)
	}
}

type recordingListener struct {
	net.Listener
	server *countingServer
}

func (l recordingListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err == nil {
		l.server.accepted.Add(1)
		l.server.mu.Lock()
		l.server.connections = append(l.server.connections, connection)
		l.server.mu.Unlock()
	}
	return connection, err
}

// scriptedBridge hands each stream that is asked for to the test, which plays the bridge on it.
type scriptedBridge struct {
	usersv1.UnimplementedUserServiceServer
	streams chan *scriptedStream
}

type scriptedStream struct {
	request *usersv1.UserEventsRequest
	server  grpc.ServerStreamingServer[usersv1.UserEvent]
	ending  chan error
}

// startScriptedBridge returns the bridge and a client of it.
func startScriptedBridge(t *testing.T) (*scriptedBridge, usersv1.UserServiceClient) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bridge := &scriptedBridge{streams: make(chan *scriptedStream)}
	server := grpc.NewServer()
	usersv1.RegisterUserServiceServer(server, bridge)
	healthpb.RegisterHealthServer(server, servingHealth())
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return bridge, bridgetest.Dial(t, listener.Addr().String()).Users()
}

func (b *scriptedBridge) StreamUserEvents(
	request *usersv1.UserEventsRequest, server grpc.ServerStreamingServer[usersv1.UserEvent],
) error {
	stream := &scriptedStream{request, server, make(chan error, 1)}
	select {
	case b.streams <- stream:
	case <-server.Context().Done():
		return server.Context().Err()
	}
	select {
	case err := <-stream.ending:
		return err
	case <-server.Context().Done():
		return server.Context().Err()
	}
}

func (b *scriptedBridge) nextStream(t *testing.T) *scriptedStream {
	t.Helper()
	return bridgetest.Receive(t, "a stream to be asked for", b.streams)
}

// send sends messages, of which a client that leaves misses the rest.
func (s *scriptedStream) send(t *testing.T, messages ...*usersv1.UserEvent) {
	t.Helper()
	for _, message := range messages {
		if err := s.server.Send(message); err != nil && s.server.Context().Err() == nil {
			t.Fatal(err)
		}
	}
}

func (s *scriptedStream) end(err error) { s.ending <- err }

func servingHealth() healthpb.HealthServer {
	server := health.NewServer()
	server.SetServingStatus("users.v1.UserService", healthpb.HealthCheckResponse_SERVING)
	return server
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// register adds a user whose name begins as given.
func register(t *testing.T, users usersv1.UserServiceClient, name string) *usersv1.RegisterUserResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	username := name + "_" + strings.ToLower(rand.Text())[:12]
	registered, err := users.RegisterUser(ctx, &usersv1.RegisterUserRequest{Email: username + "@example.com", Username: username})
	if err != nil {
		t.Fatalf("register %s: %v", username, err)
	}
	return registered
}
