"""A real bridge, as a process of its own."""

import asyncio
import os
import random
import shutil
import signal
import socket
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from pathlib import Path

repository = Path(__file__).resolve().parents[3]
node = repository / "node_modules/.bin/node"
main = repository / "src/main.ts"

_start_timeout = 60
_stop_timeout = 30


class Bridge:
    """`user-bridge serve` on a folder and a port that stay the same when it is started again."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self._environment = {
            "DATA_DIR": str(data_dir),
            "LISTEN": self.address,
            "INTERNAL_LISTEN": "off",
            **environment,
        }
        self._process: Process | None = None
        self._output: list[str] = []
        self._draining: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns once it serves; where it ends instead, raises with everything it printed."""
        process = await _spawn("serve", self._environment)
        assert process.stdout is not None
        self._process = process
        self._output = []
        async with asyncio.timeout(_start_timeout):
            async for line in process.stdout:
                self._output.append(line.decode())
                if "user-bridge serves at" in self._output[-1]:
                    self._draining = asyncio.create_task(self._drain(process.stdout))
                    return
        raise AssertionError(f"the bridge ended instead of serving:\n{''.join(self._output)}")

    async def stop(self, with_signal: signal.Signals) -> None:
        """Sends a signal and waits for the end."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.send_signal(with_signal)
        try:
            async with asyncio.timeout(_stop_timeout):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
            raise AssertionError(f"{with_signal.name} did not end the bridge:\n{''.join(self._output)}") from None
        finally:
            if self._draining is not None:
                await self._draining
            self._process = self._draining = None

    def freeze(self) -> None:
        """The process does nothing any more; its connections stay open."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, with_signal: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(with_signal)

    async def _drain(self, stdout: asyncio.StreamReader) -> None:
        async for line in stdout:
            self._output.append(line.decode())


async def create_database(folder: Path) -> None:
    """Makes an empty embedded database, which can be copied: each copy is the same database to its cursors."""
    process = await _spawn("migrate", {"DATA_DIR": str(folder)})
    async with asyncio.timeout(_start_timeout):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


def copy_database(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


async def _spawn(command: str, environment: dict[str, str]) -> Process:
    inherited = {name: os.environ.get(name, "") for name in ("PATH", "HOME")}
    return await asyncio.create_subprocess_exec(
        node,
        main,
        command,
        env={**inherited, "LOG_LEVEL": "warn", **environment},
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
    )


def free_port() -> int:
    """Below the range that kernels take outgoing ports from, so that nobody's connection takes it in a restart."""
    for _ in range(100):
        port = random.randrange(12_000, 32_000)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("found no free port")
