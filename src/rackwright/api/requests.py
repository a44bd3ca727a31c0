"""What surrounds every request: its id, one line in the log, its time, and an answer even when the server itself is at
fault."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rackwright.api.problems import problem, respond
from rackwright.api.services import Services

_FIT = re.compile(r"[A-Za-z0-9._-]{1,128}")
log = structlog.get_logger()


class Requests:
    """Middleware (ASGI 3): echoes X-Request-Id or makes one, logs the request, and answers faults with a problem. Once
    the process is to end, every answer is the last one of its connection: the client then opens another, and comes to
    another process."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        id = given if _FIT.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = id
        services: Services = scope["app"].state.services
        status, began = 0, time.monotonic()

        async def say(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = id
                if services.news.stopping:
                    headers["Connection"] = "close"
            await send(message)

        try:
            await self._app(scope, receive, say)
        except Exception as error:
            log.exception("fault", method=scope["method"], path=scope["path"], request_id=id)
            if status:
                raise
            await respond(problem(error, id))(scope, receive, say)
        seconds = time.monotonic() - began
        services.presence.telemetry.answered(scope["method"], status, seconds)
        _tell(scope, id, status, seconds)


def _tell(scope: Scope, id: str, status: int, seconds: float) -> None:
    tell = log.info if status >= 400 else log.debug
    tell("request", method=scope["method"], path=scope["path"], status=status, seconds=round(seconds, 4), request_id=id)
