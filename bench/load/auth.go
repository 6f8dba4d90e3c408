package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
)

// logins asks Authenticate for tokens, for one account after another over all connections: a service that slows
// logins down counts those in flight for each account.
type logins struct {
	lookups
	password []byte
	counter  *atomic.Uint64
}

func (l *logins) Next(out []byte) ([]byte, uint64) {
	name := (l.counter.Add(1)-1)%l.users + 1
	return appendField(appendField(out, 1, l.email(name)), 2, l.password), name
}

// IsAnswer looks for both tokens; that they are good, the service's tests say.
func (l *logins) IsAnswer(_ uint64, message []byte) bool {
	access, _ := field(message, 1)
	refresh, _ := field(message, 2)
	return len(access) > 0 && len(refresh) > 0
}

// issuedToken is an access token, and the id of the user to whom it belongs.
type issuedToken struct{ text, userID []byte }

// validations asks ValidateToken about one token after another, over all connections. All of them are good.
type validations struct {
	tokens  []issuedToken
	counter *atomic.Uint64
}

func (v *validations) Next(out []byte) ([]byte, uint64) {
	name := (v.counter.Add(1) - 1) % uint64(len(v.tokens))
	return appendField(out, 1, v.tokens[name].text), name
}

func (v *validations) IsAnswer(name uint64, message []byte) bool {
	_, isValid := field(message, 1)
	userID, _ := field(message, 2)
	return isValid == 1 && bytes.Equal(userID, v.tokens[name].userID)
}

// readTokens reads a file with a token and, behind a space, its user's id on each line.
func readTokens(path string) ([]issuedToken, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var tokens []issuedToken
	for lines := bufio.NewScanner(file); lines.Scan(); {
		text, userID, found := strings.Cut(lines.Text(), " ")
		if !found || len(text) > maxRequestBytes/2 {
			return nil, fmt.Errorf("%s, line %d: want a token of at most %d bytes, a space and a user's id", path, len(tokens)+1, maxRequestBytes/2)
		}
		tokens = append(tokens, issuedToken{[]byte(text), []byte(userID)})
	}
	if len(tokens) == 0 {
		return nil, errors.New(path + " holds no token")
	}
	return tokens, nil
}
