"""users.v1.UserService on grpc.aio, with asynchronous SQLAlchemy (Core) on asyncpg and uvloop: one query a call."""

import asyncio
import os
import signal
from datetime import UTC, datetime

import grpc
import uvloop
from sqlalchemy import Boolean, Column, DateTime, MetaData, String, Table, Uuid, make_url
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from users.v1 import users_pb2, users_pb2_grpc
from uuid_utils.compat import uuid7

UNIQUE_VIOLATION = "23505"

users = Table(
    "users",
    MetaData(),
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("email", String, nullable=False, unique=True),
    Column("username", String, nullable=False, unique=True),
    Column("is_active", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)


def open_engine() -> AsyncEngine:
    return create_async_engine(
        make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+asyncpg"),
        pool_size=int(os.environ.get("POOL_SIZE", "10")),
        max_overflow=0,
        # Every call is one statement: without this, each would be three round trips (BEGIN, the statement, COMMIT).
        isolation_level="AUTOCOMMIT",
    )


class EmptyUserService(users_pb2_grpc.UserServiceServicer):
    """Answers without a database."""

    async def GetUser(self, request, context):
        return users_pb2.GetUserResponse()


class UserService(users_pb2_grpc.UserServiceServicer):
    """What the peers are compared by; the base class refuses the rest."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def GetUser(self, request, context):
        conditions = []
        if request.email:
            conditions.append(users.c.email == request.email.lower())
        if request.id:
            conditions.append(users.c.id == request.id)
        if request.username:
            conditions.append(users.c.username == request.username.lower())
        if len(conditions) != 1:
            await context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, "exactly one of email, id and username must be set"
            )
        async with self._engine.connect() as connection:
            result = await connection.execute(users.select().where(*conditions))
            row = result.one_or_none()
        if row is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such user")
        return users_pb2.GetUserResponse(
            user=users_pb2.User(
                id=row.id,
                email=row.email,
                username=row.username,
                is_active=row.is_active,
                created_at=row.created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            )
        )

    async def RegisterUser(self, request, context):
        user_id = str(uuid7())
        email = request.email.lower()
        username = request.username.lower()
        insert = users.insert().values(
            id=user_id, email=email, username=username, is_active=True, created_at=datetime.now(UTC)
        )
        try:
            async with self._engine.connect() as connection:
                await connection.execute(insert)
        except IntegrityError as error:
            if error.orig is None or error.orig.sqlstate != UNIQUE_VIOLATION:
                raise
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "the email or the username is taken")
        return users_pb2.RegisterUserResponse(id=user_id, email=email, username=username, status="active")


async def serve() -> None:
    engine = None if os.environ.get("EMPTY") == "1" else open_engine()
    server = grpc.aio.server()
    users_pb2_grpc.add_UserServiceServicer_to_server(
        EmptyUserService() if engine is None else UserService(engine), server
    )
    server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
    await server.start()

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print("ready", flush=True)
    await stop.wait()

    await server.stop(grace=None)
    if engine is not None:
        await engine.dispose()


if __name__ == "__main__":
    uvloop.run(serve())
