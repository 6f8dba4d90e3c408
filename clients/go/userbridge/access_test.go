package userbridge_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	apikeysv1 "github.com/user-bridge/user-bridge/clients/go/gen/apikeys/v1"
	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
	"github.com/user-bridge/user-bridge/clients/go/internal/bridgetest"
	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

func TestAnAPIKeyMayDoWhatItsScopesSay(t *testing.T) {
	dataDir := t.TempDir()
	reader := bridgetest.CreateAPIKey(t, dataDir, "reader", "users:read", "events:read")
	admin := bridgetest.CreateAPIKey(t, dataDir, "admin", "users:write", "api-keys:read", "api-keys:write")
	bridge := bridgetest.Start(t, "AUTH=on", "DATA_DIR="+dataDir)
	readerUsers := bridge.Dial(t, userbridge.WithAPIKey(reader)).Users()
	adminConn := bridge.Dial(t, userbridge.WithAPIKey(admin))

	t.Run("it does", func(t *testing.T) {
		registered := register(t, adminConn.Users(), "ada")
		found, err := readerUsers.GetUser(t.Context(), &usersv1.GetUserRequest{Id: registered.Id})
		if err != nil || found.User.GetUsername() != registered.Username {
			t.Errorf("got %v, %v", found, err)
		}
	})
	t.Run("and nothing else", func(t *testing.T) {
		_, err := readerUsers.DeleteUser(t.Context(), &usersv1.DeleteUserRequest{Id: "01890000-0000-7000-8000-000000000000"})
		wantRefusal(t, err, codes.PermissionDenied, "PERMISSION_MISSING", "users:delete")
		_, err = adminConn.Users().ListUsers(t.Context(), &usersv1.ListUsersRequest{})
		wantRefusal(t, err, codes.PermissionDenied, "PERMISSION_MISSING", "users:read")
	})
	t.Run("nobody may without a credential, or with a wrong one", func(t *testing.T) {
		_, err := bridge.Dial(t).Users().ListUsers(t.Context(), &usersv1.ListUsersRequest{})
		wantRefusal(t, err, codes.Unauthenticated, "CREDENTIAL_MISSING", "")
		wrong := []byte(reader)
		wrong[10] = 'a' + (wrong[10]+1)%26
		for _, key := range []string{string(wrong), "ubk_", "nonsense"} {
			_, err := bridge.Dial(t, userbridge.WithAPIKey(key)).Users().ListUsers(t.Context(), &usersv1.ListUsersRequest{})
			wantRefusal(t, err, codes.Unauthenticated, "CREDENTIAL_INVALID", "")
		}
	})
	t.Run("a stream ends when its key is revoked", func(t *testing.T) {
		keys := apikeysv1.NewApiKeyServiceClient(adminConn)
		listed, err := keys.ListApiKeys(t.Context(), &apikeysv1.ListApiKeysRequest{})
		if err != nil {
			t.Fatal(err)
		}
		following := startFollowing(t, readerUsers, nil, &userbridge.MemoryStore{})
		registered := bridgetest.ComesTrue(func() bool {
			register(t, adminConn.Users(), "seen")
			return len(following.events()) > 0
		})
		if !registered {
			t.Fatal("the stream brought no event")
		}
		for _, key := range listed.ApiKeys {
			if key.Name != "reader" {
				continue
			}
			if _, err := keys.RevokeApiKey(t.Context(), &apikeysv1.RevokeApiKeyRequest{Id: key.Id}); err != nil {
				t.Fatal(err)
			}
		}
		revoked := time.Now()
		err = following.wait(t)
		wantRefusal(t, errors.Unwrap(err), codes.Unauthenticated, "CREDENTIAL_INVALID", "")
		if !errors.Is(err, userbridge.ErrCredentialRefused) {
			t.Errorf("got %v", err)
		}
		// A second until the stream ends, and the wait before it is opened once more.
		if took := time.Since(revoked); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestACertificateStandsForWhomThePrincipalsFileSays(t *testing.T) {
	const spiffeID = "spiffe://example.com/ns/edge/sa/edge"
	ours, theirs := bridgetest.NewAuthority(t, "ours"), bridgetest.NewAuthority(t, "theirs")
	server := ours.IssueServer(t, "bridge")
	edge := ours.IssueClient(t, "edge", spiffeID)
	nobody := ours.IssueClient(t, "nobody", "spiffe://example.com/ns/other/sa/other")
	dataDir := t.TempDir()
	writer := bridgetest.CreateAPIKey(t, dataDir, "writer", "users:write")
	bridge := bridgetest.Start(t, "AUTH=on", "DATA_DIR="+dataDir,
		"TLS_CERT="+server.Cert, "TLS_KEY="+server.Key,
		"TLS_CLIENT_CA="+ours.Path, "TLS_CLIENT_SPKI_PINS="+edge.Pin+","+nobody.Pin,
		"TLS_CLIENT_PRINCIPALS="+bridgetest.WritePrincipals(t,
			bridgetest.Principal{Name: "edge", URI: spiffeID, Permissions: []string{"users:read", "events:read"}}))
	dial := func(t *testing.T, client bridgetest.Certificate, options ...userbridge.Option) usersv1.UserServiceClient {
		files := userbridge.TLSFiles{CA: ours.Path, Cert: client.Cert, Key: client.Key, ServerPins: []string{server.Pin}}
		return bridge.Dial(t, append(options, userbridge.WithTLSFiles(files))...).Users()
	}
	list := func(t *testing.T, client bridgetest.Certificate) error {
		_, err := dial(t, client).ListUsers(t.Context(), &usersv1.ListUsersRequest{})
		return err
	}
	registration := &usersv1.RegisterUserRequest{Email: "ada@example.com", Username: "ada"}

	t.Run("whose certificate is mapped may what its permissions say", func(t *testing.T) {
		wantCode(t, list(t, edge), codes.OK)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := userbridge.Head(ctx, dial(t, edge)); err != nil {
			t.Error(err)
		}
		_, err := dial(t, edge).RegisterUser(t.Context(), registration)
		wantRefusal(t, err, codes.PermissionDenied, "PERMISSION_MISSING", "users:write")
	})
	t.Run("a credential of the call itself counts instead", func(t *testing.T) {
		if _, err := dial(t, edge, userbridge.WithAPIKey(writer)).RegisterUser(t.Context(), registration); err != nil {
			t.Error(err)
		}
		ofSomebody := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer nonsense")
		_, err := dial(t, edge).ListUsers(ofSomebody, &usersv1.ListUsersRequest{})
		wantRefusal(t, err, codes.Unauthenticated, "CREDENTIAL_INVALID", "")
	})
	t.Run("whose certificate is mapped to nobody has no credential", func(t *testing.T) {
		wantRefusal(t, list(t, nobody), codes.Unauthenticated, "CREDENTIAL_MISSING", "")
	})
	for name, client := range map[string]bridgetest.Certificate{
		"an unpinned key":                        ours.IssueClient(t, "unpinned", spiffeID),
		"an untrusted authority":                 theirs.IssueClient(t, "stranger", spiffeID),
		"an untrusted authority for the key":     theirs.IssueClientFor(t, edge, "thief", spiffeID),
		"no certificate at all":                  {},
		"a certificate that is for servers":      ours.IssueServer(t, "other"),
		"the bridge's own, which is no client's": server,
	} {
		t.Run("the handshake fails with "+name, func(t *testing.T) {
			wantCode(t, list(t, client), codes.Unavailable)
		})
	}
}

// wantRefusal checks why the bridge refused a call, and which permission it missed.
func wantRefusal(t *testing.T, err error, code codes.Code, reason, permission string) {
	t.Helper()
	wantCode(t, err, code)
	info := userbridge.ErrorInfo(err)
	if info.GetReason() != reason || info.GetMetadata()["permission"] != permission {
		t.Errorf("got the reason %s and the permission %q, want %s and %q",
			info.GetReason(), info.GetMetadata()["permission"], reason, permission)
	}
}
