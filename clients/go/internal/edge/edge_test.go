package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
	"github.com/user-bridge/user-bridge/clients/go/internal/bridgetest"
	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

var testConfig = Config{PoolSize: 2, Deadline: 5 * time.Second, CacheSize: 1_000, MaxStaleness: 400 * time.Millisecond}

func TestEdge(t *testing.T) {
	bridge := bridgetest.Start(t)
	conn := bridge.Dial(t)
	edge := startEdge(t, conn, conn.Users(), testConfig)

	t.Run("registers a user", func(t *testing.T) {
		answer := edge.post(`{"email":"Ada@example.com","username":"Ada"}`)
		answer.want(t, http.StatusCreated)
		if got := answer.text("email") + " " + answer.text("username") + " " + answer.text("status"); got != "ada@example.com ada active" {
			t.Errorf("got %s", got)
		}
		edge.get(answer.Header().Get("Location")).want(t, http.StatusOK)
	})
	t.Run("finds a user by each key, from the cache the second time", func(t *testing.T) {
		registered := edge.register(t, "grace")
		for _, path := range []string{
			"/users/" + registered.text("id"), "/users?email=grace@example.com", "/users?username=grace",
			"/users/" + strings.ToUpper(registered.text("id")), "/users?email=GRACE@EXAMPLE.COM", "/users?username=Grace",
		} {
			edge.waitForCache(t, path, hit)
			if got := edge.get(path); got.text("id") != registered.text("id") || got.body["is_active"] != true {
				t.Errorf("%s: %v", path, got.body)
			}
		}
	})
	t.Run("says what is wrong", func(t *testing.T) {
		edge.register(t, "taken")
		for name, test := range map[string]struct {
			answer *answer
			status int
			code   string
			reason string
		}{
			"a taken email":      {edge.post(`{"email":"taken@example.com","username":"other"}`), 409, "ALREADY_EXISTS", "EMAIL_TAKEN"},
			"a taken username":   {edge.post(`{"email":"other@example.com","username":"taken"}`), 409, "ALREADY_EXISTS", "USERNAME_TAKEN"},
			"a bad email":        {edge.post(`{"email":"nonsense","username":"other"}`), 400, "INVALID_ARGUMENT", "INVALID_INPUT"},
			"no user":            {edge.get("/users?username=nobody"), 404, "NOT_FOUND", "USER_NOT_FOUND"},
			"a bad id":           {edge.get("/users/nonsense"), 400, "INVALID_ARGUMENT", "INVALID_INPUT"},
			"no key":             {edge.get("/users"), 400, "INVALID_ARGUMENT", "QUERY_INVALID"},
			"two keys":           {edge.get("/users?email=a@example.com&username=a"), 400, "INVALID_ARGUMENT", "QUERY_INVALID"},
			"no JSON":            {edge.post(`{`), 400, "INVALID_ARGUMENT", "NOT_JSON"},
			"too much":           {edge.post(`{"email":"` + strings.Repeat("x", maxBodyBytes) + `"}`), 413, "INVALID_ARGUMENT", "BODY_TOO_LARGE"},
			"no JSON by type":    {edge.post(`{}`, "Content-Type", "text/plain"), 415, "INVALID_ARGUMENT", "NOT_JSON"},
			"a key with a space": {edge.post(`{}`, "Idempotency-Key", "a b"), 400, "INVALID_ARGUMENT", "IDEMPOTENCY_KEY_INVALID"},
		} {
			t.Run(name, func(t *testing.T) {
				test.answer.want(t, test.status)
				failure, _ := test.answer.body["error"].(map[string]any)
				if failure["code"] != test.code || failure["reason"] != test.reason || failure["message"] == "" {
					t.Errorf("got %v, want %s and %s", failure, test.code, test.reason)
				}
				if fields, ok := failure["fields"].([]any); test.reason == "INVALID_INPUT" && (!ok || len(fields) == 0) {
					t.Errorf("%v names no field", failure)
				}
			})
		}
	})
	t.Run("forgets what an event changed", func(t *testing.T) {
		registered := edge.register(t, "mary")
		id := registered.text("id")
		for name, change := range map[string]func() error{
			"deactivated": func() error {
				_, err := conn.Users().DeactivateUser(t.Context(), &usersv1.DeactivateUserRequest{Id: id})
				return err
			},
			"renamed": func() error { return rename(t.Context(), conn.Users(), id, "maria") },
		} {
			edge.waitForCache(t, "/users/"+id, hit)
			before := edge.get("/users/" + id).Body.String()
			if err := change(); err != nil {
				t.Fatal(err)
			}
			bridgetest.WaitFor(t, name, func() bool { return edge.get("/users/"+id).Body.String() != before })
		}
		edge.get("/users?username=mary").want(t, http.StatusNotFound)
		if _, err := conn.Users().DeleteUser(t.Context(), &usersv1.DeleteUserRequest{Id: id}); err != nil {
			t.Fatal(err)
		}
		bridgetest.WaitFor(t, "deleted", func() bool { return edge.get("/users/"+id).Code == http.StatusNotFound })
	})
	t.Run("is never staler than it says, whatever becomes of its stream", func(t *testing.T) {
		testTruth(t, conn)
	})
	t.Run("asks the bridge itself while the stream is away", func(t *testing.T) {
		client := &unreliableClient{UserServiceClient: conn.Users()}
		edge := startEdge(t, conn, client, testConfig)
		id := edge.register(t, "away").text("id")
		edge.waitForCache(t, "/users/"+id, hit)
		client.cut(true)
		edge.waitForCache(t, "/users/"+id, bypass)
		for number := range 5 {
			name := fmt.Sprintf("away_%d", number)
			if err := rename(t.Context(), conn.Users(), id, name); err != nil {
				t.Fatal(err)
			}
			if got := edge.get("/users/" + id); got.text("username") != name || got.found() != bypass {
				t.Fatalf("got %v (%s), want %s", got.body, got.found(), name)
			}
		}
		client.cut(false)
		edge.waitForCache(t, "/users/"+id, hit)
		if got := edge.get("/users/" + id); got.text("username") != "away_4" {
			t.Errorf("the stream is back, and the cache says %v", got.body)
		}
	})
	t.Run("does not keep a read that an event overtook", func(t *testing.T) {
		client := &unreliableClient{UserServiceClient: conn.Users()}
		edge := startEdge(t, conn, client, testConfig)
		id := edge.register(t, "slow").text("id")
		edge.waitForCache(t, "/users?username=nobody_yet", miss) // the cache is live, and does not know the user

		read, goOn := client.holdNextRead()
		late := make(chan *answer)
		go func() { late <- edge.get("/users/" + id) }()
		bridgetest.Receive(t, "the read", read) // it has seen the user as it was
		before := edge.revision()
		if err := rename(t.Context(), conn.Users(), id, "slow_no_more"); err != nil {
			t.Fatal(err)
		}
		bridgetest.WaitFor(t, "the event", func() bool { return edge.revision() > before })
		close(goOn)
		if got := bridgetest.Receive(t, "the late answer", late); got.text("username") != "slow" {
			t.Errorf("the late read answered %v", got.body)
		}
		if got := edge.get("/users/" + id); got.text("username") != "slow_no_more" {
			t.Errorf("the next read answered %v", got.body)
		}
	})
	t.Run("keeps its place in a file", func(t *testing.T) {
		config := testConfig
		config.CursorFile = filepath.Join(t.TempDir(), "cursor")
		edge := startEdge(t, conn, conn.Users(), config)
		bridgetest.WaitFor(t, "a cursor", func() bool {
			cursor, err := userbridge.NewFileStore(config.CursorFile).Load(t.Context())
			return err == nil && cursor != ""
		})
		edge.get("/healthz").want(t, http.StatusOK)
	})
	t.Run("begins anew where its place is gone", func(t *testing.T) {
		config := testConfig
		config.CursorFile = filepath.Join(t.TempDir(), "cursor")
		if err := userbridge.NewFileStore(config.CursorFile).Save(t.Context(), "of another world"); err != nil {
			t.Fatal(err)
		}
		edge := startEdge(t, conn, conn.Users(), config)
		id := edge.register(t, "anew").text("id")
		edge.waitForCache(t, "/users/"+id, hit)
	})
	t.Run("outlives the bridge", func(t *testing.T) {
		id := edge.register(t, "waiting").text("id")
		edge.get("/readyz").want(t, http.StatusOK)
		bridge.Stop(t, syscall.SIGKILL)
		edge.waitForCache(t, "/users/"+id, bypass)
		answer := edge.get("/users/" + id)
		answer.want(t, http.StatusServiceUnavailable)
		if strings.Contains(answer.Body.String(), "127.0.0.1") {
			t.Errorf("the answer tells where the bridge lives: %s", answer.Body)
		}
		edge.get("/readyz").want(t, http.StatusServiceUnavailable)
		edge.get("/healthz").want(t, http.StatusOK)

		bridge.Restart(t)
		bridgetest.WaitFor(t, "the edge to be ready again", func() bool { return edge.get("/readyz").Code == http.StatusOK })
		edge.waitForCache(t, "/users/"+id, hit)
	})
}

