"""API keys of a bridge that does not run."""

import asyncio
import os
from asyncio.subprocess import PIPE
from pathlib import Path

from tests.bridge import main, node


async def create_api_key(data_dir: Path, name: str, *scopes: str) -> str:
    """Makes a key and returns its text."""
    inherited = {variable: os.environ.get(variable, "") for variable in ("PATH", "HOME")}
    process = await asyncio.create_subprocess_exec(
        node,
        main,
        *("api-keys", "create", "--name", name, "--scope", *scopes),
        env={**inherited, "DATA_DIR": str(data_dir), "LOG_LEVEL": "silent"},
        stdout=PIPE,
        stderr=PIPE,
    )
    async with asyncio.timeout(60):
        key, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    return key.decode().strip()
