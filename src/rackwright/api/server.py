"""The HTTP server: uvicorn on uvloop, with an end that is quick and clean."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from rackwright.api.news import News
from rackwright.core.errors import InvalidInput

GRACE = 4
"""Seconds that requests under way have to finish once the process is told to end."""


class Server(uvicorn.Server):
    """Ends on SIGTERM or SIGINT: what waits or streams ends at once, what works finishes, and ``serve`` returns."""

    def __init__(self, app: Starlette, news: News, started: Callable[[], None]) -> None:
        config = uvicorn.Config(
            app,
            http="httptools",
            loop="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            timeout_keep_alive=75,
        )
        super().__init__(config)
        self._news = news
        self._started = started

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """While serving, signals end the process cleanly instead of killing it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.leave)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def leave(self) -> None:
        """Begin to end; asked again, end without waiting for requests under way."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._news.stop()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, then say so."""
        await super().startup(sockets)
        if not self.should_exit:
            self._started()


def bind(host: str, port: int) -> socket.socket:
    """A bound TCP socket; port 0 lets the system choose one. Raises InvalidInput for an address that cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise InvalidInput(
            f"the api cannot listen there: {error.strerror}",
            where=f"{host}:{port}",
            mend="give another --host or --port",
        ) from None
    return bound
