"""A rehearsal of a deployment: what would be done, in order, without any effect."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from rackwright.api.call import PREFIX, Call, route
from rackwright.api.pages import Limit, after, page
from rackwright.core.errors import InvalidInput
from rackwright.engine.rehearsing import FIRST, Rehearsed, rehearse


class RehearsalQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of a rehearsal."""

    cursor: str | None = None
    limit: Limit = 500


async def rehearsal(call: Call) -> Response:
    """A page of what the node tasks that are not active would do, those that come first at the beginning."""
    query, services = call.query(RehearsalQuery), call.services
    found = await rehearse(
        services.store, services.catalogs, call.path["name"], _place(after(query.cursor, "")), query.limit + 1
    )
    return page(call, found, query.limit, _key)


def _key(one: Rehearsed) -> str:
    return "{} {}".format(*one.place)


def _place(key: str) -> tuple[int, int]:
    if not key:
        return FIRST
    priority, _, id = key.partition(" ")
    try:
        return int(priority), int(id)
    except ValueError:
        raise InvalidInput(
            "the cursor is not one of this list", where="query/cursor", mend="give `next` of the page before"
        ) from None


routes = [route("GET", f"{PREFIX}/deployments/{{name}}/rehearsal", rehearsal, "read")]
