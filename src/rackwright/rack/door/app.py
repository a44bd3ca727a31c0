"""The door as one application, and its errors as machines get them: a status, and a text that says what is wrong.

Its routes, requests and answers are Starlette's. What calls them is not: thousands of machines wait at the door for
work, and each would hold the calls of a router and of two middlewares (https://asgi.readthedocs.io/en/latest/specs/).
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from rackwright.core.errors import (
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    Permanent,
    RackwrightError,
    Retryable,
)
from rackwright.rack.door import agents, answers, assets, boot
from rackwright.rack.door.inside import Inside, TooLarge, put_behind, reply

_STATUS: tuple[tuple[type[RackwrightError], HTTPStatus], ...] = (
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (InvalidInput, HTTPStatus.BAD_REQUEST),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (NotAllowed, HTTPStatus.FORBIDDEN),
    (Permanent, HTTPStatus.BAD_GATEWAY),
    (Retryable, HTTPStatus.SERVICE_UNAVAILABLE),
)

_ROUTES: Sequence[Route] = (*boot.routes, *assets.routes, *agents.routes, *answers.routes)

log = structlog.get_logger()


def build(behind: Inside) -> ASGIApp:
    """The application that answers from what stands ``behind`` it."""
    return _Door(behind)


class _Door:
    def __init__(self, behind: Inside) -> None:
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. What is no error of ours passes: the server logs it, and answers 500."""
        put_behind(scope, self._behind)
        request = Request(scope, receive)
        try:
            answer = await _answer(request)
            await answer(scope, receive, send)
        except FileNotFoundError:
            # A file was removed to make room in the moment before it was to be read.
            what = "the file was removed a moment ago to make room"
            refusal = _refusal(request, Retryable(what, where=request.url.path, mend="ask again", after=1.0))
            await refusal(scope, receive, send)
        except RackwrightError as error:
            await _refusal(request, error)(scope, receive, send)


async def _answer(request: Request) -> Response:
    """The answer of the endpoint whose path this is."""
    allowed: set[str] = set()
    for route in _ROUTES:
        match, found = route.matches(request.scope)
        if match is Match.FULL:
            request.scope.update(found)
            answer: Response = await route.endpoint(request)
            return answer
        if match is Match.PARTIAL:
            allowed |= route.methods or set()
    if allowed:
        headers = {"Allow": ", ".join(sorted(allowed))}
        return PlainTextResponse("Method Not Allowed", HTTPStatus.METHOD_NOT_ALLOWED, headers)
    return PlainTextResponse("Not Found", HTTPStatus.NOT_FOUND)


def _refusal(request: Request, error: RackwrightError) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    log.info("door refused", path=_without_token(request), status=int(status), reason=str(error))
    problem = {"title": status.phrase, "detail": error.what, "where": error.where, "mend": error.mend}
    response = reply(problem, status)
    if isinstance(error, Retryable):
        response.headers["Retry-After"] = str(round(error.after or 5))
    return response


def _without_token(request: Request) -> str:
    """The path, fit for a log."""
    token = request.path_params.get("token")
    return request.url.path.replace(token, "TOKEN") if token else request.url.path
