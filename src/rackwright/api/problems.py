"""Errors as people and programs get them: RFC 9457 problem details, from one table of classes to statuses."""

from __future__ import annotations

import re
from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from rackwright.core.errors import (
    Conflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    RackwrightError,
    StoreUnavailable,
    TryAgain,
)

MEDIA_TYPE = "application/problem+json"


class Unauthenticated(NotAllowed):
    """The caller is not known: no token, or a wrong one."""


class TooLarge(InvalidInput):
    """The body is over the limit."""


STATUS: dict[type[RackwrightError], HTTPStatus] = {
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    InvalidInput: HTTPStatus.BAD_REQUEST,
    NotFound: HTTPStatus.NOT_FOUND,
    Conflict: HTTPStatus.CONFLICT,
    NotAllowed: HTTPStatus.FORBIDDEN,
    StoreUnavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    TryAgain: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""An error has the status of the nearest of its classes; those without one are 500."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem details object (RFC 9457, section 3) with the product's own members ``where``, ``mend``, ``faults``
    (every single fault, when there are more than one) and ``request_id``."""

    type: str
    title: str
    status: int
    detail: str
    where: str = ""
    mend: str = ""
    faults: tuple[str, ...] = ()
    request_id: str = ""


def problem(error: Exception, request_id: str) -> Problem:
    """Say an error as a problem. A fault of the server itself tells nothing: its story is in the log."""
    if isinstance(error, RackwrightError):
        status = next(
            (STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), HTTPStatus.INTERNAL_SERVER_ERROR
        )
        faults = error.faults if isinstance(error, InvalidInput) else ()
        return _problem(status, error.what, request_id, where=error.where, mend=error.mend, faults=faults)
    if isinstance(error, HTTPException):
        return _problem(HTTPStatus(error.status_code), error.detail, request_id, mend=_mend_route(error.status_code))
    return _problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "the server met a fault of its own",
        request_id,
        mend="look for the request id in the log of the api",
    )


def respond(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """A problem as an HTTP response."""
    headers = dict(headers or {})
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    return Response(msgspec.json.encode(problem), problem.status, headers, MEDIA_TYPE)


async def answer(request: Request, error: Exception) -> Response:
    """The exception handler of the application."""
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else None
    return respond(problem(error, getattr(request.state, "request_id", "")), headers)


def pointer(error: msgspec.ValidationError) -> tuple[str, str]:
    """Split a validation error into what is wrong and a JSON pointer (RFC 6901) to the place."""
    what, _, path = str(error).partition(" - at `")
    path = path.rstrip("`")
    if path.startswith("key in "):
        path = path.removeprefix("key in ")
    parts = re.findall(r"\.([^.\[\]]+)|\[([^\]]*)\]", path)
    return what, "".join(f"/{name or place}" for name, place in parts)


def _problem(
    status: HTTPStatus, detail: str, request_id: str, *, where: str = "", mend: str = "", faults: tuple[str, ...] = ()
) -> Problem:
    kind = "-".join(status.phrase.lower().split())
    return Problem(
        type=f"urn:rackwright:problem:{kind}",
        title=status.phrase,
        status=status.value,
        detail=detail,
        where=where,
        mend=mend,
        faults=faults,
        request_id=request_id,
    )


def _mend_route(status: int) -> str:
    if status == HTTPStatus.NOT_FOUND:
        return "routes are under /api/v1; the reference of the API lists them"
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return "the header Allow lists the methods of this address"
    return ""
