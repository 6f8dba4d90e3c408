package edge

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/user-bridge/user-bridge/clients/go/internal/bridgetest"
	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

func TestTheEdgeShowsWhoItIs(t *testing.T) {
	const spiffeID = "spiffe://example.com/ns/edge/sa/edge"
	authority := bridgetest.NewAuthority(t, "ours")
	server := authority.IssueServer(t, "bridge")
	pinned := authority.IssueClient(t, "edge", spiffeID)
	unpinned := authority.IssueClient(t, "unpinned", spiffeID)
	dataDir := t.TempDir()
	key := bridgetest.CreateAPIKey(t, dataDir, "edge", "users:read", "users:write", "events:read")
	bridge := bridgetest.Start(t, "AUTH=on", "DATA_DIR="+dataDir,
		"TLS_CERT="+server.Cert, "TLS_KEY="+server.Key, "TLS_CLIENT_CA="+authority.Path,
		"TLS_CLIENT_SPKI_PINS="+pinned.Pin,
		"TLS_CLIENT_PRINCIPALS="+bridgetest.WritePrincipals(t, bridgetest.Principal{
			Name: "edge", URI: spiffeID, Permissions: []string{"users:read", "events:read"},
		}))
	environment := func(client bridgetest.Certificate) map[string]string {
		return map[string]string{
			"EDGE_BRIDGE":          "dns:///" + bridge.Address,
			"EDGE_TLS_CA":          authority.Path,
			"EDGE_TLS_CERT":        client.Cert,
			"EDGE_TLS_KEY":         client.Key,
			"EDGE_DEADLINE":        "10s",
			"EDGE_TLS_SERVER_PINS": server.Pin,
		}
	}

	registration := `{"email":"ada@example.com","username":"ada"}`

	t.Run("by its certificate it may what the certificate may", func(t *testing.T) {
		edge, log := dialEdge(t, environment(pinned))
		edge.get("/users?username=nobody").want(t, http.StatusNotFound)
		answer := edge.post(registration)
		answer.want(t, http.StatusInternalServerError)
		if body := answer.Body.String(); strings.Contains(body, "permission") || strings.Contains(body, "PERMISSION") {
			t.Errorf("the answer tells what the edge lacks: %s", body)
		}
		if text := log.String(); !strings.Contains(text, "users:write") || !strings.Contains(text, "EDGE_TLS_CERT") {
			t.Errorf("the log does not say what is wrong: %s", text)
		}
	})
	t.Run("by its key it may what the key may, and its cache follows the events", func(t *testing.T) {
		variables := environment(pinned)
		variables["EDGE_API_KEY"] = key + "\n"
		edge, log := dialEdge(t, variables)
		answer := edge.post(registration)
		answer.want(t, http.StatusCreated)
		edge.waitForCache(t, answer.Header().Get("Location"), hit)
		if strings.Contains(log.String(), key) {
			t.Error("the log tells the key")
		}
	})
	t.Run("by a certificate that is not pinned it does not get in", func(t *testing.T) {
		edge, _ := dialEdge(t, environment(unpinned))
		edge.get("/users?username=nobody").want(t, http.StatusServiceUnavailable)
		edge.get("/readyz").want(t, http.StatusServiceUnavailable)
	})
}

// dialEdge starts an edge as its program does, and returns what it logs.
func dialEdge(t *testing.T, environment map[string]string) (testEdge, *lockedBuffer) {
	t.Helper()
	config, err := readConfig(environment)
	if err != nil {
		t.Fatal(err)
	}
	log := &lockedBuffer{}
	conn, err := userbridge.Dial(config.Bridge, config.dialOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return startLoggedEdge(t, conn, conn.Users(), config, slog.New(slog.NewJSONHandler(log, nil))), log
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
