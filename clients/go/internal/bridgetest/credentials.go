package bridgetest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// CreateAPIKey makes an API key in a data directory that no bridge has open, and returns its text. It skips the test
// as [Start] does.
func CreateAPIKey(t testing.TB, dataDir, name string, scopes ...string) string {
	t.Helper()
	root := findRoot(t)
	arguments := append([]string{"src/main.ts", "api-keys", "create", "--name", name, "--scope"}, scopes...)
	command := exec.Command(filepath.Join(root, "node_modules/.bin/node"), arguments...)
	command.Dir = root
	command.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "DATA_DIR=" + dataDir, "LOG_LEVEL=silent",
	}
	var key, said bytes.Buffer
	command.Stdout, command.Stderr = &key, &said
	if err := command.Run(); err != nil {
		t.Fatalf("create an API key: %v; it printed:\n%s", err, said.String())
	}
	return strings.TrimSpace(key.String())
}

// Principal says whom certificates with a SPIFFE ID stand for.
type Principal struct {
	Name        string   `json:"name"`
	URI         string   `json:"uri"`
	Permissions []string `json:"permissions"`
}

// WritePrincipals writes the file that TLS_CLIENT_PRINCIPALS names, and returns its path.
func WritePrincipals(t testing.TB, principals ...Principal) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"principals": principals})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "principals.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// FreeAddress returns an address for a further listener of a bridge, e.g. INTERNAL_LISTEN.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return freeAddress(t)
}
