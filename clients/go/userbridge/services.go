package userbridge

import (
	"encoding/json"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	accessv1 "github.com/user-bridge/user-bridge/clients/go/gen/access/v1"
	apikeysv1 "github.com/user-bridge/user-bridge/clients/go/gen/apikeys/v1"
	auditv1 "github.com/user-bridge/user-bridge/clients/go/gen/audit/v1"
	"github.com/user-bridge/user-bridge/clients/go/gen/auth"
	"github.com/user-bridge/user-bridge/clients/go/gen/user"
	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
)

// contract is what the bridge serves. Of other services on the same port nobody knows what a repetition does.
var contract = []protoreflect.FileDescriptor{
	accessv1.File_access_v1_access_proto,
	apikeysv1.File_apikeys_v1_apikeys_proto,
	auditv1.File_audit_v1_audit_proto,
	auth.File_auth_auth_proto,
	user.File_user_user_proto,
	usersv1.File_users_v1_users_proto,
}

// methodName is a method as a service config has it.
type methodName struct {
	Service string `json:"service"`
	Method  string `json:"method"`
}

var (
	// reads can be repeated as they are.
	reads = []methodName{{"grpc.health.v1.Health", "Check"}}
	// writes, by their full names as gRPC has them, can be repeated with an idempotency key.
	writes = map[string]bool{}
)

func init() {
	for _, file := range contract {
		for service := range each(file.Services()) {
			for method := range each(service.Methods()) {
				name := methodName{string(service.FullName()), string(method.Name())}
				switch {
				case method.IsStreamingServer() || method.IsStreamingClient():
				case level(method) == descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN:
					writes["/"+name.Service+"/"+name.Method] = true
				default:
					reads = append(reads, name)
				}
			}
		}
	}
}

func level(method protoreflect.MethodDescriptor) descriptorpb.MethodOptions_IdempotencyLevel {
	options, _ := method.Options().(*descriptorpb.MethodOptions)
	return options.GetIdempotencyLevel()
}

func each[Item any](list interface {
	Len() int
	Get(int) Item
}) func(yield func(Item) bool) {
	return func(yield func(Item) bool) {
		for index := range list.Len() {
			if !yield(list.Get(index)) {
				return
			}
		}
	}
}

// serviceConfig balances over all addresses that are up and say that they serve, and repeats what changes
// nothing. A write needs the same key in all attempts, which is an interceptor's work.
func serviceConfig() string {
	config, err := json.Marshal(map[string]any{
		"loadBalancingConfig": []any{map[string]any{"round_robin": map[string]any{}}},
		"healthCheckConfig":   map[string]any{"serviceName": "users.v1.UserService"},
		// Where failures outnumber a tenth of the successes for long, repeats stop: they would keep the bridge down.
		"retryThrottling": map[string]any{"maxTokens": 100, "tokenRatio": 0.1},
		"methodConfig": []any{map[string]any{
			"name": reads,
			"retryPolicy": map[string]any{
				"maxAttempts":          maxAttempts,
				"initialBackoff":       "0.1s",
				"maxBackoff":           "1s",
				"backoffMultiplier":    2,
				"retryableStatusCodes": []string{"UNAVAILABLE"},
			},
		}},
	})
	if err != nil {
		panic(err) // it has no value that JSON could not have
	}
	return string(config)
}
