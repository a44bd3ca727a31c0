"""The HTTP server: uvicorn on uvloop, with an end that is quick and clean."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from rackwright.api.news import News
from rackwright.core.errors import InvalidInput

LINGER = 1.0
"""Seconds for which a process that is to end still answers on connections that are open: each answer is the last one of
its connection. A connection that is closed under a client's hands would cost it a request."""
LOOK = 0.02
"""Seconds between two looks whether all connections are gone."""


class Server(uvicorn.Server):
    """Ends by ``leave``: what waits or streams ends at once, what works has ``drain`` seconds to finish, and
    ``serve`` returns. ``left`` is called when it begins to end."""

    def __init__(
        self, app: Starlette, news: News, *, drain: float, started: Callable[[], None], left: Callable[[], None]
    ) -> None:
        config = uvicorn.Config(
            app,
            http="httptools",
            loop="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=max(math.ceil(drain), 1),
            timeout_keep_alive=75,
        )
        super().__init__(config)
        self._news = news
        self._started = started
        self._left = left

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take none: the command that starts the server does, and then calls ``leave``."""
        yield

    def leave(self) -> None:
        """Begin to end; asked again, end without waiting for requests under way."""
        self.force_exit = self.should_exit
        self.should_exit = True
        self._news.stop()
        self._left()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept, then say so."""
        await super().startup(sockets)
        if not self.should_exit:
            self._started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, let the clients go, then end."""
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        clock = asyncio.get_running_loop().time
        end = clock() + LINGER
        while self.server_state.connections and clock() < end and not self.force_exit:
            await asyncio.sleep(LOOK)
        await super().shutdown()


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