func TestRunFinishesRequestsBeforeItEnds(t *testing.T) {
	bridge := &slowBridge{asked: make(chan struct{}), goOn: make(chan struct{})}
	listener := listen(t)
	config := testConfig
	config.Bridge = "dns:///" + bridge.serve(t)
	config.Deadline = time.Minute
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config, listener, slog.New(slog.DiscardHandler)) }()

	statuses := make(chan int, 1)
	go func() {
		response, err := http.Get("http://" + listener.Addr().String() + "/users?username=ada")
		if err != nil {
			t.Errorf("the last request: %v", err)
			close(statuses)
			return
		}
		_ = response.Body.Close()
		statuses <- response.StatusCode
	}()
	bridgetest.Receive(t, "the request", bridge.asked)
	stop()
	bridgetest.WaitFor(t, "the listener to close", func() bool {
		connection, err := net.Dial("tcp", listener.Addr().String())
		if err == nil {
			_ = connection.Close()
		}
		return err != nil
	})
	close(bridge.goOn)
	if got := bridgetest.Receive(t, "the answer", statuses); got != http.StatusOK {
		t.Errorf("the last request was answered with %d", got)
	}
	if err := bridgetest.Receive(t, "Run to return", ended); err != nil {
		t.Errorf("Run returned %v", err)
	}
}

