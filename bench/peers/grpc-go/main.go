// Command grpc-go serves users.v1.UserService with grpc-go and pgxpool: one query a call, which pgx prepares
// once a connection. FANOUT=1 makes registrations events in memory only.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
)

func main() {
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()

	pool, err := openPool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()

	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	usersv1.RegisterUserServiceServer(server, &userService{
		pool:      pool,
		broadcast: newBroadcast(),
		empty:     os.Getenv("EMPTY") == "1",
		fanout:    os.Getenv("FANOUT") == "1",
	})
	context.AfterFunc(ctx, server.Stop)
	// The listener queues calls from now on.
	fmt.Println("ready")
	return server.Serve(listener)
}

func openPool(ctx context.Context) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(os.Getenv("DATABASE_URL"))
	if err != nil {
		return nil, err
	}
	config.MaxConns = 10
	if text := os.Getenv("POOL_SIZE"); text != "" {
		size, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("POOL_SIZE: %w", err)
		}
		config.MaxConns = int32(size)
	}
	return pgxpool.NewWithConfig(ctx, config)
}
