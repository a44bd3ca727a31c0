"""Looking back: who changed what, what ran when, and what decided how long it took."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from starlette.responses import Response

from rackwright.api import deployments
from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.pages import Limit, after, page
from rackwright.core.errors import InvalidInput
from rackwright.core.history import END, AttemptView
from rackwright.engine.looking_back import critical_path as find_critical_path

Moment = Annotated[float, msgspec.Meta(ge=0)]
DAY = 86400.0


class ChangesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A page of changes."""

    cursor: str | None = None
    limit: Limit = 500


class AttemptsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which attempts: of a deployment, of a task; a page of them."""

    deployment: str | None = None
    task: str | None = None
    cursor: str | None = None
    limit: Limit = 500


class TimelineQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A window of time, in seconds since the epoch; without it the last run, or the last day."""

    since: Moment | None = None
    until: Moment | None = None


class PathQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Since when attempts are looked at; without it since the last change that let something run."""

    since: Moment | None = None


async def list_changes(call: Call) -> Response:
    """A page of all changes of what is desired, the newest first: who, when, from where, and what."""
    return await _changes(call)


async def deployment_changes(call: Call) -> Response:
    """The same of one deployment, plans among them; of one that is gone, too."""
    return await _changes(call, deployment=call.path["name"])


async def node_changes(call: Call) -> Response:
    """The same of one node."""
    return await _changes(call, scope=call.path["name"])


async def attempts(call: Call) -> Response:
    """A page of the attempts on a node, rack or deployment, the newest first, with all that is kept of them."""
    query = call.query(AttemptsQuery)
    found = await call.services.views.attempts(
        call.path["name"],
        deployment=query.deployment,
        task=query.task,
        before=_place(after(query.cursor, "")),
        limit=query.limit + 1,
    )
    return page(call, found, query.limit, _key)


async def timeline(call: Call) -> Response:
    """What each task of a deployment did in a window of time: attempts by outcome, from when to when."""
    views, query = call.services.views, call.query(TimelineQuery)
    name = (await deployments.one(views, call.path["name"])).name
    until = query.until if query.until is not None else time.time()
    since = query.since
    if since is None:
        since = await views.last_run_began(name) or until - DAY
    return reply({"since": since, "until": until, "lanes": await views.lanes(name, since, until)})


async def critical_path(call: Call) -> Response:
    """The chain of node tasks that decided how long the last run took, waiting and running apart."""
    views = call.services.views
    name = (await deployments.one(views, call.path["name"])).name
    return reply(await find_critical_path(views, name, call.query(PathQuery).since))


async def _changes(call: Call, *, deployment: str | None = None, scope: str | None = None) -> Response:
    query = call.query(ChangesQuery)
    found = await call.services.views.changes(
        deployment=deployment, scope=scope, before=after(query.cursor, END), limit=query.limit + 1
    )
    return page(call, found, query.limit, lambda change: change.id)


def _key(attempt: AttemptView) -> str:
    return f"{attempt.at!r} {attempt.id}"


def _place(key: str) -> tuple[float, int]:
    if not key:
        return 1e300, END
    at, _, id = key.partition(" ")
    try:
        return float(at), int(id)
    except ValueError:
        raise InvalidInput(
            "the cursor is not one of this list", where="query/cursor", mend="give `next` of the page before"
        ) from None


_DEPLOYMENT = f"{PREFIX}/deployments/{{name}}"
routes = [
    route("GET", f"{PREFIX}/changes", list_changes, "read"),
    route("GET", f"{_DEPLOYMENT}/changes", deployment_changes, "read"),
    route("GET", f"{_DEPLOYMENT}/timeline", timeline, "read"),
    route("GET", f"{_DEPLOYMENT}/critical-path", critical_path, "read"),
    route("GET", f"{PREFIX}/nodes/{{name}}/changes", node_changes, "read"),
    route("GET", f"{PREFIX}/attempts/{{name}}", attempts, "read"),
]
