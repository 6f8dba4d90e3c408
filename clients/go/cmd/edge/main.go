// Command edge serves users over HTTP and JSON from a user bridge; -help lists what it can be told.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"

	"github.com/user-bridge/user-bridge/clients/go/internal/edge"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "edge: %v\n", err)
		os.Exit(1)
	}
}

// run lasts until SIGINT or SIGTERM; a second signal ends the process at once.
func run() error {
	config, err := edge.ReadConfig(os.Args[1:], os.LookupEnv, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	listener, err := net.Listen("tcp", config.Listen)
	if err != nil {
		return err
	}
	return edge.Run(ctx, config, listener, slog.New(slog.NewJSONHandler(os.Stderr, nil)))
}
