package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	usersv1 "github.com/user-bridge/user-bridge/clients/go/gen/users/v1"
)

const (
	selectUser = "select id, email, username, is_active, created_at from users where "
	insertUser = "insert into users (id, email, username, is_active, created_at) values ($1, $2, $3, $4, $5)"

	uniqueViolation = "23505"

	// timeFormat is RFC 3339 with the milliseconds that the bridge gives.
	timeFormat = "2006-01-02T15:04:05.000Z07:00"
)

// userService implements what the peers are compared by; the embedded struct refuses the rest.
type userService struct {
	usersv1.UnimplementedUserServiceServer

	pool      *pgxpool.Pool
	broadcast *broadcast
	empty     bool
	fanout    bool
}

func (s *userService) GetUser(ctx context.Context, request *usersv1.GetUserRequest) (*usersv1.GetUserResponse, error) {
	if s.empty {
		return &usersv1.GetUserResponse{}, nil
	}
	query, value, err := userQuery(request)
	if err != nil {
		return nil, err
	}
	var user usersv1.User
	var createdAt time.Time
	err = s.pool.QueryRow(ctx, query, value).
		Scan(&user.Id, &user.Email, &user.Username, &user.IsActive, &createdAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, status.Error(codes.NotFound, "no such user")
	}
	if err != nil {
		return nil, status.Error(codes.Internal, "internal error")
	}
	user.CreatedAt = createdAt.UTC().Format(timeFormat)
	return &usersv1.GetUserResponse{User: &user}, nil
}

// userQuery returns the query for the one key that is set, and the key's value.
func userQuery(request *usersv1.GetUserRequest) (query, value string, err error) {
	email, id, username := request.GetEmail(), request.GetId(), request.GetUsername()
	switch {
	case email != "" && id == "" && username == "":
		return selectUser + "email = $1", strings.ToLower(email), nil
	case id != "" && email == "" && username == "":
		return selectUser + "id = $1", id, nil
	case username != "" && email == "" && id == "":
		return selectUser + "username = $1", strings.ToLower(username), nil
	default:
		return "", "", status.Error(codes.InvalidArgument, "exactly one of email, id and username must be set")
	}
}

func (s *userService) RegisterUser(ctx context.Context, request *usersv1.RegisterUserRequest) (*usersv1.RegisterUserResponse, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, status.Error(codes.Internal, "internal error")
	}
	now := time.Now().UTC()
	user := &usersv1.User{
		Id:        id.String(),
		Email:     strings.ToLower(request.GetEmail()),
		Username:  strings.ToLower(request.GetUsername()),
		IsActive:  true,
		CreatedAt: now.Format(timeFormat),
	}
	if s.fanout {
		if err := s.broadcast.publishRegistration(user); err != nil {
			return nil, status.Error(codes.Internal, "internal error")
		}
	} else {
		_, err := s.pool.Exec(ctx, insertUser, user.Id, user.Email, user.Username, user.IsActive, now)
		var failure *pgconn.PgError
		if errors.As(err, &failure) && failure.Code == uniqueViolation {
			return nil, status.Error(codes.AlreadyExists, "the email or the username is taken")
		}
		if err != nil {
			return nil, status.Error(codes.Internal, "internal error")
		}
	}
	return &usersv1.RegisterUserResponse{Id: user.Id, Email: user.Email, Username: user.Username, Status: "active"}, nil
}

func (s *userService) StreamUserEvents(_ *usersv1.UserEventsRequest, stream grpc.ServerStreamingServer[usersv1.UserEvent]) error {
	if !s.fanout {
		return status.Error(codes.Unimplemented, "not implemented")
	}
	events := s.broadcast.subscribe()
	defer s.broadcast.unsubscribe(events)
	// The headers say that the subscriber misses nothing from here on.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	for {
		select {
		case event, open := <-events:
			if !open {
				return status.Error(codes.ResourceExhausted, "reads too slowly")
			}
			if err := stream.Send(event); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}
