"""How the commands of a lab speak to its keeper: one JSON object each way over a Unix socket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rackwright.core.errors import Conflict, RackwrightError

TIMEOUT = 60.0
"""Seconds for an answer."""

Answer = Callable[[dict[str, Any]], Awaitable[Any]]


async def serve(path: Path, answer: Answer) -> asyncio.Server:
    """Listen on the path, for its owner alone. ``answer`` takes what was asked and gives what is told; an error of the
    product is told as such."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError):
            asked = json.loads(await reader.readline())
            try:
                told = {"told": await answer(asked)}
            except RackwrightError as error:
                told = {"error": error.what, "mend": error.mend}
            writer.write(json.dumps(told).encode() + b"\n")
            await writer.drain()
        writer.close()

    with suppress(FileNotFoundError):
        os.unlink(path)
    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(talk, str(path))
    finally:
        os.umask(before)


def ask(path: Path, what: str, **more: Any) -> Any:
    """What the keeper tells. Raises Conflict when it does not run, or refuses."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(TIMEOUT)
        try:
            line.connect(str(path))
            line.sendall(json.dumps({"what": what, **more}).encode() + b"\n")
            said = json.loads(line.makefile("rb").readline())
        except (OSError, ValueError) as error:
            raise Conflict(
                f"the lab does not run: {error}", where=str(path), mend="start it anew: `rackwright lab down`, then up"
            ) from None
    if "error" in said:
        raise Conflict(said["error"], mend=said["mend"])
    return said["told"]
