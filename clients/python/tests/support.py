import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from user_bridge import Client, EventStream, FullJitter, MemoryCursorStore, Tls, UserEvent

quick = FullJitter(base=0.02, ceiling=0.2)


def unique_name() -> str:
    return f"u{uuid.uuid4().hex[:20]}"


async def register(client: Client) -> str:
    """Registers a user that nobody else has, and returns its id."""
    name = unique_name()
    return (await client.register(f"{name}@example.com", name)).id


async def take(stream: EventStream, count: int) -> list[UserEvent]:
    return [await anext(stream) for _ in range(count)]


class Collected:
    """The events that a task has taken from a stream so far."""

    def __init__(self) -> None:
        self.events: list[UserEvent] = []
        self._grown = asyncio.Condition()

    async def add(self, event: UserEvent) -> None:
        async with self._grown:
            self.events.append(event)
            self._grown.notify_all()

    async def wait_for(self, user_id: str) -> None:
        """Waits for an event of the user."""
        async with self._grown:
            await self._grown.wait_for(lambda: any(event.payload.id == user_id for event in self.events))


@asynccontextmanager
async def collecting(stream: EventStream) -> AsyncIterator[Collected]:
    """Takes events while the block runs. A stream that fails fails the block."""
    collected = Collected()

    async def collect() -> None:
        async for event in stream:
            await collected.add(event)

    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(collect())
        yield collected
        task.cancel()


class WatchedStore(MemoryCursorStore):
    """Says when it has a cursor, and remembers all it was given."""

    def __init__(self, cursor: str = "") -> None:
        super().__init__(cursor)
        self.saves: list[str] = []
        self.has_cursor = asyncio.Event()

    async def save(self, cursor: str) -> None:
        await super().save(cursor)
        self.saves.append(cursor)
        self.has_cursor.set()


async def find_end(client: Client) -> str:
    """The cursor of the log's present end."""
    store = WatchedStore()
    async with collecting(client.follow(store)):
        await store.has_cursor.wait()
    return store.cursor


def mutual_tls(certificates: Path, name: str = "client") -> Tls:
    return Tls(
        ca=certificates / "ca.pem", certificate=certificates / f"{name}.pem", key=certificates / f"{name}-key.pem"
    )


@contextmanager
def lost_streams(text: str) -> Iterator[asyncio.Event]:
    """Set as soon as a stream is lost for a reason that contains the text."""
    lost = asyncio.Event()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if text in record.getMessage():
                lost.set()

    handler = Handler()
    logger = logging.getLogger("user_bridge")
    logger.addHandler(handler)
    try:
        yield lost
    finally:
        logger.removeHandler(handler)
