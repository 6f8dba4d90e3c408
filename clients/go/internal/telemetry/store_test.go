// Package telemetry tests the bridge as the telemetry store calls it: by its own copy of the contract.
package telemetry

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	apikeysv1 "github.com/user-bridge/user-bridge/clients/go/gen/apikeys/v1"
	"github.com/user-bridge/user-bridge/clients/go/internal/bridgetest"
	"github.com/user-bridge/user-bridge/clients/go/internal/telemetry/gen"
	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

const (
	// probeKey is no key: the store asks with it until it gets any answer.
	probeKey      = "startup-readiness-check"
	storeDeadline = 5 * time.Second
)

// store validates keys as the ingestion service does, and like it remembers none that are not good.
type store struct{ bridge gen.InternalAuthServiceClient }

func dialStore(t *testing.T, address string) store {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return store{gen.NewInternalAuthServiceClient(conn)}
}

func (s store) validate(ctx context.Context, key string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeDeadline)
	defer cancel()
	answer, err := s.bridge.ValidateApiKey(ctx, &gen.ValidateApiKeyRequest{ApiKey: key})
	return answer.GetIsValid(), err
}

func TestTheTelemetryStoreValidatesKeys(t *testing.T) {
	dataDir := t.TempDir()
	sender := bridgetest.CreateAPIKey(t, dataDir, "sender", "spans:write")
	admin := bridgetest.CreateAPIKey(t, dataDir, "admin", "api-keys:read", "api-keys:write")
	internal := bridgetest.FreeAddress(t)
	store := dialStore(t, internal)

	// The store may be up before the bridge.
	ready := make(chan bool, 1)
	go func() {
		ready <- bridgetest.ComesTrue(func() bool {
			isValid, err := store.validate(t.Context(), probeKey)
			return err == nil && !isValid
		})
	}()
	bridge := bridgetest.Start(t, "AUTH=on", "DATA_DIR="+dataDir, "INTERNAL_LISTEN="+internal)
	if !bridgetest.Receive(t, "the probe's answer", ready) {
		t.Fatal("the probe got no answer")
	}

	wrong := []byte(sender)
	wrong[10] = 'a' + (wrong[10]+1)%26
	for name, test := range map[string]struct {
		key  string
		want bool
	}{
		"a good key":       {sender, true},
		"an unknown key":   {string(wrong), false},
		"a key of others":  {"sk_live_0123456789", false},
		"half a key":       {sender[:20], false},
		"a key and more":   {sender + "x", false},
		"the empty text":   {"", false},
		"a text of 64 KiB": {strings.Repeat("k", 64<<10), false},
		"the probe":        {probeKey, false},
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				if isValid, err := store.validate(t.Context(), test.key); err != nil || isValid != test.want {
					t.Errorf("got %v, %v, want %v", isValid, err, test.want)
				}
			}
		})
	}
	t.Run("a revoked key is not good within a second", func(t *testing.T) {
		keys := apikeysv1.NewApiKeyServiceClient(bridge.Dial(t, userbridge.WithAPIKey(admin)))
		listed, err := keys.ListApiKeys(t.Context(), &apikeysv1.ListApiKeysRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range listed.ApiKeys {
			if key.Name != "sender" {
				continue
			}
			if _, err := keys.RevokeApiKey(t.Context(), &apikeysv1.RevokeApiKeyRequest{Id: key.Id}); err != nil {
				t.Fatal(err)
			}
		}
		revoked := time.Now()
		bridgetest.WaitFor(t, "the refusal", func() bool {
			isValid, err := store.validate(t.Context(), sender)
			return err == nil && !isValid
		})
		if took := time.Since(revoked); took > 2*time.Second {
			t.Errorf("it took %s", took)
		}
	})
	t.Run("the public port knows nothing of it", func(t *testing.T) {
		if _, err := dialStore(t, bridge.Address).validate(t.Context(), probeKey); status.Code(err) != codes.Unimplemented {
			t.Errorf("got %v, want UNIMPLEMENTED", err)
		}
	})
}
