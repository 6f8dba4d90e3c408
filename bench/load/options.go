package main

import (
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	service     = "/users.v1.UserService/"
	authService = "/auth.AuthService/"
)

// callOptions are the flags that loads of calls share.
type callOptions struct {
	flags       *flag.FlagSet
	address     *string
	body        *string
	users       *uint64
	password    *string
	tokens      *string
	prefix      *string
	seed        *uint64
	connections *int
	serverPID   *int
	warmUp      *time.Duration
	duration    *time.Duration
}

func newCallOptions(name string) callOptions {
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	return callOptions{
		flags:       flags,
		address:     flags.String("address", "127.0.0.1:8080", "host:port of the server"),
		body:        flags.String("body", "lookup", "lookup (GetUser of a seeded user), register (RegisterUser of a new one), login (Authenticate), validate (ValidateToken), or hex of one message for GetUser, whose answer may be anything"),
		users:       flags.Uint64("users", 10_000, "lookup, login: how many users were seeded, user-1@example.com and on"),
		password:    flags.String("password", "", "login: the password of all of them"),
		tokens:      flags.String("tokens", "", "validate: a file with a good token, a space and its user's id on each line"),
		prefix:      flags.String("prefix", "load", "register: how emails and usernames begin; letters and digits, new for each run"),
		seed:        flags.Uint64("seed", 1, "of the random choices"),
		connections: flags.Int("c", 4, "connections"),
		serverPID:   flags.Int("server-pid", 0, "process whose processor time to measure"),
		warmUp:      flags.Duration("warmup", time.Second, "time before the measurement"),
		duration:    flags.Duration("duration", 5*time.Second, "time of the measurement"),
	}
}

// source returns the path to call and what makes a connection's bodies.
func (o callOptions) source(json bool) (path string, bodies func(int) Bodies, err error) {
	switch *o.body {
	case "lookup":
		return service + "GetUser", func(connection int) Bodies {
			random := rand.New(rand.NewPCG(*o.seed, uint64(connection)+1))
			return &lookups{random: random, users: *o.users, json: json}
		}, nil
	case "register":
		counter := &atomic.Uint64{}
		return service + "RegisterUser", func(int) Bodies {
			return &registrations{prefix: *o.prefix, counter: counter, json: json}
		}, nil
	case "login", "validate":
		if json {
			return "", nil, fmt.Errorf("%s is not for JSON", *o.body)
		}
		return o.authSource()
	}
	body, err := hex.DecodeString(*o.body)
	if err == nil && len(body) > maxRequestBytes/2 {
		err = fmt.Errorf("a body of at most %d bytes, please", maxRequestBytes/2)
	}
	return service + "GetUser", func(int) Bodies { return &fixed{body} }, err
}

func (o callOptions) authSource() (path string, bodies func(int) Bodies, err error) {
	counter := &atomic.Uint64{}
	if *o.body == "login" {
		return authService + "Authenticate", func(int) Bodies {
			return &logins{lookups: lookups{users: *o.users}, password: []byte(*o.password), counter: counter}
		}, nil
	}
	tokens, err := readTokens(*o.tokens)
	return authService + "ValidateToken", func(int) Bodies { return &validations{tokens, counter} }, err
}

func runUnary(arguments []string) (any, error) {
	options := newCallOptions("unary")
	streams := options.flags.Int("m", 32, "closed loop: calls in flight on each connection")
	rate := options.flags.Float64("rate", 0, "open loop: calls a second over all connections, latency from when each was due")
	arrivals := options.flags.String("arrivals", "poisson", "open loop: poisson or uniform")
	if err := options.flags.Parse(arguments); err != nil {
		return nil, err
	}
	path, bodies, err := options.source(false)
	if err != nil {
		return nil, err
	}
	return UnaryLoad{
		Address:     *options.address,
		Path:        path,
		Connections: *options.connections,
		Streams:     *streams,
		Rate:        *rate,
		Poisson:     *arrivals == "poisson",
		Seed:        *options.seed,
		Window:      windowAfter(*options.warmUp, *options.duration),
		Bodies:      bodies,
		ServerPID:   *options.serverPID,
	}.Run()
}

func runHTTP1(arguments []string) (any, error) {
	options := newCallOptions("http1")
	if err := options.flags.Parse(arguments); err != nil {
		return nil, err
	}
	path, bodies, err := options.source(true)
	if err != nil {
		return nil, err
	}
	return HTTP1Load{
		Address:     *options.address,
		Path:        path,
		Connections: *options.connections,
		Window:      windowAfter(*options.warmUp, *options.duration),
		Bodies:      bodies,
		ServerPID:   *options.serverPID,
	}.Run()
}
