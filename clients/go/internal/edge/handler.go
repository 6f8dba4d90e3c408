package edge

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

const (
	maxBodyBytes      = 16 << 10
	readinessDeadline = time.Second
)

// What a key may be: it becomes metadata, where other bytes are not allowed.
var idempotencyKeyPattern = regexp.MustCompile(`^[!-~]{1,255}$`)

type userBody struct {
	ID        string `json:"id"`
	Email     string `json:"email"`
	Username  string `json:"username"`
	IsActive  bool   `json:"is_active"`
	CreatedAt string `json:"created_at"`
}

type registrationBody struct {
	Email    string `json:"email"`
	Username string `json:"username"`
}

type registeredBody struct {
	ID       string `json:"id"`
	Email    string `json:"email"`
	Username string `json:"username"`
	Status   string `json:"status"`
}

// Handler returns the edge's routes.
func (e *Edge) Handler() http.Handler {
	routes := http.NewServeMux()
	routes.HandleFunc("POST /users", e.registerUser)
	routes.HandleFunc("GET /users/{id}", e.getUserByID)
	routes.HandleFunc("GET /users", e.findUser)
	routes.HandleFunc("GET /healthz", func(response http.ResponseWriter, _ *http.Request) {
		writeJSON(response, http.StatusOK, map[string]string{"status": "ok"})
	})
	routes.HandleFunc("GET /readyz", e.reportReadiness)
	return http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		ctx := userbridge.WithTraceHeaders(request.Context(), request.Header)
		ctx, cancel := context.WithTimeout(ctx, e.deadline)
		defer cancel()
		routes.ServeHTTP(response, request.WithContext(ctx))
	})
}

func (e *Edge) registerUser(response http.ResponseWriter, request *http.Request) {
	if kind, _, err := mime.ParseMediaType(request.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		writeRefusal(response, http.StatusUnsupportedMediaType, "NOT_JSON", "send application/json")
		return
	}
	var body registrationBody
	if err := json.NewDecoder(http.MaxBytesReader(response, request.Body, maxBodyBytes)).Decode(&body); err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			writeRefusal(response, http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE", "the body is too large")
			return
		}
		writeRefusal(response, http.StatusBadRequest, "NOT_JSON", "the body must be an object with email and username")
		return
	}
	ctx := request.Context()
	if key := request.Header.Get("Idempotency-Key"); key != "" {
		if !idempotencyKeyPattern.MatchString(key) {
			writeRefusal(response, http.StatusBadRequest, "IDEMPOTENCY_KEY_INVALID",
				"Idempotency-Key must be 1 to 255 printable ASCII characters without spaces")
			return
		}
		ctx = userbridge.WithIdempotencyKey(ctx, key)
	}
	user, err := e.users.RegisterUser(ctx, &usersv1.RegisterUserRequest{Email: body.Email, Username: body.Username})
	if err != nil {
		e.writeError(response, err)
		return
	}
	response.Header().Set("Location", "/users/"+user.Id)
	writeJSON(response, http.StatusCreated, registeredBody{user.Id, user.Email, user.Username, user.Status})
}

func (e *Edge) getUserByID(response http.ResponseWriter, request *http.Request) {
	id := request.PathValue("id")
	e.writeUser(response, request, byID(id), &usersv1.GetUserRequest{Id: id})
}

func (e *Edge) findUser(response http.ResponseWriter, request *http.Request) {
	query := request.URL.Query()
	email, username := only(query, "email"), only(query, "username")
	switch {
	case len(query) == 1 && email != "":
		e.writeUser(response, request, byEmail(email), &usersv1.GetUserRequest{Email: email})
	case len(query) == 1 && username != "":
		e.writeUser(response, request, byUsername(username), &usersv1.GetUserRequest{Username: username})
	default:
		writeRefusal(response, http.StatusBadRequest, "QUERY_INVALID", "ask by exactly one of email and username")
	}
}

// only returns the value of a parameter that is given once.
func only(query url.Values, name string) string {
	if values := query[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

func (e *Edge) writeUser(response http.ResponseWriter, request *http.Request, wanted key, ask *usersv1.GetUserRequest) {
	user, found, begun := e.cache.find(wanted)
	response.Header().Set("X-Cache", string(found))
	if found != hit {
		answer, err := e.users.GetUser(request.Context(), ask)
		if err != nil {
			e.writeError(response, err)
			return
		}
		user = answer.User
		if found == miss {
			e.cache.fill(begun, user)
		}
	}
	writeJSON(response, http.StatusOK, userBody{user.Id, user.Email, user.Username, user.IsActive, user.CreatedAt})
}

// reportReadiness asks the bridge: an edge that cannot reach one should get no requests.
func (e *Edge) reportReadiness(response http.ResponseWriter, request *http.Request) {
	ctx, cancel := context.WithTimeout(request.Context(), readinessDeadline)
	defer cancel()
	answer, err := e.health.Check(ctx, &healthpb.HealthCheckRequest{Service: usersv1.UserService_ServiceDesc.ServiceName})
	if e.stopping.Load() || err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
		writeJSON(response, http.StatusServiceUnavailable, map[string]string{"status": "not ready"})
		return
	}
	writeJSON(response, http.StatusOK, map[string]string{"status": "ready"})
}
