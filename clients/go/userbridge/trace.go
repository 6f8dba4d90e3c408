package userbridge

import (
	"context"
	"net/http"
	"regexp"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

const (
	traceParentHeader = "traceparent"
	traceStateHeader  = "tracestate"
)

// A trace parent of any version of W3C Trace Context (https://www.w3.org/TR/trace-context/).
var traceParentPattern = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[!-~]*)?$`)

// A list of printable ASCII; what else it may hold is for tracers to judge.
var traceStatePattern = regexp.MustCompile(`^[ -~]{1,512}$`)

type traceContextKey struct{}

type traceContext struct{ parent, state string }

// WithTraceContext makes calls of a context part of a trace. A parent that is not valid is left out, and
// the state with it.
//
// Programs that trace with OpenTelemetry need none of this: they add its stats handler by [WithDialOptions].
func WithTraceContext(ctx context.Context, traceParent, traceState string) context.Context {
	if !traceParentPattern.MatchString(traceParent) {
		return ctx
	}
	if !traceStatePattern.MatchString(traceState) {
		traceState = ""
	}
	return context.WithValue(ctx, traceContextKey{}, traceContext{traceParent, traceState})
}

// WithTraceHeaders takes the trace context of an HTTP request; see [WithTraceContext].
func WithTraceHeaders(ctx context.Context, header http.Header) context.Context {
	return WithTraceContext(ctx, header.Get(traceParentHeader), header.Get(traceStateHeader))
}

// forwardTraceContext hands on what [WithTraceContext] set, or else what an incoming gRPC call carried.
// What the caller put into the outgoing metadata itself is left alone.
func forwardTraceContext(ctx context.Context) context.Context {
	outgoing, _ := metadata.FromOutgoingContext(ctx)
	if len(outgoing.Get(traceParentHeader)) > 0 {
		return ctx
	}
	trace, ok := ctx.Value(traceContextKey{}).(traceContext)
	if !ok {
		incoming, _ := metadata.FromIncomingContext(ctx)
		trace, ok = WithTraceContext(ctx, first(incoming[traceParentHeader]), first(incoming[traceStateHeader])).
			Value(traceContextKey{}).(traceContext)
	}
	if !ok {
		return ctx
	}
	if trace.state != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, traceStateHeader, trace.state)
	}
	return metadata.AppendToOutgoingContext(ctx, traceParentHeader, trace.parent)
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func forwardTraceContextUnary(
	ctx context.Context, method string, request, response any,
	conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	return invoke(forwardTraceContext(ctx), method, request, response, conn, options...)
}

func forwardTraceContextStream(
	ctx context.Context, description *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return open(forwardTraceContext(ctx), description, conn, method, options...)
}
