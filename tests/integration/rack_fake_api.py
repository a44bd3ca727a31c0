"""An api that knows only racks: it hands out what a test gives it, remembers what it is told, and can be ill."""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rackwright.core.messages import (
    Claim,
    ClaimRequest,
    Claims,
    Heartbeat,
    HeartbeatAnswer,
    LogChunks,
    Result,
    Results,
    Verdict,
    Verdicts,
)


class PoliteServer(uvicorn.Server):
    """Leaves the signals of the test's own process alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class FakeApi:
    """The racks' four requests, over real HTTP on ``url``."""

    def __init__(self) -> None:
        self.queue: list[Claim] = []
        self.results: list[Result] = []
        self.batches: list[str] = []
        """The incarnation of each batch of results."""
        self.claimed_by: list[str] = []
        """The incarnation of each request for work."""
        self.heartbeats: list[Heartbeat] = []
        self.drop: list[int] = []
        self.cancel: list[tuple[int, int]] = []
        self.logs: dict[int, bytearray] = defaultdict(bytearray)
        self.last: set[int] = set()
        self.log_requests = 0
        self.ill: dict[str, Response] = {}
        """By verb: the answer instead of a sensible one."""
        self.lease = 1.0
        self.patience = 2.0
        """Seconds that a request for work waits."""
        self.generous = False
        """Whether results bring the next node tasks."""
        self.port = 0
        self.closing = False
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[FakeApi]:
        """Listen, on the same port as the last time."""
        sock = socket.create_server(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        self.closing = False
        app = Starlette(routes=[Route("/api/v1/racks/r1/{verb}", self._answer, methods=["POST"])])
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=2)
        server = PoliteServer(config)
        task = asyncio.create_task(server.serve(sockets=[sock]))
        try:
            yield self
        finally:
            server.should_exit = self.closing = True
            async with self._changed:
                self._changed.notify_all()
            await task
            sock.close()

    async def give(self, *claims: Claim) -> None:
        """Put work into the queue."""
        self.queue.extend(claims)
        async with self._changed:
            self._changed.notify_all()

    async def until(self, what: Callable[[], Any], seconds: float = 60.0) -> None:
        """Wait until ``what()`` is true."""
        async with asyncio.timeout(seconds), self._changed:
            await self._changed.wait_for(what)

    def outcome(self, number: int) -> str | None:
        """How the newest result of a node task says that it ended."""
        return next((result.outcome for result in reversed(self.results) if result.id == number), None)

    async def _answer(self, request: Request) -> Response:
        verb, body = request.path_params["verb"], await request.body()
        assert request.headers["Authorization"] == "Bearer secret"
        if verb in self.ill:
            return self.ill[verb]
        answer = await getattr(self, f"_{verb}")(body)
        async with self._changed:
            self._changed.notify_all()
        return Response(msgspec.json.encode(answer), media_type="application/json")

    async def _claims(self, body: bytes) -> Claims:
        asked = msgspec.json.decode(body, type=ClaimRequest)
        self.claimed_by.append(asked.incarnation)
        async with self._changed:
            self._changed.notify_all()
            try:
                await asyncio.wait_for(self._changed.wait_for(lambda: self.queue or self.closing), self.patience)
            except TimeoutError:
                return Claims([], self.lease)
        items, self.queue = self.queue[: asked.capacity], self.queue[asked.capacity :]
        return Claims(items, self.lease)

    async def _results(self, body: bytes) -> Verdicts:
        given = msgspec.json.decode(body, type=Results)
        self.batches.append(given.incarnation)
        self.results.extend(given.items)
        verdicts = [Verdict(item.id, item.attempt, True) for item in given.items]
        if given.next is None or not self.generous:
            return Verdicts(verdicts)
        items, self.queue = self.queue[: given.next.capacity], self.queue[given.next.capacity :]
        return Verdicts(verdicts, Claims(items, self.lease))

    async def _heartbeat(self, body: bytes) -> HeartbeatAnswer:
        self.heartbeats.append(msgspec.json.decode(body, type=Heartbeat))
        return HeartbeatAnswer(self.cancel, self.drop)

    async def _logs(self, body: bytes) -> dict[str, Any]:
        self.log_requests += 1
        for chunk in msgspec.json.decode(body, type=LogChunks).items:
            assert chunk.offset <= len(self.logs[chunk.id]), "a piece is missing before this one"
            self.logs[chunk.id][chunk.offset : chunk.offset + len(chunk.data)] = chunk.data
            if chunk.last:
                self.last.add(chunk.id)
        return {}
