package userbridge_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
	"github.com/user-bridge/user-bridge/clients/go/internal/bridgetest"
	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

func TestMutualTLSLetsInWhoTheCAKnows(t *testing.T) {
	ours, theirs := bridgetest.NewAuthority(t, "ours"), bridgetest.NewAuthority(t, "theirs")
	server := ours.IssueServer(t, "bridge")
	client, stranger := ours.IssueClient(t, "edge"), theirs.IssueClient(t, "stranger")
	bridge := bridgetest.Start(t, "TLS_CERT="+server.Cert, "TLS_KEY="+server.Key, "TLS_CLIENT_CA="+ours.Path)

	for name, test := range map[string]struct {
		files userbridge.TLSFiles
		want  codes.Code
	}{
		"both know each other":            {userbridge.TLSFiles{CA: ours.Path, Cert: client.Cert, Key: client.Key}, codes.OK},
		"the client shows no certificate": {userbridge.TLSFiles{CA: ours.Path}, codes.Unavailable},
		"the client is a stranger":        {userbridge.TLSFiles{CA: ours.Path, Cert: stranger.Cert, Key: stranger.Key}, codes.Unavailable},
		"the bridge is a stranger":        {userbridge.TLSFiles{CA: theirs.Path, Cert: client.Cert, Key: client.Key}, codes.Unavailable},
		"the bridge has another name":     {userbridge.TLSFiles{CA: ours.Path, Cert: client.Cert, Key: client.Key, ServerName: "elsewhere"}, codes.Unavailable},
		"the bridge's key is pinned": {userbridge.TLSFiles{
			CA: ours.Path, Cert: client.Cert, Key: client.Key, ServerPins: []string{stranger.Pin, "sha256/" + server.Pin},
		}, codes.OK},
		"another key is pinned": {userbridge.TLSFiles{
			CA: ours.Path, Cert: client.Cert, Key: client.Key, ServerPins: []string{stranger.Pin},
		}, codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			users := bridge.Dial(t, userbridge.WithTLSFiles(test.files)).Users()
			_, err := users.ListUsers(t.Context(), &usersv1.ListUsersRequest{})
			wantCode(t, err, test.want)
		})
	}
	t.Run("in plaintext", func(t *testing.T) {
		_, err := bridge.Dial(t).Users().ListUsers(t.Context(), &usersv1.ListUsersRequest{})
		wantCode(t, err, codes.Unavailable)
	})
}

func TestDialRefusesTLSFilesThatCannotWork(t *testing.T) {
	authority := bridgetest.NewAuthority(t, "ours")
	client := authority.IssueClient(t, "edge")
	for name, files := range map[string]userbridge.TLSFiles{
		"a certificate without its key": {CA: authority.Path, Cert: client.Cert},
		"a missing CA":                  {CA: authority.Path + ".missing"},
		"a CA that is none":             {CA: client.Key},
		"a missing certificate":         {Cert: client.Cert + ".missing", Key: client.Key},
		"a pin that is none":            {ServerPins: []string{"c2hvcnQ="}},
	} {
		t.Run(name, func(t *testing.T) {
			if conn, err := userbridge.Dial("dns:///127.0.0.1:1", userbridge.WithTLSFiles(files)); err == nil {
				_ = conn.Close()
				t.Error("Dial accepted it")
			}
		})
	}
}
