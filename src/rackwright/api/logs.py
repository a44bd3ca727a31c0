"""Logs: all that an attempt said, as plain text (following it, if wished) or piece by piece as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from starlette.responses import Response, StreamingResponse

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.deployments import one
from rackwright.api.names import unknown
from rackwright.api.services import Services
from rackwright.api.streaming import HEADERS
from rackwright.core.errors import NotFound
from rackwright.core.views import LogView, Views

_LOOK_AGAIN = 0.5
"""Seconds between looks at a log that still grows."""


class LogsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The log of a node task: its deployment, its scope (``node``: the name of a node, rack or deployment) and task;
    of an attempt (null: the newest) from a byte on; ``follow`` until it is complete."""

    deployment: str
    node: str
    task: str
    attempt: Annotated[int, msgspec.Meta(ge=1)] | None = None
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    follow: bool = False


async def get_log(call: Call) -> Response:
    """Plain text when ``text/plain`` is accepted, else one piece as JSON (``data`` in base64)."""
    services, query = call.services, call.query(LogsQuery)
    node_task = await node_task_of(services.views, query.deployment, query.node, query.task)
    first = await services.views.log(node_task, attempt=query.attempt, offset=query.offset)
    if "text/plain" not in call.request.headers.get("accept", ""):
        return reply(first)
    headers = {**HEADERS, "X-Attempt": str(first.attempt)}
    text = _text(services, node_task, first, query.follow)
    return StreamingResponse(text, headers=headers, media_type="text/plain; charset=utf-8")


async def node_task_of(views: Views, deployment_name: str, scope: str, task: str) -> int:
    """The id of a node task by names. Raises NotFound, with names that are like it."""
    deployment = await one(views, deployment_name)
    found = await views.tasks(deployment.name, scope=scope, task=task, limit=2)
    if found:
        return found[-1].id
    near = await views.tasks(deployment.name, scope=scope)
    if near:
        raise unknown("task", task, [each.task for each in near])
    raise NotFound(
        f"deployment {deployment.name} has no node task on {scope!r}",
        where=f"deployment {deployment.name}",
        mend=f"`rackwright get tasks --deployment {deployment.name}` lists them",
    )


async def _text(services: Services, node_task: int, piece: LogView, follow: bool) -> AsyncIterator[bytes]:
    with services.news.watch("event") as bell:
        while True:
            if piece.data:
                yield piece.data
            elif piece.complete or not follow or services.news.stopping:
                return
            else:
                await bell.wait(_LOOK_AGAIN)
            piece = await services.views.log(node_task, attempt=piece.attempt, offset=piece.next_offset)


routes = [route("GET", f"{PREFIX}/logs", get_log, "read")]
