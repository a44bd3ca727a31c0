"""The door's HTTP server: uvicorn, without signals of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import structlog
import uvicorn
from starlette.types import ASGIApp

from rackwright.core.errors import InvalidInput
from rackwright.rack.door.protocol import DoorProtocol

last_answers = 2
"""Seconds for requests under way at the end."""

backlog = 2048
"""Machines that may knock at the same moment: a whole row of racks gets its power back at once."""

log = structlog.get_logger()


class DoorServer(uvicorn.Server):
    """Leaves the signals to the command."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket: without a host on every IPv4 address; port 0 lets the system choose one. Raises
    ``InvalidInput`` when it cannot be had."""
    family = socket.AF_UNSPEC if host else socket.AF_INET
    try:
        found = socket.getaddrinfo(host or None, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        mend = "end what uses the port, or give another --door-port"
        raise InvalidInput(f"the door cannot listen there: {error}", where=f"{host}:{port}", mend=mend) from None
    return bound


@contextlib.asynccontextmanager
async def opened(app: ASGIApp, *listening: socket.socket) -> AsyncIterator[asyncio.Task[None]]:
    """Serve on these sockets while the context lasts; gives the task that serves, which ends only if it breaks."""
    config = uvicorn.Config(
        app, http=DoorProtocol, loop="none", lifespan="off", ws="none", log_config=None, access_log=False,
        server_header=False, backlog=backlog, timeout_keep_alive=75, timeout_graceful_shutdown=last_answers,
    )  # fmt: skip
    server = DoorServer(config)
    serving = asyncio.create_task(server.serve(sockets=list(listening)))
    try:
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        host, port = listening[0].getsockname()[:2]
        log.info("door is open", host=host, port=port, sockets=len(listening))
        yield serving
    finally:
        server.should_exit = True
        await asyncio.wait({serving})
