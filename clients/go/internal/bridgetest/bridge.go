// Package bridgetest runs a real bridge for tests.
package bridgetest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// Bridge is a bridge process with an embedded database of its own, which outlives restarts.
type Bridge struct {
	// Address is where it listens: host and port, the same after a restart.
	Address string

	root        string
	environment []string
	process     *exec.Cmd
	ended       chan struct{}
	output      *outputBuffer
}

// Start starts a bridge with additional environment variables ("NAME=value"), and ends it with the test.
// It skips the test where the bridge's dependencies are not installed, unless REQUIRE_BRIDGE is set.
func Start(t testing.TB, environment ...string) *Bridge {
	t.Helper()
	bridge := &Bridge{root: findRoot(t)}
	dataDir := t.TempDir()
	t.Cleanup(func() {
		if bridge.process != nil {
			bridge.Stop(t, syscall.SIGKILL)
		}
	})
	// Somebody else may take the port between our look and the bridge's.
	for range 5 {
		bridge.Address = freeAddress(t)
		bridge.environment = append([]string{
			"PATH=" + os.Getenv("PATH"),
			"HOME=" + os.Getenv("HOME"),
			"LISTEN=" + bridge.Address,
			"INTERNAL_LISTEN=off",
			"DATA_DIR=" + dataDir,
			"LOG_LEVEL=warn",
		}, environment...)
		err := bridge.start()
		if err == nil {
			return bridge
		}
		if !strings.Contains(err.Error(), "EADDRINUSE") && !strings.Contains(err.Error(), "in use") {
			t.Fatal(err)
		}
	}
	t.Fatal("found no free port")
	return nil
}

// Restart starts the bridge again, on the same port and data, after Stop.
func (b *Bridge) Restart(t testing.TB) {
	t.Helper()
	if err := b.start(); err != nil {
		t.Fatal(err)
	}
}

// Stop sends a signal and waits for the end.
func (b *Bridge) Stop(t testing.TB, signal syscall.Signal) {
	t.Helper()
	b.Signal(t, signal)
	select {
	case <-b.ended:
		b.process = nil
	case <-time.After(stopTimeout):
		_ = b.process.Process.Kill()
		t.Errorf("the bridge did not end within %s of %s; it printed:\n%s", stopTimeout, signal, b.output)
	}
}

// Signal sends a signal, e.g. SIGSTOP to freeze the bridge.
func (b *Bridge) Signal(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if b.process == nil {
		return
	}
	if err := b.process.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("signal the bridge: %v", err)
	}
}

// Dial connects to the bridge until the test ends.
func (b *Bridge) Dial(t testing.TB, options ...userbridge.Option) *userbridge.Conn {
	t.Helper()
	return Dial(t, b.Address, options...)
}

// Dial connects to any address until the test ends.
func Dial(t testing.TB, address string, options ...userbridge.Option) *userbridge.Conn {
	t.Helper()
	conn, err := userbridge.Dial("dns:///"+address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (b *Bridge) start() error {
	b.output = &outputBuffer{serving: make(chan struct{})}
	b.ended = make(chan struct{})
	process := exec.Command(filepath.Join(b.root, "node_modules/.bin/node"), "src/main.ts", "serve")
	process.Dir = b.root
	process.Env = b.environment
	process.Stdout, process.Stderr = b.output, b.output
	if err := process.Start(); err != nil {
		return fmt.Errorf("start the bridge: %w", err)
	}
	b.process = process
	go func(ended chan struct{}) {
		_ = process.Wait()
		close(ended)
	}(b.ended)
	select {
	case <-b.output.serving:
		return nil
	case <-b.ended:
		b.process = nil
		return fmt.Errorf("the bridge ended instead of serving; it printed:\n%s", b.output)
	case <-time.After(startTimeout):
		_ = process.Process.Kill()
		<-b.ended
		b.process = nil
		return fmt.Errorf("the bridge does not serve after %s; it printed:\n%s", startTimeout, b.output)
	}
}

// outputBuffer collects what the bridge prints and notices that it serves.
type outputBuffer struct {
	mu      sync.Mutex
	text    bytes.Buffer
	once    sync.Once
	serving chan struct{}
}

func (o *outputBuffer) Write(bytes []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(bytes)
	if strings.Contains(o.text.String(), "user-bridge serves at http") {
		o.once.Do(func() { close(o.serving) })
	}
	return len(bytes), nil
}

func (o *outputBuffer) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func findRoot(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; folder = filepath.Dir(folder) {
		if _, err := os.Stat(filepath.Join(folder, "src/main.ts")); err == nil {
			break
		}
		if folder == filepath.Dir(folder) {
			skip(t, "this is not a checkout of the bridge")
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "node_modules/.bin/node")); err != nil {
		skip(t, "node_modules is missing: run npm ci in "+folder)
	}
	return folder
}

func skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("REQUIRE_BRIDGE") != "" {
		t.Fatal("no bridge to test against: " + reason)
	}
	t.Skip("no bridge to test against: " + reason)
}

// freeAddress looks below the range that kernels take outgoing ports from, so that no connection of another
// process sits on the port while the bridge restarts.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 12_000+rand.IntN(20_000))
		if listener, err := net.Listen("tcp", address); err == nil {
			_ = listener.Close()
			return address
		}
	}
	t.Fatal("found no free port")
	return ""
}
