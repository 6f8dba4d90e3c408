"""A gRPC server that does what a real bridge does not do on demand."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import Message

from tests.bridge import free_port

Context = grpc.aio.ServicerContext[Any, Any]
Unary = Callable[[Context], Awaitable[Message]]
Stream = Callable[[Context], AsyncIterator[Message]]


class FakeBridge(grpc.GenericRpcHandler):
    """Answers each method as it is told, and counts the attempts that reach it."""

    def __init__(self, unary: Mapping[str, Unary] | None = None, stream: Mapping[str, Stream] | None = None) -> None:
        self.attempts: Counter[str] = Counter()
        self.metadata: dict[str, dict[str, str | bytes]] = {}
        self.shown: list[str | bytes | None] = []  # the credential of each attempt
        self.keys: list[str | bytes | None] = []  # its idempotency key
        self._unary = unary or {}
        self._stream = stream or {}
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        name = handler_call_details.method.rpartition("/")[2]
        self.attempts[name] += 1
        metadata = self.metadata[name] = dict(handler_call_details.invocation_metadata)
        self.shown.append(metadata.get("authorization"))
        self.keys.append(metadata.get("idempotency-key"))
        if name in self._unary:
            answer = self._unary[name]

            async def unary(_request: bytes, context: Context) -> bytes:
                return (await answer(context)).SerializeToString()

            return grpc.unary_unary_rpc_method_handler(unary)
        if name in self._stream:
            messages = self._stream[name]

            async def stream(_request: bytes, context: Context) -> AsyncIterator[bytes]:
                async for message in messages(context):
                    yield message.SerializeToString()

            return grpc.unary_stream_rpc_method_handler(stream)
        return None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((self,))
        assert server.add_insecure_port(self.address) == self.port
        await server.start()
        try:
            yield
        finally:
            await server.stop(None)


async def refuse(context: Context) -> Message:
    """A bridge that has lost its database."""
    await context.abort(grpc.StatusCode.UNAVAILABLE, "try again")
