"""Node tasks of a deployment: as they stand, as a graph, and as they went."""

from __future__ import annotations

import time
from typing import Literal

import msgspec
from starlette.responses import Response

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.deployments import one
from rackwright.api.pages import Limit, after, page
from rackwright.engine import parking

StateWord = Literal["error", "active", "todo", "transition", "blocked", "proposed"]


class TasksQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which node tasks: in a state, on a scope, of a task; a page of them."""

    state: StateWord | None = None
    scope: str | None = None
    task: str | None = None
    cursor: str | None = None
    limit: Limit = 500


class GoOn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a parked attempt goes on: well, or ``failed`` for this reason. ``attempt`` refuses any other one."""

    attempt: int | None = None
    failed: str | None = None


class RunsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which attempts: on a scope, of a task, ended since a time; a page of them."""

    scope: str | None = None
    task: str | None = None
    since: float = 0.0
    cursor: str | None = None
    limit: Limit = 500


async def list_tasks(call: Call) -> Response:
    """A page of node tasks, in the order of their ids."""
    views, query = call.services.views, call.query(TasksQuery)
    deployment = await one(views, call.path["name"])
    found = await views.tasks(
        deployment.name,
        state=query.state,
        scope=query.scope,
        task=query.task,
        after=after(query.cursor, 0),
        limit=query.limit + 1,
    )
    return page(call, found, query.limit, lambda task: task.id)


async def history(call: Call) -> Response:
    """A page of the attempts of the past, in the order of their ids."""
    views, query = call.services.views, call.query(RunsQuery)
    deployment = await one(views, call.path["name"])
    found = await views.runs(
        deployment.name,
        scope=query.scope,
        task=query.task,
        since=query.since,
        after=after(query.cursor, 0),
        limit=query.limit + 1,
    )
    return page(call, found, query.limit, lambda run: run.id)


async def graph(call: Call) -> Response:
    """The whole graph as it stands: node tasks, barriers, edges."""
    deployment = await one(call.services.views, call.path["name"])
    return reply(await call.services.views.graph(deployment.name))


async def go_on(call: Call) -> Response:
    """What a parked attempt waited for has come; gives what became of it."""
    said = await call.body(GoOn)
    outcome = await parking.go_on(
        call.store, call.services.catalogs, call.path["id"], time.time(), attempt=said.attempt, failed=said.failed
    )
    return reply({"outcome": outcome})


_ONE = f"{PREFIX}/deployments/{{name}}"
routes = [
    route("GET", f"{_ONE}/tasks", list_tasks, "read"),
    route("GET", f"{_ONE}/graph", graph, "read"),
    route("POST", f"{PREFIX}/node-tasks/{{id:int}}/continue", go_on, "admin"),
    route("GET", f"{_ONE}/history", history, "read"),
]
