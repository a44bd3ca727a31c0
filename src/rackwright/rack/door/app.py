"""The door as one application, and its errors as machines get them: a status, and a text that says what is wrong."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

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
from rackwright.rack.door.inside import Inside, TooLarge, reply

_STATUS: tuple[tuple[type[RackwrightError], HTTPStatus], ...] = (
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (InvalidInput, HTTPStatus.BAD_REQUEST),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (NotAllowed, HTTPStatus.FORBIDDEN),
    (Permanent, HTTPStatus.BAD_GATEWAY),
    (Retryable, HTTPStatus.SERVICE_UNAVAILABLE),
)

log = structlog.get_logger()


def build(behind: Inside) -> Starlette:
    """The application that answers from what stands behind it."""
    routes = [*boot.routes, *assets.routes, *agents.routes, *answers.routes]
    app = Starlette(routes=routes, exception_handlers={RackwrightError: _refusal, FileNotFoundError: _gone})
    app.state.inside = behind
    return app


async def _refusal(request: Request, error: Exception) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    if not isinstance(error, RackwrightError):
        raise error
    log.info("door refused", path=_without_token(request), status=int(status), reason=str(error))
    problem = {"title": status.phrase, "detail": error.what, "where": error.where, "mend": error.mend}
    response = reply(problem, status)
    if isinstance(error, Retryable):
        response.headers["Retry-After"] = str(round(error.after or 5))
    return response


async def _gone(request: Request, error: Exception) -> Response:
    """A file was removed to make room in the moment before it was to be read."""
    what = "the file was removed a moment ago to make room"
    return await _refusal(request, Retryable(what, where=request.url.path, mend="ask again", after=1.0))


def _without_token(request: Request) -> str:
    """The path, fit for a log."""
    token = request.path_params.get("token")
    return request.url.path.replace(token, "TOKEN") if token else request.url.path