// slowBridge answers one GetUser, when it is told to.
type slowBridge struct {
	usersv1.UnimplementedUserServiceServer
	asked, goOn chan struct{}
}

func (b *slowBridge) serve(t *testing.T) (address string) {
	t.Helper()
	listener := listen(t)
	server := grpc.NewServer()
	usersv1.RegisterUserServiceServer(server, b)
	healthServer := health.NewServer()
	healthServer.SetServingStatus(usersv1.UserService_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(server, healthServer)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

func (b *slowBridge) GetUser(context.Context, *usersv1.GetUserRequest) (*usersv1.GetUserResponse, error) {
	close(b.asked)
	<-b.goOn
	return &usersv1.GetUserResponse{User: &usersv1.User{Username: "ada"}}, nil
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// testTruth changes users while others read them through the cache and the stream comes and goes. Each name
// holds its version: an answer must be at least the version that was acknowledged maxStaleness before.
func testTruth(t *testing.T, conn *userbridge.Conn) {
	const people, versions, readers = 4, 40, 4
	client := &unreliableClient{UserServiceClient: conn.Users()}
	edge := startEdge(t, conn, client, testConfig)
	histories := make([]history, people)
	for person := range people {
		histories[person].id = edge.register(t, fmt.Sprintf("p%d_v0", person)).text("id")
	}

	var writing, reading sync.WaitGroup
	done := make(chan struct{})
	for person := range people {
		writing.Go(func() {
			for version := 1; version <= versions; version++ {
				if err := rename(t.Context(), conn.Users(), histories[person].id, fmt.Sprintf("p%d_v%d", person, version)); err != nil {
					t.Error(err)
					return
				}
				histories[person].acknowledge(version)
				next := []found{hit, bypass} // not faster than the cache can be read from in between
				if person == 0 && version%8 == 0 {
					isCut := version%16 == 8
					client.cut(isCut)
					if isCut {
						next = []found{bypass} // long enough for the cache to become stale
					}
				}
				if !bridgetest.ComesTrue(func() bool { return slices.Contains(next, edge.get("/users/"+histories[person].id).found()) }) {
					t.Errorf("after version %d no read was a %v", version, next)
					return
				}
			}
		})
	}
	var hits sync.Map
	for range readers {
		reading.Go(func() {
			for number := 0; ; number++ {
				select {
				case <-done:
					return
				default:
				}
				history := &histories[number%people]
				path := "/users/" + history.id
				if number%2 == 0 {
					path = fmt.Sprintf("/users?email=p%d_v0@example.com", number%people)
				}
				begun := time.Now()
				answer := edge.get(path)
				var person, version int
				if _, err := fmt.Sscanf(answer.text("username"), "p%d_v%d", &person, &version); err != nil {
					t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
					return
				}
				if want := history.versionAt(begun.Add(-testConfig.MaxStaleness)); version < want {
					t.Errorf("%s (%s) says version %d, and %d was acknowledged more than %s ago",
						path, answer.found(), version, want, testConfig.MaxStaleness)
				}
				hits.Store(answer.found(), true)
			}
		})
	}
	writing.Wait()
	client.cut(false)
	for person := range people {
		edge.waitForCache(t, "/users/"+histories[person].id, hit)
	}
	close(done)
	reading.Wait()
	for _, want := range []found{hit, miss, bypass} {
		if _, ok := hits.Load(want); !ok {
			t.Errorf("no read was a %s: the test has proved nothing", want)
		}
	}
}

// history is when which version of a user was acknowledged.
type history struct {
	id string

	mu           sync.Mutex
	acknowledged []time.Time // of version 1, 2, …
}

func (h *history) acknowledge(version int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acknowledged = append(h.acknowledged, time.Now())
}

func (h *history) versionAt(moment time.Time) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	version := 0
	for index, at := range h.acknowledged {
		if at.Before(moment) {
			version = index + 1
		}
	}
	return version
}

// unreliableClient is a client whose streams can be cut and whose reads can be held.
type unreliableClient struct {
	usersv1.UserServiceClient

	mu      sync.Mutex
	isCut   bool
	cancels []context.CancelFunc
	read    chan struct{}
	goOn    chan struct{}
}

// cut ends all streams and refuses new ones, or allows them again.
func (c *unreliableClient) cut(isCut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isCut = isCut
	if isCut {
		for _, cancel := range c.cancels {
			cancel()
		}
		c.cancels = nil
	}
}

// holdNextRead returns a channel that closes when the next GetUser has its answer, and one that lets it have it.
func (c *unreliableClient) holdNextRead() (read, goOn chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read, c.goOn = make(chan struct{}), make(chan struct{})
	return c.read, c.goOn
}

func (c *unreliableClient) GetUser(
	ctx context.Context, request *usersv1.GetUserRequest, options ...grpc.CallOption,
) (*usersv1.GetUserResponse, error) {
	answer, err := c.UserServiceClient.GetUser(ctx, request, options...)
	c.mu.Lock()
	read, goOn := c.read, c.goOn
	c.read, c.goOn = nil, nil
	c.mu.Unlock()
	if read != nil {
		close(read)
		<-goOn
	}
	return answer, err
}

func (c *unreliableClient) StreamUserEvents(
	ctx context.Context, request *usersv1.UserEventsRequest, options ...grpc.CallOption,
) (grpc.ServerStreamingClient[usersv1.UserEvent], error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isCut {
		return nil, status.Error(codes.Unavailable, "cut")
	}
	ctx, cancel := context.WithCancel(ctx)
	c.cancels = append(c.cancels, cancel)
	return c.UserServiceClient.StreamUserEvents(ctx, request, options...)
}

// testEdge is an edge without a listener.
type testEdge struct {
	edge    *Edge
	handler http.Handler
}

func startEdge(t *testing.T, conn *userbridge.Conn, users usersv1.UserServiceClient, config Config) testEdge {
	t.Helper()
	return startLoggedEdge(t, conn, users, config, slog.New(slog.DiscardHandler))
}

func startLoggedEdge(
	t *testing.T, conn *userbridge.Conn, users usersv1.UserServiceClient, config Config, logger *slog.Logger,
) testEdge {
	t.Helper()
	edge := New(users, conn.Health(), config, logger)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		edge.FollowEvents(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return testEdge{edge, edge.Handler()}
}

func (e testEdge) revision() uint64 {
	e.edge.cache.mu.Lock()
	defer e.edge.cache.mu.Unlock()
	return e.edge.cache.revision
}

func (e testEdge) get(path string) *answer {
	return e.send(httptest.NewRequest(http.MethodGet, path, nil))
}

func (e testEdge) post(body string, header ...string) *answer {
	request := httptest.NewRequest(http.MethodPost, "/users", strings.NewReader(body))
	request.Header.Set("Content-Type", "application/json")
	if len(header) > 0 {
		request.Header.Set(header[0], header[1])
	}
	return e.send(request)
}

func (e testEdge) register(t *testing.T, name string) *answer {
	t.Helper()
	answer := e.post(fmt.Sprintf(`{"email":"%s@example.com","username":"%s"}`, name, name))
	answer.want(t, http.StatusCreated)
	return answer
}

func (e testEdge) send(request *http.Request) *answer {
	answer := &answer{ResponseRecorder: httptest.NewRecorder()}
	e.handler.ServeHTTP(answer, request)
	_ = json.Unmarshal(answer.Body.Bytes(), &answer.body)
	return answer
}

// waitForCache reads until the cache takes the wanted part in it.
func (e testEdge) waitForCache(t *testing.T, path string, wanted found) {
	t.Helper()
	bridgetest.WaitFor(t, fmt.Sprintf("%s to be a %s", path, wanted), func() bool { return e.get(path).found() == wanted })
}

type answer struct {
	*httptest.ResponseRecorder
	body map[string]any
}

func (a *answer) found() found { return found(a.Header().Get("X-Cache")) }

func (a *answer) text(field string) string {
	text, _ := a.body[field].(string)
	return text
}

func (a *answer) want(t *testing.T, status int) {
	t.Helper()
	if a.Code != status || a.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("got %d %s, want %d", a.Code, a.Body, status)
	}
}

func rename(ctx context.Context, users usersv1.UserServiceClient, id, username string) error {
	_, err := users.UpdateUser(ctx, &usersv1.UpdateUserRequest{User: &usersv1.User{Id: id, Username: username}})
	return err
}
