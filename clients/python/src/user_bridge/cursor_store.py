"""Where the place of a stream is kept."""

import asyncio
import os
import threading
from pathlib import Path
from typing import Protocol


class CursorStore(Protocol):
    """Keeps the place that a stream has reached. One stream is followed with one store."""

    async def load(self) -> str:
        """The cursor that was saved last; empty where there is none."""
        ...

    async def save(self, cursor: str) -> None:
        """Keeps a cursor; an empty one forgets the place. Once it returns, a later load must see it."""
        ...


class MemoryCursorStore:
    """Keeps the cursor as long as the process lives."""

    def __init__(self, cursor: str = "") -> None:
        self.cursor = cursor

    async def load(self) -> str:
        """The cursor."""
        return self.cursor

    async def save(self, cursor: str) -> None:
        """Keeps the cursor."""
        self.cursor = cursor


class FileCursorStore:
    """Keeps the cursor in a file that holds either the old or the new one, also after a loss of power.

    A save costs two fsyncs, in a thread of its own. The folder must exist; the file belongs to one process at a time.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        # A save whose waiter was cancelled goes on in its thread, and the next one must not meet it half-way.
        self._lock = threading.Lock()

    async def load(self) -> str:
        """Reads the file; one that does not exist holds no cursor."""
        return await asyncio.to_thread(self._read)

    async def save(self, cursor: str) -> None:
        """Replaces the file."""
        await asyncio.to_thread(self._replace, cursor)

    def _read(self) -> str:
        with self._lock:
            try:
                return self._path.read_text(encoding="ascii").strip()
            except FileNotFoundError:
                return ""

    def _replace(self, cursor: str) -> None:
        temporary = self._path.with_name(self._path.name + ".tmp")
        with self._lock:
            with temporary.open("w", encoding="ascii") as file:
                file.write(cursor + "\n")
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            _sync_folder(self._path.parent)


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable. Windows cannot, and does not need it."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
