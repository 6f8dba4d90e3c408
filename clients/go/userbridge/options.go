package userbridge

import (
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // registers the client side of healthCheckConfig
	"google.golang.org/grpc/keepalive"
)

const (
	defaultPoolSize        = 4
	defaultDeadline        = 5 * time.Second
	defaultMaxMessageBytes = 4 << 20 // as MAX_MESSAGE_BYTES of the bridge

	// A peer that vanished without a word is noticed within the sum of the two. gRPC allows no pings more
	// often than every 10 s; the bridge answers any number.
	keepaliveTime    = 20 * time.Second
	keepaliveTimeout = 10 * time.Second

	minConnectTimeout = 5 * time.Second
)

// reconnect is gRPC's own back-off with a lower ceiling: a bridge restarts in seconds, not in minutes.
var reconnect = backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second}

// An Option changes what [Dial] does.
type Option func(*settings)

type settings struct {
	poolSize        int
	deadline        time.Duration
	maxMessageBytes int
	transport       func() (credentials.TransportCredentials, error)
	extra           []grpc.DialOption

	credential         CredentialSource
	faulty             bool // the credential is known to be none
	insecureCredential bool
}

func defaultSettings() settings {
	return settings{
		poolSize:        defaultPoolSize,
		deadline:        defaultDeadline,
		maxMessageBytes: defaultMaxMessageBytes,
		transport:       func() (credentials.TransportCredentials, error) { return insecure.NewCredentials(), nil },
	}
}

// WithPoolSize sets the number of connections; 4 unless told otherwise.
func WithPoolSize(connections int) Option { return func(s *settings) { s.poolSize = connections } }

// WithDefaultDeadline sets how long a unary call may take whose context has no deadline; 5 s unless told
// otherwise. Streams have none.
func WithDefaultDeadline(deadline time.Duration) Option {
	return func(s *settings) { s.deadline = deadline }
}

// WithMaxMessageBytes limits messages in both directions; 4 MiB unless told otherwise.
func WithMaxMessageBytes(bytes int) Option { return func(s *settings) { s.maxMessageBytes = bytes } }

// WithTLS protects the connections with a configuration of one's own. Without it or [WithTLSFiles] they are
// plaintext.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) {
		s.transport = func() (credentials.TransportCredentials, error) { return credentials.NewTLS(config), nil }
	}
}

// WithTLSFiles protects the connections with TLS, or mutual TLS where a client certificate is named.
func WithTLSFiles(files TLSFiles) Option {
	return func(s *settings) {
		s.transport = func() (credentials.TransportCredentials, error) {
			config, err := files.config()
			if err != nil {
				return nil, err
			}
			return credentials.NewTLS(config), nil
		}
	}
}

// WithDialOptions adds options of gRPC's own, e.g. OpenTelemetry's stats handler.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.extra = append(s.extra, options...) }
}

func (s *settings) dialOptions(target string) ([]grpc.DialOption, error) {
	if s.poolSize < 1 || s.deadline <= 0 || s.maxMessageBytes < 1 {
		return nil, fmt.Errorf("pool size (%d), default deadline (%s) and message limit (%d) must be positive",
			s.poolSize, s.deadline, s.maxMessageBytes)
	}
	transport, err := s.transport()
	if err != nil {
		return nil, err
	}
	showCredential, err := s.credentialOptions(target)
	if err != nil {
		return nil, err
	}
	return slices.Concat([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(serviceConfig()),
		// Else a TXT record could hand us a policy that retries writes without a key.
		grpc.WithDisableServiceConfig(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: minConnectTimeout}),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(s.maxMessageBytes),
			grpc.MaxCallSendMsgSize(s.maxMessageBytes),
		),
		// From the outside in: the deadline spans all attempts; what is forwarded goes with each of them.
		grpc.WithChainUnaryInterceptor(
			defaultDeadlineInterceptor(s.deadline),
			forwardTraceContextUnary,
			repeatWrites,
		),
		grpc.WithChainStreamInterceptor(forwardTraceContextStream),
	}, showCredential, s.extra), nil
}

// credentialOptions let gRPC itself refuse to send the credential in the clear: it knows what the connections are.
func (s *settings) credentialOptions(target string) ([]grpc.DialOption, error) {
	if s.credential == nil {
		return nil, nil
	}
	if s.faulty {
		return nil, errUnpresentable
	}
	secure := !s.insecureCredential && !isLoopback(target)
	return []grpc.DialOption{grpc.WithPerRPCCredentials(bearer{s.credential, secure})}, nil
}
