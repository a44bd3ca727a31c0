"""Load runs that are tasks: which there are, their numbers second by second while they go on, and their pictures."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from starlette.responses import Response, StreamingResponse

from rackwright.api.bodies import reply
from rackwright.api.call import PREFIX, Call, route
from rackwright.api.load_streams import pictures, spoken
from rackwright.api.logs import node_task_of
from rackwright.api.pages import whole
from rackwright.api.streaming import HEADERS, last_event
from rackwright.core.errors import NotFound
from rackwright.core.load.lines import Line, lines
from rackwright.core.views import LogView, TaskView
from rackwright.engine.loads import load_tasks


class LoadView(msgspec.Struct, frozen=True, kw_only=True):
    """A load: a node task with the jig `load`, with its deployment and its scope (``node``)."""

    deployment: str
    node: str
    task: str
    rack: str | None
    state: str
    attempt: int
    reason: str


class LinesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lines of an attempt (null: the newest) from a byte of its log on."""

    attempt: Annotated[int, msgspec.Meta(ge=1)] | None = None
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0


class LinesView(msgspec.Struct, frozen=True, kw_only=True):
    """The lines of a load from a place on. Ask again with ``next_offset`` until it is ``complete``."""

    attempt: int
    next_offset: int
    complete: bool
    lines: list[Line]


async def list_loads(call: Call) -> Response:
    """Every load of every deployment."""
    views = call.services.views
    found: list[LoadView] = []
    for deployment, task in await load_tasks(call.services.store, call.services.catalogs):
        # Meanwhile it may be gone.
        with contextlib.suppress(NotFound):
            found += [_view(each) for each in await views.tasks(deployment, task=task)]
    return whole(found)


async def get_load(call: Call) -> Response:
    """What a load has told: that it begins, each second, how it stands, its verdicts, its end. A stream when
    ``text/event-stream`` is accepted, with a place in the log as the id: it goes on after Last-Event-ID."""
    query = call.query(LinesQuery)
    if "text/event-stream" in call.request.headers.get("accept", ""):
        last = last_event(call.request)
        first = await _first(call, query.attempt, query.offset if last is None else last)
        return _stream(spoken(call.services, *first))
    _, piece = await _first(call, query.attempt, query.offset)
    return reply(whole_lines(piece))


async def get_picture(call: Call) -> Response:
    """A load drawn, again and again while it goes on: a stream of ``{html, over}``."""
    first = await _first(call, call.query(LinesQuery).attempt, 0)
    return _stream(pictures(call.services, *first))


def whole_lines(piece: LogView) -> LinesView:
    """The lines in a piece of a log. One that is not whole yet is left for the next piece."""
    end = len(piece.data) if piece.complete else piece.data.rfind(b"\n") + 1
    return LinesView(
        attempt=piece.attempt,
        next_offset=piece.offset + end,
        complete=piece.complete,
        lines=list(lines(piece.data[:end].splitlines())),
    )


def _view(task: TaskView) -> LoadView:
    return LoadView(
        deployment=task.deployment,
        node=task.scope,
        task=task.task,
        rack=task.rack,
        state=task.state,
        attempt=task.attempt,
        reason=task.reason,
    )


async def _first(call: Call, attempt: int | None, offset: int) -> tuple[int, LogView]:
    """The node task that is asked for, and the first piece of its log. Raises NotFound."""
    views, path = call.services.views, call.path
    node_task = await node_task_of(views, path["deployment"], path["node"], path["task"])
    return node_task, await views.log(node_task, attempt=attempt, offset=offset)


def _stream(messages: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(messages, headers=HEADERS, media_type="text/event-stream")


routes = [
    route("GET", f"{PREFIX}/loads", list_loads, "read"),
    route("GET", f"{PREFIX}/loads/{{deployment}}/{{node}}/{{task}}", get_load, "read"),
    route("GET", f"{PREFIX}/loads/{{deployment}}/{{node}}/{{task}}/picture", get_picture, "read"),
]
