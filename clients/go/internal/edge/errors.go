package edge

import (
	"encoding/json"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/user-bridge/user-bridge/clients/go/userbridge"
)

// httpStatuses are those of google/rpc/code.proto, but for UNAUTHENTICATED and PERMISSION_DENIED: they are about what
// the edge shows to the bridge, which is no fault of the one who asks the edge.
var httpStatuses = map[codes.Code]int{
	codes.Canceled:           499,
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
	codes.NotFound:           http.StatusNotFound,
	codes.AlreadyExists:      http.StatusConflict,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.Aborted:            http.StatusConflict,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Unavailable:        http.StatusServiceUnavailable,
}

// publicTexts stand for what gRPC says of itself, which may name hosts that are nobody's business.
var publicTexts = map[codes.Code]string{
	codes.Unavailable:      "the user service is unavailable; try again",
	codes.DeadlineExceeded: "the user service took too long; try again",
	codes.Canceled:         "the request was cancelled",
}

const failedText = "the user service failed"

// isRefusal reports whether the bridge does not let the edge do something.
func isRefusal(code codes.Code) bool {
	return code == codes.Unauthenticated || code == codes.PermissionDenied
}

type errorBody struct {
	Error errorObject `json:"error"`
}

type errorObject struct {
	// Code is the gRPC status by name, e.g. NOT_FOUND.
	Code string `json:"code"`
	// Reason is stable: clients switch on it.
	Reason  string       `json:"reason,omitempty"`
	Message string       `json:"message"`
	Fields  []fieldError `json:"fields,omitempty"`
}

type fieldError struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

// writeError answers with what a call to the bridge failed with, and logs what the answer does not tell.
func (e *Edge) writeError(response http.ResponseWriter, err error) {
	failure := status.Convert(err)
	httpStatus, ok := httpStatuses[failure.Code()]
	if !ok {
		httpStatus = http.StatusInternalServerError
	}
	body := errorObject{Code: codeName(failure.Code()), Message: publicTexts[failure.Code()]}
	if isRefusal(failure.Code()) {
		e.logger.Error("the bridge refuses the edge: what do EDGE_API_KEY and EDGE_TLS_CERT hold?", "error", err)
		writeJSON(response, http.StatusInternalServerError, errorBody{errorObject{Code: "INTERNAL", Message: failedText}})
		return
	}
	if info := userbridge.ErrorInfo(err); info != nil {
		body.Reason, body.Message = info.Reason, failure.Message()
	}
	if body.Message == "" {
		body.Message = "the user service refused the request"
		if httpStatus == http.StatusInternalServerError {
			body.Message = failedText
		}
	}
	if httpStatus >= http.StatusInternalServerError {
		e.logger.Warn("a call failed", "error", err)
	}
	for _, violation := range userbridge.BadRequest(err).GetFieldViolations() {
		body.Fields = append(body.Fields, fieldError{violation.Field, violation.Description})
	}
	writeJSON(response, httpStatus, errorBody{body})
}

// writeRefusal answers a request that the edge itself refuses.
func writeRefusal(response http.ResponseWriter, httpStatus int, reason, message string) {
	writeJSON(response, httpStatus, errorBody{errorObject{Code: "INVALID_ARGUMENT", Reason: reason, Message: message}})
}

func writeJSON(response http.ResponseWriter, httpStatus int, body any) {
	response.Header().Set("Content-Type", "application/json")
	response.WriteHeader(httpStatus)
	_ = json.NewEncoder(response).Encode(body) // the only failure is a client that left
}

// codeName turns gRPC's Go names (NotFound) into its names on the wire (NOT_FOUND).
func codeName(code codes.Code) string {
	var name strings.Builder
	for index, letter := range code.String() {
		if index > 0 && letter >= 'A' && letter <= 'Z' {
			name.WriteByte('_')
		}
		name.WriteRune(letter)
	}
	return strings.ToUpper(name.String())
}
