"""Who calls: bearer tokens of operators (``admin`` or ``read``) and of racks, and how far each reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request

from rackwright.api import tokens
from rackwright.api.problems import Unauthenticated
from rackwright.api.rack_tokens import RackTokens
from rackwright.core.errors import NotAllowed
from rackwright.core.views import Views

Level = Literal["public", "read", "admin", "rack"]
"""What a route asks of its caller. ``rack``: the token of the rack whose name is in the path, and no other."""


@dataclass(frozen=True)
class Caller:
    """Who calls: a name for the records, and for a rack its id."""

    name: str
    rack: int = 0


async def identify(request: Request, views: Views, racks: RackTokens, needs: Level) -> Caller:
    """The caller of a route that needs ``needs``. Raises Unauthenticated (401) or NotAllowed (403)."""
    if needs == "public":
        return Caller("")
    token = _bearer(request)
    if needs == "rack":
        return await _rack(views, racks, request.path_params["name"], token)
    return await _operator(views, needs, token)


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(
            "no token was given", where="header Authorization", mend="send `Authorization: Bearer <token>`"
        )
    return token.strip()


async def _operator(views: Views, needs: Level, token: str) -> Caller:
    if tokens.of_rack(token):
        raise NotAllowed(
            "a rack's token does not reach this far", where="header Authorization", mend="use an operator's token"
        )
    known = await views.token(tokens.digest(token))
    if known is None:
        raise _unknown(token)
    name, scope = known
    if needs == "admin" and scope != "admin":
        raise NotAllowed(
            f"the token {name!r} may only read", where="header Authorization", mend="use a token of scope admin"
        )
    return Caller(name)


async def _rack(views: Views, racks: RackTokens, name: str, token: str) -> Caller:
    secret = tokens.digest(token)
    if not tokens.of_rack(token) and await views.token(secret) is not None:
        raise NotAllowed(
            "an operator's token does not do a rack's work", where="header Authorization", mend="use the rack's token"
        )
    rack = await racks.rack(name, secret)
    if rack is None:
        raise _unknown(token, f"as the token of rack {name!r}")
    return Caller(f"rack {name}", rack)


def _unknown(token: str, role: str = "") -> Unauthenticated:
    if not tokens.well_formed(token):
        return Unauthenticated(
            "the token is damaged: its checksum does not fit",
            where="header Authorization",
            mend="copy the whole token again",
        )
    return Unauthenticated(
        f"the token is not known {role}".rstrip(),
        where="header Authorization",
        mend="use the newest token, or make one",
    )
