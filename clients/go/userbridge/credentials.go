package userbridge

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A CredentialSource has the credential of the moment: an API key or an access token; "" is none. It is asked for each
// attempt of a call and each stream, so that a token can be refreshed in between, and must be quick or heed its
// context. A call fails with its error: a gRPC status as it is, anything else as UNAVAILABLE.
type CredentialSource func(ctx context.Context) (string, error)

// WithAPIKey shows an API key to the bridge, as [WithCredential] does.
func WithAPIKey(key string) Option {
	return func(s *settings) {
		s.credential = func(context.Context) (string, error) { return key, nil }
		s.faulty = !presentable.MatchString(key)
	}
}

// WithCredential shows a credential with each call and stream, as "authorization: Bearer …", unless the call's own
// metadata has an authorization. It goes only over TLS, or to this machine; see [WithInsecureCredential].
func WithCredential(source CredentialSource) Option {
	return func(s *settings) { s.credential, s.faulty = source, false }
}

// WithInsecureCredential lets the credential go where everybody on the way can read it: in plaintext to another machine.
func WithInsecureCredential() Option { return func(s *settings) { s.insecureCredential = true } }

var (
	errUnpresentable = errors.New("the credential is empty or has characters that no metadata can carry")

	// presentable is visible ASCII.
	presentable = regexp.MustCompile(`^[!-~]+$`)
)

// bearer shows a credential as gRPC asks for it, which is for each attempt.
type bearer struct {
	source CredentialSource
	secure bool
}

// RequireTransportSecurity makes gRPC refuse to send it in the clear.
func (b bearer) RequireTransportSecurity() bool { return b.secure }

// GetRequestMetadata returns the header field, or nothing where the call has one already.
func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if outgoing, _ := metadata.FromOutgoingContext(ctx); len(outgoing.Get("authorization")) > 0 {
		return nil, nil
	}
	// Health is public. gRPC asks for it by itself, and where it could not, no call would learn why.
	if call, _ := credentials.RequestInfoFromContext(ctx); strings.HasPrefix(call.Method, "/grpc.health.v1.Health/") {
		return nil, nil
	}
	text, err := b.source(ctx)
	switch {
	case err != nil:
		if _, ok := status.FromError(err); ok {
			return nil, err
		}
		// gRPC would make UNAUTHENTICATED of it, which says that trying again is in vain.
		return nil, status.Errorf(codes.Unavailable, "no credential could be had: %v", err)
	case text == "":
		return nil, nil
	case !presentable.MatchString(text):
		return nil, status.Error(codes.Unauthenticated, errUnpresentable.Error())
	}
	return map[string]string{"authorization": "Bearer " + text}, nil
}

// isLoopback reports whether a target is certainly this machine.
func isLoopback(target string) bool {
	endpoint := target
	if scheme, rest, ok := strings.Cut(target, ":///"); ok {
		if scheme != "dns" && scheme != "passthrough" {
			return scheme == "unix"
		}
		endpoint = rest
	}
	host, _, err := net.SplitHostPort(endpoint)
	if err != nil {
		host = strings.Trim(endpoint, "[]")
	}
	if name := strings.ToLower(host); name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
